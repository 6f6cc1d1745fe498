"""Benchmarks: ratios within one run and counts of work. ``make bench`` runs them all.

pytest collects nothing here but ``test_bench.py``, which runs the tiny parts.
"""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))  # tiny.py lies there
