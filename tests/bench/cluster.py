"""Sixteen workers on a cluster of this machine: ``make bench-cluster``.

A head and three machines with four stand-ins for GPUs each score two checkpoints of the demo's
model closed, open and gold; one machine does the same, and the answers must be equal. Prints how
idle each machine was. All of them share this machine's cores: it shows what is reported, not how a
cluster of real machines balances.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from clusters import ENVIRONMENT, GPUS, TOKEN, FakeCluster, machines
from engine_run import ANSWERS, EngineRun

from ctv_engine.demo import seed_directory
from ctv_engine.demo.data import prepare
from ctv_engine.settings import Settings

NAMES = ("node1", "node2", "node3")
CHECKPOINTS = 2
DEADLINE_S = 1200.0
IDLE = """
SELECT c.step, e.mode, b.host, b.workers, b.busy_s, b.wait_s, 100 * b.idle_fraction
FROM host_balance b JOIN evaluations e ON e.id = b.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id ORDER BY c.step, e.id, b.host
"""
ROW = "{:>4} {:<6} {:<7} {:>7} {:>8} {:>9} {:>7}"


def score(home: Path, name: str, devices: str, pool: str) -> EngineRun:
    """Score the checkpoints in ``home`` and return the run once it has ended."""
    run = EngineRun(
        Settings(
            db=str(home / f"{name}.db"),
            suite=str(home / "suite"),
            gold=str(home / "gold"),
            checkpoints=tuple(str(path) for path in sorted(home.glob("checkpoint-*"))),
            devices=devices,
            pool=pool,
            pairing=False,
            drain=True,
            quiet_s=0.0,
            poll_s=0.2,
        )
    )
    if run.process.wait(DEADLINE_S) != 0:
        raise SystemExit(run.output())
    return run


def main() -> int:
    """Print the table; return 1 if an answer differs."""
    os.environ |= ENVIRONMENT | {"RAY_AUTH_TOKEN": TOKEN}
    with tempfile.TemporaryDirectory(prefix="ctv-bench-") as place:
        home = Path(place)
        prepare(home)
        for step in range(1, CHECKPOINTS + 1):
            shutil.copytree(seed_directory(), home / f"checkpoint-{step}")
        one = score(home, "one", "cpu", "local")
        cluster = FakeCluster(machines(*NAMES))
        try:
            many = score(home, "many", f"cpu:{GPUS}", f"ray:{cluster.address}")
        finally:
            cluster.end()
        print(ROW.format("step", "mode", "machine", "workers", "busy s", "waited s", "idle %"))
        for step, mode, host, workers, *seconds, idle in many.query(IDLE):
            print(ROW.format(step, mode, host, workers, *(f"{n:.1f}" for n in (*seconds, idle))))
        found, expected = many.query(ANSWERS), one.query(ANSWERS)
        equal = sum(mine == theirs for mine, theirs in zip(found, expected, strict=True))
        print(f"{equal:,} of {len(expected):,} answers are those of one machine, bit for bit")
        return 0 if equal == len(expected) else 1


if __name__ == "__main__":
    sys.exit(main())
