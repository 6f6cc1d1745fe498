"""Rise, noise and signal of a series, by hand and on series whose noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ctv_engine.stats.trajectory import (
    monotonicity,
    signal_to_noise,
    signal_to_noise_of_run,
    smoothed,
    step_noise,
)


def test_noise_is_the_spread_of_the_changes_so_that_a_steady_rise_has_none() -> None:
    assert step_noise([0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.0)
    # Changes +0.2 and −0.1 about their mean 0.05: sqrt(2 · 0.15²).
    assert step_noise([0.1, 0.3, 0.2]) == pytest.approx(math.sqrt(2 * 0.15**2))


def test_noise_of_a_rise_with_independent_noise_is_the_root_of_two_of_it() -> None:
    rng = np.random.default_rng(0)
    scores = np.linspace(0, 1, 20_000) + rng.normal(0, 0.02, 20_000)
    assert step_noise(scores.tolist()) == pytest.approx(math.sqrt(2) * 0.02, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_monotonicity_is_spearmans_coefficient_with_step(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=20)
    steps = [500 * k for k in range(20)]
    wanted = stats.spearmanr(steps, scores).statistic
    assert monotonicity(steps, scores.tolist()) == pytest.approx(wanted, abs=1e-12)
    assert monotonicity(steps, sorted(scores.tolist())) == pytest.approx(1.0)


def test_signal_over_noise_by_hand() -> None:
    # (0.8 − 0.4) / 0.6 over stdev(0.5, 0.6, 0.7) / 0.6 = 0.1 / 0.6
    assert signal_to_noise([0.4, 0.6, 0.8], [0.5, 0.6, 0.7]) == pytest.approx(4.0)


def test_signal_of_a_run_is_the_spread_without_what_noise_adds() -> None:
    rng = np.random.default_rng(1)
    rise = np.linspace(0.2, 0.8, 20_000)
    found = signal_to_noise_of_run((rise + rng.normal(0, 0.05, 20_000)).tolist())
    assert found == pytest.approx(np.std(rise) / 0.05, rel=0.03)
    assert signal_to_noise_of_run([0.4, 0.6, 0.4, 0.6, 0.4]) == 0.0


def test_smoothing_keeps_a_straight_line_and_is_narrower_at_the_ends() -> None:
    assert smoothed([1.0, 2.0, 3.0, 4.0, 5.0], 3) == pytest.approx([1, 2, 3, 4, 5])
    assert smoothed([0.0, 3.0, 0.0, 0.0, 5.0], 3) == pytest.approx([0, 1, 1, 5 / 3, 5])
    assert smoothed([0.3, 0.1], 1) == [0.3, 0.1]
    assert smoothed([], 3) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: step_noise([0.1, 0.2]), "fewer than three points"),
        (lambda: step_noise([0.1, math.nan, 0.2]), "not finite"),
        (lambda: monotonicity([1, 2], [1, 2]), "fewer than three points"),
        (lambda: monotonicity([1, 2, 3], [5, 5, 5]), "does not vary"),
        (lambda: signal_to_noise([0.5], [0.5, 0.6]), "fewer than two points"),
        (lambda: signal_to_noise([0.5, 0.6], [0.5, 0.5]), "do not vary"),
        (lambda: signal_to_noise([0.0, 0.0], [0.5, 0.6]), "not positive"),
        (lambda: signal_to_noise_of_run([0.1, 0.2, 0.3]), "no noise"),
        (lambda: smoothed([0.1], 2), "a window of 2 scores"),
        (lambda: smoothed([0.1], 0), "a window of 0 scores"),
    ],
)
def test_what_is_not_defined_says_why(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
