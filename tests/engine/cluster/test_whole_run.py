"""Whole runs on a cluster: the same answers as on one machine, whatever is lost on the way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
from engine_run import ANSWERS, EngineRun

from ctv_engine.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
KILLS = 10
DETECTED_S = 5.0


def settings_for(place: Path, suite: Any, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "db": str(place / "run.db"),
        "suite": str(suite.directory),
        "devices": "cpu",
        "batch_size": 4,
        "poll_s": 0.1,
        "quiet_s": 0.2,
    }
    return Settings(**values | changes)


def answers_of_one_machine(place: Path, suite: Any, checkpoints: list[Path]) -> Any:
    place.mkdir()
    paths = tuple(map(str, checkpoints))
    run = EngineRun(settings_for(place, suite, checkpoints=paths, drain=True, quiet_s=0.0))
    assert run.finish() == 0, run.output()
    return run.query(ANSWERS)


def test_the_answers_are_those_of_one_machine(
    cluster: Any, tmp_path: Path, suite: Any, checkpoints: list[Path]
) -> None:
    expected = answers_of_one_machine(tmp_path / "one", suite, checkpoints[:2])
    cluster.tell("fill")
    watched = tmp_path / "training"
    watched.mkdir()
    run = EngineRun(
        settings_for(
            tmp_path,
            suite,
            checkpoint_dir=str(watched),
            pool=f"ray:{cluster.address}",
            files="ship",  # through stores that have next to no room
        )
    )
    run.wait("SELECT count(*) = 4 FROM workers WHERE state = 'ready'")
    for checkpoint in checkpoints[:2]:
        shutil.copytree(checkpoint, watched / checkpoint.name)
    run.wait("SELECT count(*) = 2 FROM checkpoints WHERE state = 'done'")
    run.process.send_signal(signal.SIGUSR1)
    assert run.finish() == 0, run.output()
    cluster.tell("empty")
    assert run.query(ANSWERS) == expected
    hosts = {host for (host,) in run.query("SELECT DISTINCT host FROM workers")}
    assert hosts == {"head", "node1", "node2", "node3"}
    nodes = run.query("SELECT host, slots, clock_offset_s, clock_error_s, reason FROM nodes")
    assert {row[0] for row in nodes} == hosts
    for _, slots, offset_s, error_s, reason in nodes:
        assert slots == 1 and reason is None
        assert abs(offset_s) <= error_s + 0.05 and 0 < error_s < 1.0
    copies = run.query("SELECT count(*) FROM events WHERE message LIKE '%gets a copy of the%'")
    assert copies[0][0] >= 2, "what is shipped is told"
    samples = run.query("SELECT DISTINCT host, gpu_uuid, status FROM gpu_samples ORDER BY 1")
    assert {(host, uuid) for host, uuid, _ in samples} <= {(h, f"cpu-{h}-0") for h in hosts}
    assert run.query("SELECT DISTINCT e.state FROM evaluations e") == [("done",)]


def test_machines_that_die_and_come_back_change_nothing(
    cluster: Any, tmp_path: Path, suite: Any
) -> None:
    dice = random.Random(7)
    watched = tmp_path / "training"
    watched.mkdir()
    run = EngineRun(
        settings_for(
            tmp_path,
            suite,
            checkpoint_dir=str(watched),
            pool=f"ray:{cluster.address}",
            node_silence_s=5.0,
            silence_s=8.0,
        )
    )
    made = [tiny.save_checkpoint(watched / "checkpoint-1", 1, seed=1)]
    run.wait_for_workers(rows=1)
    first, pid = run.query("SELECT id, pid FROM workers WHERE state = 'ready'")[0]
    os.kill(pid, signal.SIGKILL)
    run.wait(f"SELECT state = 'lost' FROM workers WHERE id = {first}")
    ready = f"FROM workers WHERE state = 'ready' AND id <> {first}"
    run.wait(f"SELECT count(*) = 4 {ready}")
    stopped, pid, host = run.query(f"SELECT id, pid, host {ready}")[0]
    os.kill(pid, signal.SIGSTOP)
    run.wait(f"SELECT state = 'lost' FROM workers WHERE id = {stopped}")
    run.wait(f"SELECT count(*) {ready} AND host = '{host}'")
    for number in range(KILLS):
        ready = "FROM workers WHERE state = 'ready' AND host <> 'head'"
        run.wait(f"SELECT count(*) {ready}")
        name = dice.choice([host for (host,) in run.query(f"SELECT host {ready} ORDER BY host")])
        step = number + 2
        made.append(tiny.save_checkpoint(watched / f"checkpoint-{step}", step, seed=step))
        run.wait(f"SELECT count(*) FROM checkpoints WHERE step = {step} AND state <> 'found'")
        answered = f"SELECT {dice.randrange(40)} <= count(*) FROM predictions p JOIN evaluations e"
        run.wait(
            f"{answered} ON e.id = p.evaluation_id JOIN checkpoints c ON c.id = e.checkpoint_id"
            f" WHERE c.step = {step}"
        )
        killed_at = time.time()
        cluster.tell(f"kill {name}")
        left = "SELECT {} FROM nodes WHERE host = '{}' AND left_at > {}"
        run.wait(left.format("count(*)", name, killed_at))
        left_at = run.query(left.format("left_at", name, killed_at))[0][0]
        print(f"{name} noticed after {left_at - killed_at:.2f} s")
        assert left_at - killed_at < DETECTED_S
        cluster.tell(f"add {name}")
    run.process.send_signal(signal.SIGUSR1)
    assert run.finish() == 0, run.output()
    expected = answers_of_one_machine(tmp_path / "one", suite, made)
    assert run.query(ANSWERS) == expected
    events = run.query("SELECT message FROM events WHERE level = 'error' AND kind = 'cluster'")
    assert len([text for (text,) in events if " has left: " in text]) == KILLS
    assert run.query("SELECT count(*) FROM predictions WHERE status <> 'ok'") == [(0,)]
    told = "SELECT 1 FROM events WHERE message LIKE ?"
    assert run.query(told, f"worker on {host}/cpu:0 killed: no heartbeat for %")
