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

sys.path.insert(0, str(Path(__file__).parent.parent / "bench_tui"))

import databases

from ctv_engine.store.queries import NAMES, named_query
from ctv_engine.store.reader import open_read_only
from ctv_engine.store.writer import Writer

QUERY_MS = 200.0
EXPORT_MIB = 400.0
WEEK_MINUTES = 7 * 24 * 60
STEPS = 10_000

_CORRELATIONS = """
INSERT INTO correlations (run_id, proxy, scope, method, window, step, r, low, high, n)
SELECT 1, proxy, scope, method, window, step, 0.8, 0.1, 0.9, 8
FROM (SELECT 'closed' AS proxy UNION SELECT 'open'),
     (SELECT DISTINCT iif(dataset = 'macro', dataset, 'dataset:' || dataset) AS scope FROM scores),
     (SELECT 'pearson' AS method UNION SELECT 'spearman' UNION SELECT 'kendall'
      UNION SELECT 'difference' UNION SELECT 'partial'),
     (SELECT 0 AS window UNION SELECT 8), (SELECT step FROM checkpoints)
"""
_MINUTES = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
INSERT INTO gpu_minutes (gpu_uuid, bucket, host, n, utilisation_mean, utilisation_min,
    utilisation_max, memory_used_mean, memory_used_max, power_w_mean, temperature_c_max, throttled)
SELECT printf('GPU-%02d', i % 16), 29000000 + i / 16, 'node-1', 60, 90.5, 10.0, 100.0, 6e10,
    61000000000, 380.5, 61.0, 0.25 FROM n
"""
_EVENTS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 20000)
INSERT INTO events (at, level, kind, message, checkpoint_id, run_id)
SELECT 1.79e9 + i, iif(i % 50 = 0, 'warning', 'info'), 'evaluation', 'step ' || i, 1 + i % 134, 1
FROM n
"""


def fill(path: Path, predictions: int, minutes: int = WEEK_MINUTES) -> None:
    """Write the database."""
    databases.large(path, predictions=predictions, samples=16 * 3600)
    writer = Writer(path)
    with writer.transaction() as connection:
        connection.execute(_CORRELATIONS)
        connection.execute(_MINUTES, (minutes * 16,))
        connection.execute(_EVENTS)
    writer.close()


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
