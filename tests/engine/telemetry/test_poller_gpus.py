"""The telemetry thread on devices that fail, hang, disappear and come back while it runs."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_driver import Driver

DEADLINE_S = 30.0
CHILD = Path(__file__).with_name("poll_child.py")


class Run:
    """A poller's process, and what it has said so far."""

    def __init__(self, driver: Driver, *settings: float, library: str = "new") -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD), *map(str, settings)],
            env=driver.environment(library),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.samples: list[dict[str, Any]] = []
        self.news: list[tuple[str, str]] = []
        self.start = self._next(DEADLINE_S)
        self.census = self._next(DEADLINE_S)["gpus"]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def _next(self, timeout_s: float) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._lines.get(timeout=timeout_s))
        return found

    def tell(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Take in what it says until ``condition`` holds for what came after this call began."""
        self.samples, self.news = [], []
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE_S:.0f} s: {what}"
            try:
                said = self._next(0.1)
            except queue.Empty:
                continue
            if said["kind"] == "sample":
                self.samples.append(said)
            elif said["kind"] == "news":
                self.news.append((said["level"], said["text"]))

    def of(self, uuid: str) -> list[dict[str, Any]]:
        return [sample for sample in self.samples if sample["gpu_uuid"] == uuid]

    def end(self) -> float:
        """Stop it; return the seconds that its thread took to stop."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            while True:
                said = self._next(DEADLINE_S)
                if said["kind"] == "stopped":
                    return float(said["seconds"])
        finally:
            self._process.wait(DEADLINE_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)


MakeRun = Callable[..., Run]


@pytest.fixture
def poll(driver: Driver) -> Iterator[MakeRun]:
    runs: list[Run] = []

    def make(
        interval_s: float = 0.05,
        slow_s: float = 0.5,
        patience_s: float = 0.1,
        stalled_s: float = 0.4,
        start_s: float = 20.0,
        library: str = "new",
    ) -> Run:
        settings = (interval_s, slow_s, patience_s, stalled_s, start_s)
        runs.append(Run(driver, *settings, library=library))
        return runs[-1]

    yield make
    for run in runs:
        run.kill()


def test_sixteen_devices_are_read_in_turn_with_one_start_of_the_library(
    driver: Driver, poll: MakeRun
) -> None:
    driver.set("gpus 16")
    run = poll()
    assert run.start == {"kind": "start", "unavailable": None, "absent": False, "gpus": 16}
    uuids = [f"GPU-{letter * 4}" for letter in "abcdefghijklmnop"]
    run.until(lambda: len(run.samples) >= 16 * 12, "twelve rounds")
    assert [sample["gpu_uuid"] for sample in run.samples[: 16 * 12]] == uuids * 12
    assert [sample["utilisation"] for sample in run.samples[:16]] == list(range(30, 46))
    # The first round reads everything of everyone, later ones spread what takes long.
    assert [sample["pcie_rx_bytes_s"] for sample in run.samples[:16]] == [
        5_000_000 + 1000 * number for number in range(16)
    ]
    run.until(lambda: len(run.samples) >= 16 * 40, "forty rounds")
    rounds = Counter(
        place // 16 for place, one in enumerate(run.samples) if one["ecc_corrected"] is not None
    )
    assert rounds and max(rounds.values()) < 16
    assert driver.inits == 1


def test_a_device_that_is_lost_and_comes_back_keeps_its_name(driver: Driver, poll: MakeRun) -> None:
    run = poll()
    run.until(lambda: len(run.of("GPU-bbbb")) >= 2, "two readings")
    assert {sample["status"] for sample in run.samples} == {"ok"}
    driver.set("fault 1 * 15", "fault 1 handle 15")
    run.until(lambda: run.news and run.of("GPU-bbbb")[-3:], "its loss")
    ((level, text),) = run.news
    assert level == "error"
    assert text.startswith("GPU 1, Fake A100 (GPU-bbbb) is lost: ") and text.endswith("is lost")
    run.until(lambda: len(run.of("GPU-aaaa")) >= 3, "the other one's readings")
    assert {sample["status"] for sample in run.of("GPU-aaaa")} == {"ok"}
    assert {sample["status"] for sample in run.of("GPU-bbbb")} == {"lost"}
    assert {sample["utilisation"] for sample in run.of("GPU-bbbb")} == {None}
    assert run.news == [], "a loss is told once"
    driver.set()
    run.until(lambda: run.news, "its return")
    assert run.news == [("info", "GPU 1, Fake A100 (GPU-bbbb) answers again")]
    run.until(lambda: len(run.of("GPU-bbbb")) >= 2, "readings of it")
    assert {sample["utilisation"] for sample in run.of("GPU-bbbb")} == {31}
    assert driver.inits == 1


def test_a_device_that_was_lost_when_it_began_gets_its_name_later(
    driver: Driver, poll: MakeRun
) -> None:
    driver.set("fault 1 handle 15")
    run = poll()
    run.until(lambda: run.of("index-1"), "a row for it")
    assert run.of("index-1")[0]["status"] == "lost"
    driver.set()
    run.until(lambda: run.of("GPU-bbbb"), "its name")
    assert run.of("GPU-bbbb")[0]["utilisation"] == 31


def test_a_call_that_hangs_stalls_its_device_only(driver: Driver, poll: MakeRun) -> None:
    driver.set("gpus 8")
    run = poll()
    run.until(lambda: len(run.of("GPU-dddd")) >= 2, "two readings")
    driver.set("gpus 8", "hang 3 clock")
    run.until(lambda: run.news, "that it is noticed")
    ((level, text),) = run.news
    assert level == "warning"
    assert text.startswith(
        "GPU 3, Fake A100 (GPU-dddd) can't be asked: the driver has not answered"
    )
    run.until(lambda: len(run.of("GPU-hhhh")) >= 10, "ten rounds of the others")
    counts = Counter(sample["gpu_uuid"] for sample in run.samples)
    others = [counts[f"GPU-{letter * 4}"] for letter in "abcefgh"]
    assert max(others) - min(others) <= 1, "all others are read as often as before"
    stuck = run.of("GPU-dddd")
    assert {sample["status"] for sample in stuck} == {"error"}
    assert {sample["sm_clock_mhz"] for sample in stuck} == {None}
    driver.set("gpus 8")
    run.until(lambda: run.news, "that it answers again")
    assert run.news == [("info", "GPU 3, Fake A100 (GPU-dddd) answers again")]
    run.until(lambda: len(run.of("GPU-dddd")) >= 2, "readings of it")
    assert {sample["sm_clock_mhz"] for sample in run.of("GPU-dddd")} == {1413}


def test_a_process_with_a_call_that_hangs_ends_all_the_same(driver: Driver, poll: MakeRun) -> None:
    driver.set("hang 0 memory")
    run = poll()
    run.until(lambda: run.of("GPU-bbbb"), "the other device")
    assert run.end() < 5.0


def test_a_slow_device_is_read_less_often_and_is_not_stalled(driver: Driver, poll: MakeRun) -> None:
    """Its calls take 300 ms, three times as long as it may hold up the others."""
    driver.set("delay 0 power 300")
    run = poll()
    run.until(lambda: len(run.of("GPU-aaaa")) >= 4, "four readings of it")
    assert {sample["status"] for sample in run.samples} == {"ok"}
    assert {sample["power_w"] for sample in run.of("GPU-aaaa")} == {250.5}
    assert len(run.of("GPU-bbbb")) > len(run.of("GPU-aaaa"))
    assert run.news == []


def test_a_library_that_does_not_start_costs_some_seconds(driver: Driver, poll: MakeRun) -> None:
    driver.set("init -1")
    run = poll(start_s=0.3)
    assert run.start["unavailable"] == "the NVIDIA driver can't be asked (no answer within 0 s)"
    assert run.start["absent"] is False
    assert run.start["gpus"] == 0


def test_without_a_driver_a_workers_gpu_says_so(driver: Driver, poll: MakeRun) -> None:
    run = poll(library="broken")
    assert run.start["absent"] is True
    run.tell("watch 1 GPU-aaaa 4242")
    run.until(lambda: len(run.samples) >= 2, "rows")
    for sample in run.samples:
        assert (sample["gpu_uuid"], sample["status"]) == ("GPU-aaaa", "no driver")
        assert sample["reason"].startswith("no NVIDIA driver (")
        assert sample["utilisation"] is None and sample["memory_used"] is None
    spaces = [b["at"] - a["at"] for a, b in pairwise(run.samples)]
    assert min(spaces) > 0.4, "not more often than a slow reading"


def test_workers_are_ours_and_all_else_is_others(driver: Driver, poll: MakeRun) -> None:
    driver.set("process 0 4242 1000", "process 0 4243 500", "process 1 4242 70")
    run = poll(slow_s=0.1)
    run.tell("watch 7 GPU-aaaa 4242")

    def others(uuid: str) -> Any:
        rows = [one for one in run.of(uuid) if one["processes"] is not None]
        return rows and (rows[-1]["other_processes"], rows[-1]["other_memory"])

    run.until(lambda: others("GPU-aaaa") == (1, 500), "that one of two is ours")
    run.until(lambda: others("GPU-bbbb"), "the other device")
    assert others("GPU-bbbb") == (1, 70), "the same id on a GPU that no worker of ours is on"
    run.tell("forget 7")
    run.until(lambda: others("GPU-aaaa") == (2, 1500), "that none is ours any more")


def test_a_gpu_that_only_a_worker_knows_is_read_too(driver: Driver, poll: MakeRun) -> None:
    run = poll()
    run.until(lambda: run.samples, "readings")
    driver.set("gpus 2", "mig 1 1")  # made after the poller began
    run.tell("watch 1 MIG-bbbb-0 4242")
    run.until(lambda: run.of("MIG-bbbb-0"), "readings of the instance")
    assert run.of("MIG-bbbb-0")[0]["memory_used"] == (5 + 1 + 20) * 2**30
