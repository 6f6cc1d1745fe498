"""Processes, pipes and signals: what one worker does must not hold up the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import pool_workers
import pytest
from engine_run import wait_until
from scheduled import batch, checkpoint

from ctv_engine.runtime import local_pool
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.local_pool import LocalPool
from ctv_engine.runtime.messages import (
    FromWorker,
    Heartbeat,
    Unit,
    UnitDone,
    WorkerLost,
    WorkerReady,
)

StartPool = Callable[..., LocalPool]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartPool]:
    """Start a pool with one worker per function, numbered from 1."""
    pools: list[tuple[LocalPool, int]] = []

    def make(*targets: Callable[..., None]) -> LocalPool:
        devices = tuple(f"cpu:{n}" for n in range(len(targets)))
        pool = LocalPool(devices, WorkerSettings("", "auto", None))
        for number, target in enumerate(targets, 1):
            monkeypatch.setattr(local_pool, "run_worker", target)
            assert pool.start(number, devices[number - 1])
        pools.append((pool, len(targets)))
        return pool

    yield make
    for pool, count in pools:
        for number in range(1, count + 1):
            pool.kill(number)


def unit(number: int, question: str = "q") -> Unit:
    asked = batch(number, 1)
    asked = replace(asked, items=(replace(asked.items[0], question=question),))
    return Unit(number, 1, checkpoint(1), "closed", asked, 1)


def hear(pool: LocalPool, count: int) -> list[tuple[int, FromWorker]]:
    heard: list[tuple[int, FromWorker]] = []

    def enough() -> bool:
        heard.extend(pool.receive(0.05))
        return len(heard) >= count

    wait_until(enough, f"{count} messages", 30)
    return heard


def pid_of(pool: LocalPool, number: int) -> int:
    pid = pool._workers[number].process.pid
    assert pid is not None
    return pid


def test_units_go_out_and_answers_come_back(start: StartPool) -> None:
    pool = start(pool_workers.echo, pool_workers.echo)
    ready = {(1, WorkerReady("gpu-of-cpu:0", "kind")), (2, WorkerReady("gpu-of-cpu:1", "kind"))}
    assert set(hear(pool, 2)) == ready
    pool.send(1, unit(11))
    pool.send(2, unit(12))
    assert sorted((w, m.unit_id) for w, m in hear(pool, 2) if isinstance(m, UnitDone)) == [
        (1, 11),
        (2, 12),
    ]
    assert pool.receive(0.0) == []


def test_last_words_come_before_the_loss(start: StartPool) -> None:
    pool = start(pool_workers.last_words)
    assert [message for _, message in hear(pool, 3)] == [
        Heartbeat(),
        WorkerReady("gpu"),
        WorkerLost("exit status 7"),
    ]
    assert pool.receive(0.0) == []


def test_a_killed_worker_is_reported_with_its_signal(start: StartPool) -> None:
    pool = start(pool_workers.echo)
    hear(pool, 1)
    os.kill(pid_of(pool, 1), signal.SIGKILL)
    assert hear(pool, 1) == [(1, WorkerLost("killed by signal 9"))]


def test_of_a_worker_that_was_ended_on_purpose_nothing_is_heard(start: StartPool) -> None:
    pool = start(pool_workers.echo, pool_workers.echo)
    hear(pool, 2)
    pid = pid_of(pool, 1)
    pool.send(1, unit(11))
    pool.kill(1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    pool.send(2, unit(12))
    assert [(w, m.unit_id) for w, m in hear(pool, 1) if isinstance(m, UnitDone)] == [(2, 12)]
    pool.kill(1)


def test_a_worker_that_stops_in_the_middle_of_a_message_holds_up_nobody(start: StartPool) -> None:
    pool = start(pool_workers.half_a_message, pool_workers.echo)
    assert hear(pool, 1) == [(2, WorkerReady("gpu-of-cpu:1", "kind"))]
    pool.send(2, unit(12))
    assert [w for w, _ in hear(pool, 1)] == [2]


def test_a_stopped_worker_that_reads_nothing_holds_up_nobody_and_can_be_killed(
    start: StartPool,
) -> None:
    """Far more than a pipe's buffer is sent to a process that does not run."""
    pool = start(pool_workers.echo, pool_workers.echo)
    hear(pool, 2)
    os.kill(pid_of(pool, 1), signal.SIGSTOP)
    pool.send(1, unit(11, question="x" * 5_000_000))
    pool.send(2, unit(12))
    assert [w for w, _ in hear(pool, 1)] == [2]
    pid = pid_of(pool, 1)
    pool.kill(1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_sees_its_own_gpu_only_whatever_cuda_calls_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process sees one MIG instance at most, and CUDA's numbers need not be the driver's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.setattr(local_pool, "run_worker", pool_workers.what_cuda_would_see)
    visible = {"cuda:0": "MIG-6", "cuda:3": "GPU-5"}
    pool = LocalPool(("cuda:0", "cuda:3"), WorkerSettings("", "auto", None), visible)
    for number, device in enumerate((*pool.capacity(), "cuda:1"), 1):
        pool.start(number, device)
    found = {number: m.gpu_uuid for number, m in ready_ones(pool, 3)}
    for number in found:
        pool.kill(number)
    assert found == {1: "MIG-6 as cuda:0", 2: "GPU-5 as cuda:0", 3: "5,6 as cuda:1"}


def test_workers_start_where_the_pool_has_moved_to(start: StartPool) -> None:
    pool = start(pool_workers.echo)
    pool.move(("cuda:4",), {"cuda:4": "GPU-9"})
    assert pool.capacity() == ("cuda:4",)
    pool.send(1, unit(1, "still there"))
    (first, second) = hear(pool, 2)
    assert first == (1, WorkerReady("gpu-of-cpu:0", "kind"))
    assert second == (1, UnitDone(1, (), (), ("still there",)))


def ready_ones(pool: LocalPool, count: int) -> list[tuple[int, WorkerReady]]:
    """Wait until so many workers are ready; heartbeats come between."""
    found: list[tuple[int, WorkerReady]] = []

    def enough() -> bool:
        found.extend((n, m) for n, m in pool.receive(0.05) if isinstance(m, WorkerReady))
        return len(found) >= count

    wait_until(enough, f"{count} workers", 30)
    return found
