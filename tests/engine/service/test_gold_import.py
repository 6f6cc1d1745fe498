"""A gold series that is handed to a running engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tiny
from engine_run import EngineRun

from ctv_engine.settings import Settings
from ctv_engine.suite import Suite


def test_a_running_engine_takes_it(tmp_path: Path, suite: Suite) -> None:
    run = tmp_path / "run"
    tiny.save_checkpoint(run / "checkpoint-10", 10, seed=10)
    engine = EngineRun(
        Settings(
            db=str(tmp_path / "run.db"),
            suite=str(suite.directory),
            checkpoint_dir=str(run),
            devices="cpu",
            poll_s=0.1,
            quiet_s=0.1,
            cache_dir=str(tmp_path / "inputs"),
        ),
        forked=True,
    )
    try:
        engine.wait("SELECT count(*) = 2 FROM evaluations WHERE state = 'done'")
        series = tmp_path / "team.csv"
        series.write_text("step,score\n10,0.5\n", encoding="utf-8")
        command = [sys.executable, "-m", "ctv_tui", "gold", "import", str(series)]
        done = subprocess.run(
            [*command, "--db", str(engine.db)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        engine.wait("SELECT 1 FROM events WHERE kind = 'gold' AND message LIKE '%1 step imported%'")
        gold = "SELECT metric, value FROM trajectory WHERE mode = 'gold' ORDER BY 1"
        assert engine.query(gold) == [("imported:team", 0.5), ("score", 0.5)]
        assert not list((tmp_path / "run.db.gold").iterdir())
    finally:
        engine.process.terminate()
        assert engine.finish() == 0
