"""Standard errors by definition and against SciPy; detectable differences against tables."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from ctv_engine.stats.sampling import (
    items_needed,
    macro_standard_error,
    paired_deviation,
    smallest_detectable_difference,
    standard_error,
)


@pytest.mark.parametrize("n", [2, 7, 400])
def test_of_independent_items_it_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).random(n).tolist()
    assert standard_error(values) == pytest.approx(stats.sem(values), rel=1e-12)
    assert standard_error(values, list(range(n))) == pytest.approx(stats.sem(values), rel=1e-12)


def test_of_equal_clusters_it_is_that_of_their_means() -> None:
    values = np.random.default_rng(1).random(60)
    images = [f"image {k // 3}" for k in range(60)]
    wanted = stats.sem(values.reshape(20, 3).mean(axis=1))
    assert standard_error(values.tolist(), images) == pytest.approx(wanted, rel=1e-12)


def test_of_unequal_clusters_by_hand() -> None:
    # Mean 0.5; deviations of image a: 0.5 + 0.5 = 1, of b: −0.5, of c: −0.5.
    # sqrt(3/2 · (1 + 0.25 + 0.25)) / 4 = 0.375.
    assert standard_error([1, 1, 0, 0], ["a", "a", "b", "c"]) == pytest.approx(0.375)


def test_items_that_copy_each_other_add_nothing() -> None:
    values = [0.1, 0.9, 0.4, 0.6, 0.3]
    once = standard_error(values)
    copied = standard_error([v for v in values for _ in range(10)], [k // 10 for k in range(50)])
    assert copied == pytest.approx(once)
    assert standard_error([v for v in values for _ in range(10)]) < 0.4 * once  # type: ignore[operator]


def test_it_is_the_spread_of_the_mean_over_many_draws() -> None:
    rng = np.random.default_rng(2)
    drawn, told = [], []
    for _ in range(2000):
        level = rng.normal(0, 1, 50)
        values = np.repeat(level, 4) + rng.normal(0, 1, 200)
        drawn.append(values.mean())
        told.append(standard_error(values.tolist(), [k // 4 for k in range(200)]))
    assert statistics.fmean(told) == pytest.approx(statistics.stdev(drawn), rel=0.05)  # type: ignore[type-var]


def test_a_single_image_has_none() -> None:
    assert standard_error([1.0]) is None
    assert standard_error([0.0, 1.0], ["a", "a"]) is None


def test_macro_mean() -> None:
    assert macro_standard_error([0.03, 0.04]) == pytest.approx(0.05 / 2)


def test_binomial_standard_errors_at_60_percent_in_points() -> None:
    for n, points in ((180, 3.7), (450, 2.3), (2230, 1.0), (39_400, 0.25)):
        answers = [1.0] * round(0.6 * n) + [0.0] * (n - round(0.6 * n))
        assert 100 * standard_error(answers) == pytest.approx(points, abs=0.06)  # type: ignore[operator]


@pytest.mark.parametrize("effect", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("power", "level"), [(0.8, 0.05), (0.9, 0.01)])
def test_at_the_detectable_difference_the_test_has_that_power(
    effect: float, power: float, level: float
) -> None:
    n = items_needed(effect, 1.0, power=power, level=level)
    critical = stats.norm.ppf(1 - level / 2)
    assert 1 - stats.norm.cdf(critical - effect * math.sqrt(n)) >= power
    assert 1 - stats.norm.cdf(critical - effect * math.sqrt(n - 1)) < power
    assert smallest_detectable_difference(n, 1.0, power=power, level=level) <= effect


def test_known_sample_sizes() -> None:
    # (1.959964 + 0.841621)² = 7.8489: textbook sizes for effects of 0.2, 0.5 and 0.8 deviations.
    assert [items_needed(d, 1.0) for d in (0.2, 0.5, 0.8)] == [197, 32, 13]
    # 2,230 items at 60 %, answers correlated by 0.5: 2.8016 · sqrt(0.24) / sqrt(2230).
    found = smallest_detectable_difference(2230, paired_deviation(0.6, 0.5))
    assert found == pytest.approx(0.02906, abs=1e-5)


def test_deviation_of_a_paired_difference() -> None:
    rng = np.random.default_rng(3)
    both = rng.random(200_000) < 0.5  # the same answer half of the time: ρ = 0.5
    one = rng.random(200_000) < 0.6
    other = np.where(both, one, rng.random(200_000) < 0.6)
    assert np.std(other - one.astype(float)) == pytest.approx(paired_deviation(0.6, 0.5), rel=0.01)
    assert paired_deviation(0.6, 1.0) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: standard_error([]), "no items"),
        (lambda: standard_error([1.0, 0.0], ["a"]), "1 clusters for 2 items"),
        (lambda: standard_error([1.0, math.nan]), "not finite"),
        (lambda: macro_standard_error([]), "no means"),
        (lambda: smallest_detectable_difference(0, 0.5), "no items"),
        (lambda: smallest_detectable_difference(5, -0.5), "a deviation of -0.5"),
        (lambda: smallest_detectable_difference(5, 0.5, power=1.0), "a power of 1.0"),
        (lambda: items_needed(0.0, 0.5), "a difference of 0.0"),
        (lambda: items_needed(0.1, 0.5, level=0.0), "a level of 0.0"),
        (lambda: paired_deviation(1.2, 0.5), "a score of 1.2"),
        (lambda: paired_deviation(0.2, 1.5), "a correlation of 1.5"),
    ],
)
def test_bad_input_is_said(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
