"""`ctv-tui verify` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "engine"))

import tiny


def test_a_checkpoint_is_compared_with_plain_forwards(tmp_path: Path) -> None:
    checkpoint = tiny.save_checkpoint(tmp_path / "checkpoint-10", 10)
    tiny.make_suite(tmp_path / "suite", 4)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ctv_tui", "verify", str(checkpoint)),
            *("--suite", str(tmp_path / "suite"), "--items", "4", "--devices", "cpu", "--json"),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    comparisons = json.loads(done.stdout)["comparisons"]
    assert [one["what"] for one in comparisons] == [
        "float32, padded batches",
        "float32, all shortcuts",
    ]
    assert all(one["holds"] and one["items"] == 4 for one in comparisons)
