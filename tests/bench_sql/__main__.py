"""Do the named queries and the export hold their budgets? ``make bench-sql``; the status says so.

On a database with a million predictions, a week of minutes of sixteen GPUs, and everything else
that a run of 134 checkpoints has. Times are CPU time of one core, the best of three; VM steps are
the same on every machine.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filling import fill

from ctv_engine.store.queries import NAMES, named_query
from ctv_engine.store.reader import open_read_only

QUERY_MS = 200.0
EXPORT_MIB = 400.0
STEPS = 10_000


def steps_of(connection: sqlite3.Connection, name: str) -> int:
    """Return how many steps SQLite's virtual machine takes, to the next ten thousand."""
    query, count = named_query(name), 0

    def tick() -> None:
        nonlocal count
        count += STEPS

    connection.set_progress_handler(tick, STEPS)
    connection.execute(query.sql, dict.fromkeys(dict(query.parameters))).fetchall()
    connection.set_progress_handler(None, 0)
    return count


def queries(path: Path) -> int:
    """Print what each query takes; return how many are over."""
    over = 0
    connection = open_read_only(path)
    for name in NAMES:
        query, best_ms, rows = named_query(name), float("inf"), 0
        for _ in range(3):
            began = time.process_time()
            found = connection.execute(query.sql, dict.fromkeys(dict(query.parameters)))
            rows = len(found.fetchall())
            best_ms = min(best_ms, 1000 * (time.process_time() - began))
        over += best_ms > QUERY_MS
        mark = "OVER" if best_ms > QUERY_MS else "ok"
        steps = steps_of(connection, name) / 1e6
        print(f"{name:<26}{best_ms:>8.1f} ms {steps:>7.2f} M steps {rows:>5} rows  {mark}")
    connection.close()
    return over


def exports(path: Path, folder: Path) -> int:
    """Print what an export takes in a process of its own; return how many are over."""
    over = 0
    for kind in ("parquet", "csv"):
        out = folder / kind
        code = (
            "import resource, sys; from ctv_tui.cli import cli\n"
            "try: cli(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "used = resource.getrusage(resource.RUSAGE_SELF)\n"
            "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
        )
        command = ["export", "--db", str(path), "--out", str(out), f"--{kind}"]
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
        )
        cpu_s, mib = map(float, done.stdout.splitlines()[-1].split())
        size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
        over += mib > EXPORT_MIB
        mark = "OVER" if mib > EXPORT_MIB else "ok"
        print(
            f"export --{kind:<18}{cpu_s:>8.1f} s {mib:>7.0f} MiB {size:>7.0f} MB in files  {mark}"
        )
    return over


def main() -> int:
    """Print every number with its budget."""
    with tempfile.TemporaryDirectory(prefix="ctv-bench-") as place:
        path = Path(place) / "run.db"
        fill(path, 1_000_000)
        over = queries(path) + exports(path, Path(place))
    print(f"{over} over budget" if over else "all held")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
