"""Pearson's r against SciPy, and what its interval promises."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from ctv_engine.stats.correlation import pearson
from ctv_engine.stats.interval import pearson_with_interval


def noisy(n: int, seed: int, slope: float = 1.0) -> tuple[list[float], list[float]]:
    """Two rising series with noise, as accuracies of checkpoints are."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0.3, 0.8, n) + rng.normal(0, 0.05, n)
    y = slope * np.linspace(0.2, 0.6, n) + rng.normal(0, 0.05, n)
    return x.tolist(), y.tolist()


@pytest.mark.parametrize("n", [2, 3, 5, 20, 300])
@pytest.mark.parametrize("slope", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e6])
def test_r_equals_scipys(n: int, slope: float, scale: float) -> None:
    for seed in range(5):
        x, y = noisy(n, seed, slope)
        x = [scale * value for value in x]
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


def test_r_by_hand() -> None:
    # deviations (-1, 0, 1) and (-1, 2, -1) are orthogonal; (-1, 0, 1) and (-1, -1, 2) give
    # 3 / √(2 · 6)
    assert pearson([1, 2, 3], [0, 3, 0]) == pytest.approx(0.0, abs=1e-15)
    assert pearson([1, 2, 3], [0, 0, 3]) == pytest.approx(3 / math.sqrt(12))
    assert pearson([1, 2, 3], [30, 20, 10]) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([], [], "fewer than two points"),
        ([1.0], [1.0], "fewer than two points"),
        ([1.0, 2.0], [1.0], "series of 2 and 1 points"),
        ([0.5] * 6, [1, 2, 3, 4, 5, 6], "does not vary"),
        ([1, 2, 3, 4, 5, 6], [0.1] * 6, "does not vary"),
        ([0.1] * 30, [0.7] * 30, "does not vary"),
        ([1.0, math.nan, 2.0], [1.0, 2.0, 3.0], "not finite"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, math.inf], "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_has_no_r_says_why(x: list[float], y: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pearson(x, y)
    if len(x) == len(y):
        found = pearson_with_interval(x, y)
        assert (found.r, found.low, found.high, found.n) == (None, None, None, len(x))
        assert words in (found.reason or "")


@pytest.mark.parametrize("n", [2, 3, 4])
def test_fewer_than_five_points_have_no_interval(n: int) -> None:
    x, y = noisy(n, 1)
    found = pearson_with_interval(x, y)
    assert found.r == pearson(x, y)
    assert (found.low, found.high, found.n) == (None, None, n)
    assert found.reason == "fewer than 5 points"


@pytest.mark.parametrize("n", [5, 8, 30])
@pytest.mark.parametrize("slope", [1.0, 0.0, -1.0])
def test_the_interval_contains_r_and_is_one_of_coefficients(n: int, slope: float) -> None:
    for seed in range(10):
        found = pearson_with_interval(*noisy(n, seed, slope))
        assert found.r is not None and found.low is not None and found.high is not None
        assert -1.0 <= found.low <= found.r <= found.high <= 1.0
        assert found.reason is None


@pytest.mark.parametrize("n", [5, 7, 11, 40])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_interval_of_a_straight_line(n: int, sign: int) -> None:
    x = [math.sqrt(value) for value in range(n)]
    found = pearson_with_interval(x, [sign * 0.1 * value for value in x])
    assert found.low is not None and found.high is not None and found.r is not None
    assert -1.0 <= found.low <= found.high <= 1.0
    assert (found.low, found.high) == pytest.approx((sign, sign), abs=1e-12)


def test_more_points_make_the_interval_narrower() -> None:
    widths = []
    for n in (8, 40, 200):
        found = pearson_with_interval(*noisy(n, 2, slope=0.5))
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_the_same_points_give_the_same_interval() -> None:
    x, y = noisy(12, 3)
    assert pearson_with_interval(x, y) == pearson_with_interval(list(x), list(y))


def test_series_that_vary_in_one_point_alone() -> None:
    x = [0.0] * 9 + [1.0]
    found = pearson_with_interval(x, x)
    assert found.r == pytest.approx(1.0)
    assert found.low is None or found.low == pytest.approx(1.0)


def test_statistics_need_no_torch() -> None:
    code = "import sys, ctv_engine.stats.track; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
