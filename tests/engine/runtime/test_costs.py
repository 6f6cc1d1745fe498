"""What a batch is expected to cost."""

from __future__ import annotations

import pytest

from ctv_engine.runtime.costs import (
    FIRST_GUESS_S,
    NEW_TOKEN_WEIGHT,
    CostModel,
    MemoryLimits,
    Ratio,
    padded_size,
)
from ctv_engine.runtime.messages import Task

A, B, C = ("d", "a"), ("d", "b"), ("d", "c")
ZERO = (0, 0)


def test_the_recorded_seconds_of_the_same_items_are_summed() -> None:
    costs = CostModel({("closed", A): 0.5, ("closed", B): 0.25, ("open", A): 9.0})
    closed = costs.estimate("closed", [A, B], (10, 10), ZERO)
    assert costs.seconds(closed) == pytest.approx(0.75)
    assert costs.rank(closed) == pytest.approx(0.75)
    assert costs.seconds(costs.estimate("open", [A], (10,), (4,))) == pytest.approx(9.0)


def test_without_any_measurement_batches_can_be_compared_but_not_timed() -> None:
    costs = CostModel()
    short = costs.estimate("closed", [A], (100,), (0,))
    long = costs.estimate("closed", [B], (300,), (0,))
    assert costs.seconds(short) is None
    assert costs.rank(long) == pytest.approx(3 * costs.rank(short))
    assert costs.rank(short) == pytest.approx(100 * FIRST_GUESS_S)


def test_open_work_counts_what_may_be_written_closed_work_does_not() -> None:
    costs = CostModel()
    written = costs.estimate("open", [A], (100,), (50,)).new_work
    assert written == 100 + NEW_TOKEN_WEIGHT * 50
    assert costs.estimate("closed", [A], (100,), (50,)).new_work == 100


def test_the_prior_is_scaled_by_what_has_finished() -> None:
    costs = CostModel()
    costs.observe("closed", [A, B], (100, 300), ZERO, {A: 0.02, B: 0.06})
    assert costs.seconds(costs.estimate("closed", [C], (500,), (0,))) == pytest.approx(0.1)
    assert costs.seconds(costs.estimate("open", [C], (500,), (9,))) is None, "a task of its own"


def test_an_items_own_past_beats_the_prior() -> None:
    costs = CostModel()
    costs.observe("closed", [A, B], (100, 100), ZERO, {A: 0.3, B: 0.1})
    mixed = costs.estimate("closed", [A, C], (100, 100), ZERO)
    assert mixed.recorded_s == pytest.approx(0.3)
    assert costs.seconds(mixed) == pytest.approx(0.3 + 0.2)


def test_items_without_an_answer_teach_nothing() -> None:
    costs = CostModel()
    costs.observe("closed", [A, B], (100, 100), ZERO, {A: 0.1})
    assert costs.estimate("closed", [B], (100,), (0,)).recorded_s == 0
    assert costs.seconds(costs.estimate("closed", [B], (100,), (0,))) == pytest.approx(0.1)


def test_a_machine_that_became_slower_stretches_what_was_recorded() -> None:
    recorded: dict[tuple[Task, tuple[str, str]], float] = {
        ("closed", name): 0.1 for name in (A, B, C)
    }
    costs = CostModel(recorded)
    costs.observe("closed", [A, B], (10, 10), ZERO, {A: 0.3, B: 0.3})
    assert costs.seconds(costs.estimate("closed", [C], (10,), (0,))) == pytest.approx(0.3)


def test_a_ratio_follows_the_recent_past() -> None:
    ratio = Ratio()
    assert ratio.value is None
    ratio.add(5.0, 0.0)
    assert ratio.value is None, "nothing was expected, so nothing is learned"
    for _ in range(400):
        ratio.add(2.0, 1.0)
    for _ in range(400):
        ratio.add(4.0, 1.0)
    assert ratio.value == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize(("tokens", "rows", "size"), [((5, 9, 7), 3, 27), ((), 3, 3), ((4,), 1, 4)])
def test_padded_size(tokens: tuple[int, ...], rows: int, size: int) -> None:
    assert padded_size(tokens, rows) == size


def test_the_smallest_batch_that_did_not_fit_is_remembered_per_model_device_and_task() -> None:
    limits = MemoryLimits()
    assert limits.fits("m", "A100", "closed", 10**9)
    limits.note("m", "A100", "closed", 800)
    limits.note("m", "A100", "closed", 1200)
    fits = {size: limits.fits("m", "A100", "closed", size) for size in (799, 800, 1000)}
    assert fits == {799: True, 800: False, 1000: False}
    assert limits.fits("m", "H100", "closed", 1000)
    assert limits.fits("other", "A100", "closed", 1000)
    assert limits.fits("m", "A100", "open", 1000)
