"""Intervals of what is counted over checkpoints: decisions and noise. By moving blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ctv_engine.stats.bootstrap import PERCENTILES_95, Floats, moving_block_counts
from ctv_engine.stats.interval import LEAST_FOR_INTERVAL


def agreement_interval(proxy: Sequence[float], gold: Sequence[float]) -> tuple[float, float] | None:
    """Return a 95 % interval of the decision accuracy; None below five checkpoints.

    Percentiles of :func:`ctv_engine.stats.agreement.decision_accuracy` over resamples of blocks of
    neighbouring checkpoints (see :func:`ctv_engine.stats.bootstrap.moving_block_counts`). A
    checkpoint drawn twice is no pair with itself. With few checkpoints it is too narrow, as every
    bootstrap is.

    Args:
        proxy: scores in ascending order of step, shape ``(checkpoints,)``.
        gold: gold's scores of the same checkpoints.

    Raises:
        ValueError: the lengths differ, or a value is not finite.
    """
    if len(proxy) != len(gold):
        raise ValueError(f"series of {len(proxy)} and {len(gold)} points")
    if not all(map(math.isfinite, (*proxy, *gold))):
        raise ValueError("a value is not finite")
    if len(proxy) < LEAST_FOR_INTERVAL:
        return None
    mine, theirs = np.asarray(proxy, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    counts = moving_block_counts(len(mine))
    told = theirs[:, np.newaxis] > theirs
    alike = told & (mine[:, np.newaxis] > mine)
    return _interval(_drawn_pairs(counts, alike), _drawn_pairs(counts, told))


def noise_interval(scores: Sequence[float]) -> tuple[float, float] | None:
    """Return a 95 % interval of the step-to-step noise; None below five checkpoints.

    Percentiles of :func:`ctv_engine.stats.trajectory.step_noise` over resamples of blocks of
    neighbouring changes.

    Args:
        scores: in ascending order of step.

    Raises:
        ValueError: a value is not finite.
    """
    if not all(map(math.isfinite, scores)):
        raise ValueError("a value is not finite")
    if len(scores) < LEAST_FOR_INTERVAL:
        return None
    changes = np.diff(np.asarray(scores, dtype=np.float64))
    counts = moving_block_counts(len(changes))
    n = len(changes)
    around = changes - changes.mean()
    square = counts @ around**2 - (counts @ around) ** 2 / n
    low, high = np.percentile(np.sqrt(np.maximum(0.0, square) / (n - 1)), PERCENTILES_95)
    return float(low), float(high)


def _drawn_pairs(counts: Floats, pairs: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Floats:
    """Return how many of the marked pairs each resample draws, shape ``(RESAMPLES,)``."""
    return np.asarray(((counts @ pairs.astype(np.float64)) * counts).sum(axis=1))


def _interval(part: Floats, whole: Floats) -> tuple[float, float] | None:
    told = whole > 0
    if not told.any():
        return None
    low, high = np.percentile(part[told] / whole[told], PERCENTILES_95)
    return float(low), float(high)
