"""Whole runs on a cluster: the same answers as on one machine, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
from clusters import AHEAD_S, ENVIRONMENT
from engine_run import ANSWERS, EngineRun, wait_until

from ctv_engine.cluster.messages import ClusterSettings
from ctv_engine.cluster.ray_pool import RayPool
from ctv_engine.cluster.trees import files_tree
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import (
    Batch,
    Checkpoint,
    Heartbeat,
    Unit,
    UnitDone,
    WorkerLost,
    WorkerReady,
)
from ctv_engine.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
KILLS = 10
DETECTED_S = 5.0
FEW, MANY = 20, 170
OVERHEAD_S = 0.005


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
    for host, slots, offset_s, error_s, reason in nodes:
        assert slots == 1 and reason is None
        ahead_s = AHEAD_S if host == "node3" else 0.0
        assert abs(offset_s - ahead_s) <= error_s + 0.05 and 0 < error_s < 1.0
    copies = run.query("SELECT count(*) FROM events WHERE message LIKE '%gets a copy of the%'")
    assert copies[0][0] >= 2, "what is shipped is told"
    samples = run.query("SELECT DISTINCT host, gpu_uuid, status FROM gpu_samples ORDER BY 1")
    assert {(host, uuid) for host, uuid, _ in samples} <= {(h, f"cpu-{h}-0") for h in hosts}
    assert run.query("SELECT DISTINCT e.state FROM evaluations e") == [("done",)]


class Worker:
    """One worker of a cluster without an engine."""

    def __init__(self, address: str, place: str, suite: Any, checkpoint: Path) -> None:
        worker = WorkerSettings(device="", dtype="auto", processor=None)
        suites = {suite.directory: suite.digest}
        self.pool = RayPool(ClusterSettings(address, worker, 1, "auto", 10.0, suites))
        self.checkpoint = files_tree("checkpoint", checkpoint)
        self.suite = suite
        self.units = 0
        wait_until(lambda: place in self.pool.capacity(), place)
        self.pool.start(1, place)
        self.pid = self.next(WorkerReady).pid

    def next(self, kind: Any) -> Any:
        """Return the next message of a kind, none other but a heartbeat before it."""

        def found() -> Any:
            messages = [message for _, message in self.pool.receive(0.5)]
            messages = [message for message in messages if not isinstance(message, Heartbeat)]
            assert all(isinstance(message, kind) for message in messages), messages
            return messages

        (message,) = wait_until(found, str(kind))
        return message

    def answer(self) -> UnitDone:
        """Have the worker answer a batch of one item in closed form."""
        self.units += 1
        items = self.suite.items[:1]
        datasets = tuple(d for d in self.suite.datasets if d.name == items[0].dataset)
        batch = Batch(1, tuple(items), datasets, self.suite.directory)
        checkpoint = Checkpoint(1, 1, self.checkpoint.directory, self.checkpoint.digest)
        self.pool.send(1, Unit(self.units, 1, checkpoint, "closed", batch, 1))
        done = self.next(UnitDone)
        assert isinstance(done, UnitDone) and len(done.results) == 1
        return done


def test_one_worker_far_away(cluster: Any, suite: Any, checkpoints: list[Path]) -> None:
    worker = Worker(cluster.address, "node3/cpu:0", suite, checkpoints[0])
    try:
        a_clock_that_is_ahead_moves_nothing(worker)
        a_batch_costs_the_engine_little(worker)
        a_driver_that_is_killed_leaves_nothing(worker)
    finally:
        worker.pool.stop()


def a_clock_that_is_ahead_moves_nothing(worker: Worker) -> None:
    asked_at = time.time()
    done = worker.answer()
    answered_at = time.time()
    nodes = {node.host: node for node in worker.pool.nodes()}
    offset_s, error_s = nodes["node3"].clock_offset_s, nodes["node3"].clock_error_s
    assert offset_s is not None and error_s is not None
    assert abs(offset_s - AHEAD_S) <= error_s + 0.05 and error_s < 10.0
    times = [at for span in done.spans for at in (span.started_at, span.ended_at)]
    assert times and asked_at - error_s <= min(times) <= max(times) <= answered_at + error_s
    assert worker.pid is not None
    worker.pool.watch_process(1, "cpu-node3-0", worker.pid)
    sample, *_ = wait_until(
        lambda: [one for one in worker.pool.drain() if one.host == "node3"], "a reading"
    )
    assert asked_at - error_s <= sample.at <= time.time() + error_s


def a_batch_costs_the_engine_little(worker: Worker) -> None:
    processes = [psutil.Process(), driver()]  # ours is the coordinator's

    def spent_s(batches: int) -> float:
        def now() -> float:
            times = [process.cpu_times() for process in processes]
            return sum(time.user + time.system for time in times)

        before = now()
        for _ in range(batches):
            worker.answer()
        return now() - before

    few, many = spent_s(FEW), spent_s(MANY)
    per_batch_s = (many - few) / (MANY - FEW)
    print(f"{per_batch_s * 1e3:.2f} ms per batch")
    assert 0 < per_batch_s < OVERHEAD_S


def a_driver_that_is_killed_leaves_nothing(worker: Worker) -> None:
    """A coordinator that is killed ends its driver, too: both leave it to Ray to clear up."""
    assert worker.pid is not None
    process = psutil.Process(worker.pid)
    driver().kill()
    assert worker.next(WorkerLost).blameless
    wait_until(lambda: not process.is_running(), "the worker's end")
    wait_until(lambda: "node3/cpu:0" in worker.pool.capacity(), "the GPU is free again")


def driver() -> psutil.Process:
    """Return the process of this one's pool."""
    (found,) = [
        one for one in psutil.Process().children() if "--multiprocessing-fork" in one.cmdline()
    ]
    return found


def test_each_worker_finds_the_gpu_that_ray_assigned(cluster: Any) -> None:
    script = Path(__file__).with_name("assigned.py")
    command = [sys.executable, str(script), cluster.address]
    known = os.environ | ENVIRONMENT
    asked = subprocess.run(command, capture_output=True, text=True, env=known, timeout=120)
    assert asked.returncode == 0, asked.stderr
    given = json.loads(asked.stdout.splitlines()[-1])
    gpus = [gpu for gpu, _ in given]
    assert set(gpus) == {"0", "1", "2", "3"}
    assert [visible for _, visible in given] == [None, None, *gpus[2:]]


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
            silence_s=20.0,  # a busy machine starves others for seconds
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
    (text,) = run.query("SELECT message FROM events WHERE message LIKE '%no heartbeat%'")
    assert text[0].startswith(f"worker on {host}/cpu:0 killed: no heartbeat for ")
