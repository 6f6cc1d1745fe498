"""How steady one series of scores is over training: rise, noise, and signal over noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

from ctv_engine.stats.correlation import spearman

LEAST = 3
"""Fewer points have no spread of changes."""


def monotonicity(steps: Sequence[float], scores: Sequence[float]) -> float:
    """Return Spearman's coefficient of step and score: 1 for a score that only ever rises.

    (Kydlíček et al., FineTasks, 2024.)

    Raises:
        ValueError: fewer than three points, or scores that do not vary.
    """
    return spearman(steps, scores)


def step_noise(scores: Sequence[float]) -> float:
    """Return the sample standard deviation of the changes from each score to the next.

    A steady rise has none. If a score is a smooth curve and independent noise of deviation σ, it is
    √2·σ (von Neumann et al., Annals of Mathematical Statistics 12, 1941).

    Raises:
        ValueError: fewer than three points, or a value that is not finite.
    """
    _check(scores, LEAST)
    return statistics.stdev([later - earlier for earlier, later in pairwise(scores)])


def signal_to_noise(finals: Sequence[float], last: Sequence[float]) -> float:
    """Return the relative spread of what is to be told apart over the relative noise of one run.

    (max - min) / mean of ``finals`` over (standard deviation) / mean of ``last`` (Heineman et al.,
    Signal and Noise, arXiv 2508.13144, 2025).

    Args:
        finals: scores to be told apart, such as the last of each of several runs.
        last: scores of the last checkpoints of one run, between which nothing real changes.

    Raises:
        ValueError: fewer than two of either, a mean that is not positive, or no noise.
    """
    _check(finals, 2)
    _check(last, 2)
    middle, level = statistics.fmean(finals), statistics.fmean(last)
    if middle <= 0 or level <= 0:
        raise ValueError("the mean of the scores is not positive")
    noise = statistics.stdev(last) / level
    if not noise > 1e-12:
        raise ValueError("the last scores do not vary")
    return (max(finals) - min(finals)) / middle / noise


def signal_to_noise_of_run(scores: Sequence[float]) -> float:
    """Return how far a run moved its score over the noise of one score.

    The standard deviation of the scores less what noise adds to it, over the noise, which is
    :func:`step_noise` / √2: sqrt(max(0, s² - σ²)) / σ. It needs no other run and none of the
    standstill that :func:`signal_to_noise` takes the last checkpoints for.

    Raises:
        ValueError: fewer than three points, or a rise without any noise.
    """
    noise = step_noise(scores) / math.sqrt(2)
    spread = statistics.stdev(scores)
    if noise <= 1e-12 * max(1e-12, max(map(abs, scores))):
        raise ValueError("the scores have no noise")
    return math.sqrt(max(0.0, spread**2 - noise**2)) / noise


def smoothed(scores: Sequence[float], window: int) -> list[float]:
    """Return the mean of each score and its neighbours, ``window`` in all, fewer at the ends.

    Neighbours are taken evenly on both sides, so that a smoothed score stands at its own step.

    Raises:
        ValueError: the window is not a positive odd number.
    """
    half = half_width(window)
    return [
        statistics.fmean(scores[max(0, k - near) : k + near + 1])
        for k in range(len(scores))
        for near in [min(half, k, len(scores) - 1 - k)]
    ]


def half_width(window: int) -> int:
    """Return how many neighbours on each side a centred window has.

    Raises:
        ValueError: the window is not a positive odd number.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"a window of {window} scores; a centred one has 1, 3, 5, …")
    return window // 2


def _check(scores: Sequence[float], least: int) -> None:
    if len(scores) < least:
        raise ValueError(f"fewer than {['', '', 'two', 'three'][least]} points")
    if not all(map(math.isfinite, scores)):
        raise ValueError("a value is not finite")
