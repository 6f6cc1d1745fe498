"""The coordinator's side of a cluster, with a driver that knows no Ray."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import talkative_driver
from engine_run import wait_until

from ctv_engine.cluster import ray_pool
from ctv_engine.cluster.messages import ClusterSettings
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import Batch, Checkpoint, Unit

UNITS = 100


def unit(number: int) -> Unit:
    """A unit of some length, that of a batch with long questions."""
    batch = Batch(number, (), (), Path("/" + talkative_driver.LONG))
    return Unit(number, 1, Checkpoint(1, 1, Path("/c"), "d"), "closed", batch, 1)


def test_both_may_talk_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends waits for the other's attention, and must go on listening meanwhile."""
    monkeypatch.setattr(ray_pool, "run_driver", talkative_driver.run_driver)
    worker = WorkerSettings(device="", dtype="auto", processor=None)
    pool = ray_pool.RayPool(ClusterSettings(None, worker, 1, "auto", silence_s=10.0))
    answered: list[Any] = []
    pool.start(1, "somewhere/cpu:0")

    def send() -> None:
        for number in range(UNITS):
            pool.send(1, unit(number))

    sending = threading.Thread(target=send, daemon=True)
    sending.start()

    def all_heard() -> bool:
        answered.extend(message for _, message in pool.receive(0.1))
        return len(answered) == UNITS

    try:
        wait_until(all_heard, "every unit is answered", deadline_s=60.0)
        assert [message.unit_id for message in answered] == list(range(UNITS))
        assert len(pool.news()) == talkative_driver.SAID
    finally:
        pool.stop()
