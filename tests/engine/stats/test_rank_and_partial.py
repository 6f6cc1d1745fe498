"""Spearman, Kendall and partial correlation against SciPy, ranks by hand and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ctv_engine.stats.correlation import kendall, partial, pearson, ranks, spearman


def series(n: int, seed: int, levels: int | None) -> tuple[list[float], list[float]]:
    """Two rising series with noise; with few levels there are ties."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0.3, 0.8, n) + rng.normal(0, 0.2, n)
    y = np.linspace(0.2, 0.6, n) + rng.normal(0, 0.2, n)
    if levels:
        x, y = np.round(x * levels) / levels, np.round(y * levels) / levels
    return x.tolist(), y.tolist()


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([0.3, 0.1, 0.3, 0.2]).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert ranks([]).tolist() == []


@pytest.mark.parametrize("n", [5, 12, 60])
@pytest.mark.parametrize("levels", [None, 8])
@pytest.mark.parametrize("seed", range(4))
def test_rank_coefficients_equal_scipys(n: int, levels: int | None, seed: int) -> None:
    x, y = series(n, seed, levels)
    assert ranks(x) == pytest.approx(stats.rankdata(x))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_rank_coefficients_by_hand() -> None:
    # Differences of ranks 0, 1, 1, 0: 1 − 6·2 / (4·15); five of six pairs agree, one does not.
    assert spearman([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    assert kendall([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(4 / 6)
    # Of three pairs one is a tie in x: C = 2, D = 0, 2 / sqrt(2 · 3).
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))


@pytest.mark.parametrize("n", [4, 9, 50])
@pytest.mark.parametrize("seed", range(4))
def test_partial_is_yules_formula_and_the_correlation_of_residuals(n: int, seed: int) -> None:
    x, y = series(n, seed, None)
    step = [1000.0 * (k + 1) for k in range(n)]
    xy, xz, yz = pearson(x, y), pearson(x, step), pearson(y, step)
    wanted = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    found = partial(x, y, step)
    assert found == pytest.approx(wanted, abs=1e-9)
    rest = [
        np.asarray(one) - np.polyval(np.polyfit(np.arange(n), one, 1), np.arange(n))
        for one in (x, y)
    ]
    assert found == pytest.approx(stats.pearsonr(*rest).statistic, abs=1e-9)


def test_partial_given_step_of_two_rising_curves_with_unrelated_noise_is_small() -> None:
    rng = np.random.default_rng(5)
    step = np.arange(2000.0)
    x, y = (step / 2000 + rng.normal(0, 0.1, 2000) for _ in range(2))
    assert pearson(x, y) > 0.8
    assert abs(partial(x, y, step)) < 4 / math.sqrt(2000)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1, 2], [1, 2], "fewer than three points"),
        ([1, 2, 3], [1, 2], "series of 3 and 2 points"),
        ([1, 1, 1, 1], [1, 2, 3, 4], "does not vary"),
        ([1, 2, 3, math.nan], [1, 2, 3, 4], "not finite"),
        ([1, 2, 3, 4], [1, 2, 3, math.inf], "not finite"),
    ],
)
def test_what_has_no_rank_correlation_says_why(x: list[float], y: list[float], words: str) -> None:
    for method in (spearman, kendall):
        with pytest.raises(ValueError, match=words):
            method(x, y)


@pytest.mark.parametrize(
    ("x", "given", "words"),
    [
        ([1, 2, 3], [1, 2, 3], "fewer than four points"),
        ([0.1, 0.2, 0.3, 0.4], [10, 20, 30, 40], "straight line"),
        ([0.7, 0.7, 0.7, 0.7], [10, 20, 30, 40], "straight line"),
        ([0.1, 0.5, 0.3, 0.4], [5, 5, 5, 5], "held fixed does not vary"),
        ([0.1, 0.5, 0.3, 0.4], [1, 2, 3, math.nan], "not finite"),
    ],
)
def test_what_has_no_partial_correlation_says_why(
    x: list[float], given: list[float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        partial(x, [0.3, 0.1, 0.4, 0.1][: len(x)], given)
