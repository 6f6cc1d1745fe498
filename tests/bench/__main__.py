"""Run every benchmark; ``make bench`` does, or ``python -m bench`` in ``tests``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from bench.report import document, table
from bench.suite import BENCHMARKS, Scale, run


def main() -> int:
    """Print the table and the JSON; return 0 whatever the machine's speed.

    An option's log-probability or a text that differs ends everything with an AssertionError.
    """
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the JSON here, too")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHMARKS), help="some of them")
    parser.add_argument("--tiny", action="store_true", help="the tiny parts alone, in seconds")
    options = parser.parse_args()
    scale = Scale.tiny() if options.tiny else Scale.full()

    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="ctv-bench-") as home:
        results = run(
            Path(home),
            scale,
            options.only or list(BENCHMARKS),
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    found = document(results, time.process_time() - began)
    print(table(results))
    machine = found["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores, one thread,", end=" ")
    print(f"load {machine['load_average']:.1f}; {found['cpu_s']:.0f} s of CPU time.", end=" ")
    print("x: a ratio within this run, of CPU seconds or of counts\n")
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
