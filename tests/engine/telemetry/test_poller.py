"""The telemetry thread, on a machine without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from ctv_engine.store.rows import SampleRow
from ctv_engine.telemetry import poller as module
from ctv_engine.telemetry.nvml import NvmlUnavailableError
from ctv_engine.telemetry.poller import Poller

INTERVAL_S = 0.02
DEADLINE_S = 20.0


@pytest.fixture
def poller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    def no_driver() -> None:
        raise NvmlUnavailableError("no NVIDIA driver (not here)")

    monkeypatch.setattr(module, "Nvml", no_driver)
    made = Poller("the-host", INTERVAL_S)
    yield made
    made.stop()


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def drained_until(poller: Poller, condition: Callable[[list[SampleRow]], bool]) -> list[SampleRow]:
    """Drain until ``condition`` holds for all the samples so far; fail after the deadline."""
    samples: list[SampleRow] = []
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        samples += poller.drain()
        if condition(samples):
            return samples
        time.sleep(INTERVAL_S)
    raise AssertionError(f"not within {DEADLINE_S:.0f} s; samples so far: {samples[-3:]}")


def test_without_a_driver_it_says_so_and_goes_on(poller: Poller) -> None:
    assert poller.unavailable == "no NVIDIA driver (not here)"
    assert poller.gpus == 0


def test_a_worker_on_a_cpu_is_shown_by_its_process(
    poller: Poller, busy: subprocess.Popen[bytes]
) -> None:
    started = time.time()
    poller.watch_process(7, "cpu-0", busy.pid)
    poller.start()
    samples = drained_until(poller, lambda s: len(s) >= 5 and (s[-1].utilisation or 0) > 5)
    for sample in samples:
        assert (sample.gpu_uuid, sample.host, sample.status) == ("cpu-0", "the-host", "host")
        assert "process values" in (sample.reason or "")
        assert started <= sample.at <= time.time()
        assert sample.memory_used is not None and sample.memory_used > 2**20
        assert sample.memory_total == psutil.virtual_memory().total
        assert (sample.power_w, sample.temperature_c, sample.sm_clock_mhz) == (None, None, None)
    assert [s.at for s in samples] == sorted(s.at for s in samples)


def test_every_sample_is_drained_once(poller: Poller) -> None:
    poller.watch_process(1, "cpu-0", os.getpid())
    poller.start()
    samples = drained_until(poller, lambda s: len(s) >= 5)
    poller.stop()
    samples += poller.drain()
    assert len({s.at for s in samples}) == len(samples)
    assert poller.drain() == []


def test_each_worker_has_its_own_series(poller: Poller, busy: subprocess.Popen[bytes]) -> None:
    poller.watch_process(1, "cpu-0", os.getpid())
    poller.watch_process(2, "cpu-1", busy.pid)
    poller.start()
    drained_until(poller, lambda s: {row.gpu_uuid for row in s} == {"cpu-0", "cpu-1"})


def test_a_forgotten_process_is_read_no_more(poller: Poller, busy: subprocess.Popen[bytes]) -> None:
    poller.watch_process(1, "cpu-0", os.getpid())
    poller.watch_process(2, "cpu-1", busy.pid)
    poller.start()
    drained_until(poller, lambda s: any(row.gpu_uuid == "cpu-1" for row in s))
    poller.forget_process(2)
    poller.forget_process(99)
    drained_until(poller, lambda s: [row.gpu_uuid for row in s][-5:] == ["cpu-0"] * 5)


def test_a_process_that_ended_costs_only_its_own_samples(
    poller: Poller, busy: subprocess.Popen[bytes]
) -> None:
    poller.watch_process(1, "cpu-0", os.getpid())
    poller.watch_process(2, "cpu-1", busy.pid)
    poller.start()
    drained_until(poller, lambda s: any(row.gpu_uuid == "cpu-1" for row in s))
    busy.kill()
    busy.wait()
    drained_until(poller, lambda s: [row.gpu_uuid for row in s][-5:] == ["cpu-0"] * 5)


def test_a_process_that_is_not_there_is_not_watched(
    poller: Poller, busy: subprocess.Popen[bytes]
) -> None:
    busy.kill()
    busy.wait()
    poller.watch_process(2, "cpu-1", busy.pid)
    poller.watch_process(1, "cpu-0", os.getpid())
    poller.start()
    samples = drained_until(poller, lambda s: len(s) >= 3)
    assert {sample.gpu_uuid for sample in samples} == {"cpu-0"}


def test_it_can_be_stopped_before_it_began(poller: Poller) -> None:
    poller.stop()
    assert poller.drain() == []
