"""Scores in real event files and in W&B's offline mode; trackers that fail hold up nothing."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_run import EngineRun
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ctv_engine.service.sinks import Logged, SinkError, Sinks, check_target, open_sink
from ctv_engine.settings import Settings
from ctv_engine.suite import Suite


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_a_run_writes_real_event_files(
    tmp_path: Path, checkpoints: list[Path], suite: Suite, gold: Suite
) -> None:
    board = tmp_path / "board"
    engine = EngineRun(
        Settings(
            db=str(tmp_path / "run.db"),
            suite=str(suite.directory),
            gold=str(gold.directory),
            checkpoints=tuple(map(str, checkpoints)),
            devices="cpu",
            poll_s=0.1,
            quiet_s=0.1,
            drain=True,
            cache_dir=str(tmp_path / "inputs"),
            log_to=(f"tensorboard:{board}",),
        ),
        forked=True,
    )
    assert engine.finish() == 0, engine.output()
    found = read_events(board)
    stored = engine.query(
        "SELECT mode, dataset, step, value FROM trajectory"
        " WHERE metric = CASE mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END"
    )
    for mode, dataset, step, value in stored:
        tag = f"ctv/{mode}" if dataset == "macro" else f"ctv/{mode}/{dataset}"
        assert (step, pytest.approx(value)) in found[tag]
    assert {step for step, _ in found["ctv/gold"]} == {10, 20, 30}
    whole = engine.query(
        "SELECT proxy, r FROM correlation_now WHERE scope = 'macro' AND method = 'pearson'"
        " AND window = 0 AND r IS NOT NULL"
    )
    for proxy, r in whole:
        assert found[f"ctv/r/{proxy}"][-1][1] == pytest.approx(r, abs=1e-6)


_OFFLINE = """
import sys
from ctv_engine.service.sinks import Logged, open_sink
sink = open_sink("wandb:some-project", "run", "/x/run.db")
sink.write(Logged(200, 1.0, {"ctv/closed": 0.5}))
sink.write(Logged(100, 2.0, {"ctv/gold": 0.25}))
sink.close()
"""


def test_wandb_offline_takes_steps_in_any_order(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OFFLINE],
        env={**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.rglob("*.wandb")
    rows = _history(record)
    assert rows == [
        {"ctv/closed": 0.5, "ctv/step": 200},
        {"ctv/gold": 0.25, "ctv/step": 100},
    ]


def _history(path: Path) -> list[dict[str, Any]]:
    """Read the records of an offline run: LevelDB's log format, here within one block."""
    from wandb.proto import wandb_internal_pb2

    data, at = path.read_bytes(), 7
    rows = []
    while at + 7 <= len(data):
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        assert kind == 1, "a record that is divided"
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data[at + 7 : at + 7 + length])
        at += 7 + length
        if record.WhichOneof("record_type") == "history":
            items = {
                (item.key or "/".join(item.nested_key)): json.loads(item.value_json)
                for item in record.history.item
            }
            rows.append({name: value for name, value in items.items() if name.startswith("ctv/")})
    return rows


class Broken:
    """A tracker that is not there."""

    def write(self, logged: Logged) -> None:
        raise ConnectionError("no route")

    def close(self) -> None:
        raise ConnectionError("no route")


class Kept:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def write(self, logged: Logged) -> None:
        self.steps.append(logged.step)

    def close(self) -> None:
        self.steps.append(-1)


def test_a_tracker_that_fails_is_told_once_and_the_others_go_on() -> None:
    kept = Kept()
    sinks = Sinks({"wandb:p": Broken(), "tensorboard:d": kept})
    for step in (1, 2):
        sinks.log(lambda step=step: Logged(step, 0.0, {}))  # type: ignore[misc]
    sinks.close()
    assert kept.steps == [1, 2, -1]
    assert sinks.problems() == ["logging to wandb:p fails: ConnectionError: no route"]


def test_without_trackers_nothing_is_asked_for() -> None:
    sinks = Sinks({})
    sinks.log(lambda: pytest.fail("nobody wants it"))
    sinks.close()


@pytest.mark.parametrize("target", ["tensorboard", "tensorboard:", "mlflow:x", ""])
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(SinkError, match="write tensorboard:DIR"):
        check_target(target)


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "trackio", None)
        with pytest.raises(SinkError, match="--log-to trackio:p: pip install trackio"):
            open_sink("trackio:p", "run", "/x/run.db")
