"""How a series follows gold: ranks, pairs, noise. Numbers by hand or from their definition."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from ctv_tui.data import words
from ctv_tui.data.snapshot import Point, Trajectory
from ctv_tui.data.tracks import Tracks, noise, ranks, spearman, track


def points(*values: float | None, complete: bool = True) -> tuple[Point, ...]:
    return tuple(Point(100 * n, value, None, 10, complete) for n, value in enumerate(values, 1))


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([0.3, 0.1, 0.3, 0.2]) == [3.5, 1.0, 3.5, 2.0]
    assert ranks([]) == []


def test_spearman_without_ties_is_one_minus_six_times_the_squared_rank_differences() -> None:
    # Differences of ranks 0, 1, 1, 0: 1 − 6·2 / (4·15) = 0.8.
    assert spearman([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [9, 5, 1]) == pytest.approx(-1.0)


@pytest.mark.parametrize(("x", "y"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([], [])])
def test_spearman_of_too_few_points_or_a_constant_is_not_known(
    x: list[float], y: list[float]
) -> None:
    assert spearman(x, y) is None


def test_noise_is_the_spread_of_the_changes_so_that_a_steady_rise_has_none() -> None:
    assert noise([0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.0)
    # Changes +0.2 and −0.1 about their mean 0.05: sqrt(2 · 0.15²).
    assert noise([0.1, 0.3, 0.2]) == pytest.approx(math.sqrt(2 * 0.15**2))
    assert noise([0.1, 0.3]) is None


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_those_that_counting_one_by_one_finds(seed: int) -> None:
    chance = random.Random(seed)
    proxy, gold = (points(*[chance.randint(0, 6) / 6 for _ in range(40)]) for _ in range(2))
    told = [
        (a, b)
        for a, b in combinations(range(40), 2)
        if gold[a].value != gold[b].value
    ]  # fmt: skip
    agreeing = sum(
        (proxy[b].value - proxy[a].value) * (gold[b].value - gold[a].value) > 0  # type: ignore[operator]
        for a, b in told
    )
    assert words.agreement(proxy, gold) == words.Agreement(agreeing, len(told))


def test_only_complete_numbers_of_both_count() -> None:
    own = (*points(0.1, None, math.nan, 0.4), Point(500, 0.9, None, 3, False))
    found = track("closed", "macro", own, points(0.2, 0.3, 0.4, 0.5, 0.6))
    assert found.n == 2 and found.pairs == 1 and found.decision_accuracy == 1.0
    assert found.spearman is None and found.noise is None


def test_gold_itself_has_noise_and_monotonicity_only() -> None:
    gold = points(0.1, 0.3, 0.2, 0.4)
    found = track("gold", "macro", gold, gold)
    assert found.spearman is None and found.pairs == 0 and found.decision_accuracy is None
    assert found.monotonicity == pytest.approx(0.8) and found.noise is not None


def test_without_gold_there_is_still_noise() -> None:
    found = track("closed", "macro", points(0.1, 0.2, 0.4), ())
    assert found.n == 0 and found.pairs == 0
    assert found.monotonicity == pytest.approx(1.0) and found.noise is not None


def test_only_what_changed_is_compared_anew() -> None:
    closed, opened, gold = (
        Trajectory(mode, "macro", points(0.1, 0.2, 0.3))  # type: ignore[arg-type]
        for mode in ("closed", "open", "gold")
    )
    tracks = Tracks()
    tracks.update((closed, opened, gold))
    before = {t.mode: t for t in tracks.tracks}
    changed = Trajectory("open", "macro", points(0.3, 0.2, 0.1))
    tracks.update((closed, changed, gold))
    after = {t.mode: t for t in tracks.tracks}
    assert after["closed"] is before["closed"]
    assert before["open"].agreeing == 3 and after["open"].agreeing == 0
