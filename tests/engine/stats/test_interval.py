"""Intervals: every resample is the coefficient of what it drew, and n counts checkpoints."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ctv_engine.stats.bootstrap import RESAMPLES, moving_block_counts
from ctv_engine.stats.correlation import kendall, partial, pearson, spearman
from ctv_engine.stats.interval import (
    Coefficient,
    Points,
    effective_steps,
    resampled,
    with_interval,
)

METHODS: tuple[Coefficient, ...] = ("pearson", "spearman", "kendall", "partial")


def points(steps: int, datasets: int, seed: int, levels: int | None = None) -> Points:
    rng = np.random.default_rng(seed)
    step = np.repeat(100.0 * np.arange(1, steps + 1), datasets)
    level = np.tile(rng.uniform(0.2, 0.8, datasets), steps)
    x, y = (level + step / 1e4 + rng.normal(0, 0.1, steps * datasets) for _ in range(2))
    if levels:
        x, y = np.round(x * levels) / levels, np.round(y * levels) / levels
    return Points.of(x.tolist(), y.tolist(), step.tolist())


def coefficient(method: Coefficient, x: object, y: object, step: object) -> float:
    try:
        if method == "partial":
            return partial(x, y, step)  # type: ignore[arg-type]
        return {"pearson": pearson, "spearman": spearman, "kendall": kendall}[method](x, y)  # type: ignore[arg-type]
    except ValueError:
        return math.nan


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("steps", "datasets", "levels"), [(6, 1, 4), (20, 1, None), (7, 3, 9)])
def test_a_resample_is_the_coefficient_of_the_points_it_drew(
    method: Coefficient, steps: int, datasets: int, levels: int | None
) -> None:
    made = points(steps, datasets, 1, levels)
    counts = moving_block_counts(steps)[:200]
    found = resampled(method, made, counts)
    place = np.repeat(np.arange(steps), datasets)
    for row, value in zip(counts, found, strict=True):
        drawn = np.repeat(np.arange(len(made.x)), row[place].astype(int))
        wanted = coefficient(method, made.x[drawn], made.y[drawn], made.step[drawn])
        assert value == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_blocks_are_neighbours_and_every_resample_has_n_points() -> None:
    counts = moving_block_counts(9)
    assert counts.shape == (RESAMPLES, 9)
    assert set(counts.sum(axis=1)) == {9.0}
    # Three blocks of three: each draw of a place in the middle brings a neighbour along.
    middle = counts[:, 4] > 0
    assert ((counts[middle][:, [3, 5]] > 0).any(axis=1)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("datasets", [1, 4])
@pytest.mark.parametrize("steps", [5, 12, 40])
def test_the_interval_contains_r(method: Coefficient, datasets: int, steps: int) -> None:
    for seed in range(4):
        found = with_interval(method, points(steps, datasets, seed))
        assert found.r is not None and found.low is not None and found.high is not None
        assert -1.0 <= found.low <= found.r <= found.high <= 1.0
        assert (found.n, found.reason) == (steps, None)


@pytest.mark.parametrize(
    ("method", "width"),
    [
        ("pearson", lambda r: 1 / math.sqrt(9)),
        ("spearman", lambda r: math.sqrt((1 + r * r / 2) / 9)),
        ("kendall", lambda r: math.sqrt(0.437 / 8)),
        ("partial", lambda r: 1 / math.sqrt(8)),
    ],
)
def test_the_interval_is_never_narrower_than_that_of_independent_points(
    method: Coefficient, width: object
) -> None:
    for seed in range(5):
        found = with_interval(method, points(12, 1, seed))
        assert found.r is not None and found.low is not None and found.high is not None
        half = 1.959963984540054 * width(found.r)  # type: ignore[operator]
        assert found.low <= math.tanh(math.atanh(found.r) - half) + 1e-12
        assert found.high >= math.tanh(math.atanh(found.r) + half) - 1e-12


def test_points_come_in_the_order_of_their_steps() -> None:
    made = Points.of([3, 1, 2], [30, 10, 20], [300, 100, 200])
    assert (made.x.tolist(), made.y.tolist()) == ([1, 2, 3], [10, 20, 30])
    assert made.starts.tolist() == [0, 1, 2]
    assert Points.of([1, 2, 3], [1, 2, 3], [7, 7, 9]).starts.tolist() == [0, 2]


@pytest.mark.parametrize("method", METHODS)
def test_few_or_constant_points_have_a_reason(method: Coefficient) -> None:
    few = with_interval(method, points(4, 1, 2))
    assert few.r is not None
    assert (few.low, few.high, few.reason) == (None, None, "fewer than 5 points")
    flat = with_interval(method, Points.of([0.5] * 8, list(range(8)), list(range(8))))
    assert (flat.r, flat.low, flat.n) == (None, None, 8)
    assert flat.reason


def test_neighbours_that_go_together_count_for_less() -> None:
    rng = np.random.default_rng(5)
    x, y, step = rng.random(12), rng.random(12), np.sort(rng.choice(500, 12, replace=False))
    for k in range(1, 12):  # both remember, and rise
        x[k] += 0.8 * x[k - 1]
        y[k] += 0.8 * y[k - 1]

    def memory(series: np.ndarray) -> float:
        rest = series - np.polyval(np.polyfit(step, series, 1), step)
        return max(0.0, float(np.sum(rest[:-1] * rest[1:]) / np.sum(rest**2)))

    p = memory(x) * memory(y)
    assert p > 0.05, "there is something to find"
    found = effective_steps(Points.of(x.tolist(), y.tolist(), step.tolist()))
    assert found == pytest.approx(12 * (1 - p) / (1 + p), abs=1e-9)
    pooled = Points.of(
        [*(x - 0.1), *(x + 0.1)], [*(y - 0.2), *(y + 0.2)], [*step.tolist(), *step.tolist()]
    )
    assert effective_steps(pooled) == pytest.approx(found, abs=1e-9), "by the steps' means"


def test_a_straight_rise_is_no_memory_and_five_are_left() -> None:
    rise, around = np.arange(20.0), np.tile([0.1, -0.1], 10)
    steps = list(range(20))
    assert effective_steps(Points.of(rise.tolist(), (3 * rise).tolist(), steps)) == 20
    assert effective_steps(Points.of((rise + around).tolist(), rise.tolist(), steps)) == 20
    slow = np.sin(rise / 3)
    assert 5 <= effective_steps(Points.of(slow.tolist(), slow.tolist(), steps)) < 7
