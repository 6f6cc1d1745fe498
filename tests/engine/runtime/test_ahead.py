"""Inputs that are prepared while another unit runs: only as long as what they rely on holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ctv_engine.models import self_check as module
from ctv_engine.models.processor_files import processor_digest
from ctv_engine.runtime.answering import Worker, WorkerSettings
from ctv_engine.runtime.messages import Batch, Checkpoint, Unit, UnitDone
from ctv_engine.suite import Suite

torch.set_num_threads(1)


def unit(number: int, directory: Path, suite: Suite, places: slice) -> Unit:
    items = suite.items[places]
    datasets = tuple(suite.dataset(item.dataset) for item in items)
    checkpoint = Checkpoint(1, 10, directory, str(directory), processor_digest(directory))
    batch = Batch(number, items, datasets, suite.directory)
    return Unit(number, 7, checkpoint, "pair", batch, attempt=1)


def test_what_was_prepared_during_the_self_check_is_prepared_again(
    checkpoints: list[Path], suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work and last digits must not depend on the moment at which a unit arrives.

    The second one arrives before the decode loop is proven, so that forms seem to need two chunks.
    """
    worker = Worker(WorkerSettings("cpu:0", "float32", None, slots=16, batch_tokens=10**6))
    first = unit(1, checkpoints[0], suite, slice(0, 4))
    second = unit(2, checkpoints[0], suite, slice(4, 8))
    real = module._stepwise_difference
    chunks: list[int] = []

    def in_the_middle(*arguments: Any) -> float:
        worker.expect(second)
        prepared = worker._ahead[2].result(60)
        assert prepared is not None
        chunks.append(len(prepared.chunks))
        return real(*arguments)

    monkeypatch.setattr(module, "_stepwise_difference", in_the_middle)
    assert isinstance(worker.run(first, lambda _: None), UnitDone)
    assert worker._adapter.abilities.stepwise
    assert chunks == [2]
    ahead = worker.run(second, lambda _: None)
    again = worker.run(second, lambda _: None)
    assert isinstance(ahead, UnitDone) and isinstance(again, UnitDone)
    assert ahead.work.shared_tokens == again.work.shared_tokens > 0
    assert ahead.work.forwards == again.work.forwards


def test_pictures_are_booked_to_the_unit_that_they_are_for(
    checkpoints: list[Path], suite: Suite
) -> None:
    """However much of it is read while another unit runs."""

    def counts(done: object) -> tuple[int, int]:
        assert isinstance(done, UnitDone)
        return done.work.images_decoded, done.work.images_reused

    worker = Worker(WorkerSettings("cpu:0", "float32", None, slots=16, batch_tokens=10**6))
    first = unit(1, checkpoints[0], suite, slice(0, 4))
    second = unit(2, checkpoints[0], suite, slice(4, 8))
    worker.run(first, lambda _: None)  # proves its shortcuts
    expected = [counts(worker.run(one, lambda _: None)) for one in (first, second)]
    assert all(decoded > 0 for decoded, _ in expected)
    for one in (first, second):
        worker.expect(one)
    assert worker._ahead[2].result(60) is not None  # read before the first one runs
    assert [counts(worker.run(one, lambda _: None)) for one in (first, second)] == expected
