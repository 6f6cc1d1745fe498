"""The head is gone, and is back: the engine outlives it."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from clusters import FakeCluster
from engine_run import ANSWERS, EngineRun

from ctv_engine.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_an_engine_outlives_the_head(tmp_path: Path, suite: Any, checkpoints: list[Path]) -> None:
    watched = tmp_path / "training"
    watched.mkdir()
    head = {"node_name": "head", "num_gpus": 1, "gcs_server_port": free_port()}
    cluster = FakeCluster([], head)

    def settings(**values: Any) -> Settings:
        base: dict[str, Any] = {"suite": str(suite.directory), "devices": "cpu", "batch_size": 4}
        return Settings(**base | values)

    run = EngineRun(
        settings(
            db=str(tmp_path / "run.db"),
            checkpoint_dir=str(watched),
            pool=f"ray:{cluster.address}",
            node_silence_s=4.0,
            quiet_s=0.2,
            poll_s=0.1,
        )
    )
    done = "SELECT count(*) = {} FROM checkpoints WHERE state = 'done'"
    shutil.copytree(checkpoints[0], watched / checkpoints[0].name)
    run.wait(done.format(1))
    cluster.end()
    run.wait("SELECT count(*) FROM events WHERE message LIKE '%tried again until it answers'")
    assert run.query("SELECT state FROM nodes") == [("left",)]
    shutil.copytree(checkpoints[1], watched / checkpoints[1].name)
    again = FakeCluster([], head)
    try:
        assert again.address == cluster.address
        run.wait(done.format(2))
        run.wait("SELECT count(*) FROM events WHERE message LIKE 'connected to Ray at % again'")
        run.process.terminate()
        assert run.finish() == 0
    finally:
        again.end()
    paths = tuple(map(str, checkpoints[:2]))
    alone = EngineRun(settings(db=str(tmp_path / "one.db"), checkpoints=paths, drain=True))
    assert alone.finish() == 0, alone.output()
    assert run.query(ANSWERS) == alone.query(ANSWERS) != []
    assert run.query("SELECT count(*) FROM predictions WHERE status <> 'ok'") == [(0,)]
