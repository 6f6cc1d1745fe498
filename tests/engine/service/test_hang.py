"""A real engine whose workers hang: noticed, replaced, and every item accounted for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import tiny
from engine_run import EngineRun

from ctv_engine.settings import Settings


def settings_for(place: Path, suite: Any, checkpoint: Path, **values: Any) -> Settings:
    return Settings(
        db=str(place / "run.db"),
        suite=str(suite.directory),
        checkpoints=(str(checkpoint),),
        devices="cpu",
        drain=True,
        poll_s=0.1,
        quiet_s=0.1,
        cache_gb=0,  # every batch decodes its pictures
        **values,
    )


@pytest.mark.slow
def test_a_stopped_worker_is_noticed_and_replaced(
    tmp_path: Path, suite: Any, checkpoints: list[Path]
) -> None:
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoints[0], batch_size=1, hang_s=120.0, silence_s=4.0),
        forked=True,
        hold_after=1,
    )
    assert run.finish() == 0, run.output()
    events = run.query("SELECT level, message FROM events WHERE kind = 'worker'")
    ((level, message),) = events
    assert level == "error"
    assert message.startswith("worker on cpu:0 killed: no heartbeat for ")
    assert run.query("SELECT state FROM workers ORDER BY id") == [("lost",), ("ended",)]
    assert run.query("SELECT state, planned, done, failed FROM evaluations") == [
        ("done", 24, 24, 0),
        ("done", 24, 24, 0),
    ]


@pytest.mark.slow
def test_a_worker_whose_heart_beats_but_whose_work_stands_still_is_replaced(tmp_path: Path) -> None:
    """A picture becomes a pipe that nobody writes to: opening it never returns."""
    suite = tiny.make_suite(tmp_path / "suite", 12)
    checkpoint = tiny.save_checkpoint(tmp_path / "checkpoint-1", 1, seed=1)
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint, batch_size=1, hang_s=4.0), forked=True
    )
    run.wait("SELECT count(*) >= 48 FROM prompt_lengths")
    picture = suite.image_path([item for item in suite.items if item.dataset == "short"][-1])
    content = picture.read_bytes()
    picture.unlink()
    os.mkfifo(picture)
    run.wait("SELECT count(*) FROM events WHERE kind = 'worker'")
    picture.unlink()
    picture.write_bytes(content)
    assert run.finish() == 0, run.output()
    ((level, message),) = run.query("SELECT level, message FROM events WHERE kind = 'worker'")
    assert level == "error"
    assert message.startswith("worker on cpu:0 killed: stuck in batch ")
    assert run.query("SELECT state FROM workers ORDER BY id") == [("lost",), ("ended",)]
    assert run.query("SELECT state, planned, done, failed FROM evaluations") == [
        ("done", 24, 24, 0),
        ("done", 24, 24, 0),
    ]
    assert run.query("SELECT max(attempt) FROM predictions") == [(2,)]
