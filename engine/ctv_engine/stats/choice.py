"""Which checkpoint is best, and which others might be."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ctv_engine.stats.bootstrap import PERCENTILES_95, RESAMPLES, Floats, resampled_means
from ctv_engine.stats.trajectory import half_width

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Ranked:
    """A checkpoint's score with its 95 % interval; ``rank`` 1 is the highest score.

    ``may_be_best`` tells that it cannot be told apart from the best one. ``change`` is since the
    checkpoint before, with its own interval; the first has none.
    """

    step: int
    rank: int
    score: float
    low: float
    high: float
    may_be_best: bool
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None


def rank_checkpoints(
    steps: Sequence[int],
    scores: Sequence[Sequence[float]] | Floats,
    clusters: Sequence[Hashable] | None = None,
    datasets: Sequence[Hashable] | None = None,
    *,
    window: int = 1,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Ranked]:
    """Return the checkpoints from best to worst; see :func:`rank_by_windows`."""
    return rank_by_windows(
        steps, scores, clusters, datasets, windows=(window,), resamples=resamples, seed=seed
    )[window]


def rank_by_windows(
    steps: Sequence[int],
    scores: Sequence[Sequence[float]] | Floats,
    clusters: Sequence[Hashable] | None = None,
    datasets: Sequence[Hashable] | None = None,
    *,
    windows: Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[int, list[Ranked]]:
    """Return for each window the checkpoints from best to worst, by the same items' macro mean.

    Intervals are percentiles of a bootstrap over images within each dataset, all checkpoints on the
    same draws. The set that may be best holds the true best with a probability of 95 %: checkpoint
    i is left out only if some j is ahead of it by more than c_i standard errors of their
    difference, c_i being the 95 % quantile of the largest such lead over i that chance alone
    gives (Gupta, Technometrics 7, 1965, and Hsu, Annals of Statistics 9, 1981, with the bootstrap
    of Mogstad et al., Review of Economic Studies 91, 2024, in place of normal tables).

    With a window above 1 a checkpoint's score is the mean with its neighbours', see
    :func:`ctv_engine.stats.trajectory.smoothed`: less noise, for a checkpoint that stands in a good
    stretch rather than one that was lucky.

    Args:
        steps: ascending, shape ``(checkpoints,)``.
        scores: of each item under each checkpoint, shape ``(checkpoints, items)``.
        clusters: image of each item.
        datasets: dataset of each item.
        windows: how many checkpoints are averaged, odd numbers.
        resamples: how many to draw.
        seed: of the draws.

    Raises:
        ValueError: no items, shapes that differ, steps out of order, or a value not finite.
    """
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError("the steps are not in ascending order")
    smooth = {window: _smoothing(len(steps), window) for window in windows}
    if not len(steps):
        return {window: [] for window in windows}
    if len({len(row) for row in scores}) > 1:
        raise ValueError("the checkpoints did not answer the same items")
    by_item = np.asarray(scores, dtype=np.float64)
    if len(by_item) != len(steps):
        raise ValueError(f"{len(steps)} steps, but scores of {len(by_item)} checkpoints")
    drawn = resampled_means(by_item.T, clusters, datasets, resamples=resamples, seed=seed)
    means = _macro_means(by_item, datasets)
    return {
        window: _ranked(steps, matrix @ means, drawn @ matrix.T)
        for window, matrix in smooth.items()
    }


def _ranked(steps: Sequence[int], means: Floats, drawn: Floats) -> list[Ranked]:
    low, high = np.percentile(drawn, PERCENTILES_95, axis=0)
    best = may_be_best(means, drawn)
    moved = np.diff(means)
    moved_low, moved_high = np.percentile(np.diff(drawn, axis=1), PERCENTILES_95, axis=0)
    order = np.argsort(-means, kind="stable")
    return [
        Ranked(
            step=steps[k],
            rank=1 + int(np.count_nonzero(means > means[k])),
            score=float(means[k]),
            low=float(low[k]),
            high=float(high[k]),
            may_be_best=bool(best[k]),
            change=float(moved[k - 1]) if k else None,
            change_low=float(moved_low[k - 1]) if k else None,
            change_high=float(moved_high[k - 1]) if k else None,
        )
        for k in order
    ]


def may_be_best(means: Floats, drawn: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell of each checkpoint whether it cannot be told apart from the best; see above.

    Args:
        means: shape ``(checkpoints,)``.
        drawn: their bootstrap means, shape ``(resamples, checkpoints)``, on the same draws.
    """
    kept = np.ones(len(means), dtype=np.bool_)
    noise = drawn - means
    for k in range(len(means)):
        lead = means - means[k]
        by_chance = noise - noise[:, [k]]
        spread = by_chance.std(axis=0)
        told = spread > 1e-12
        if (lead[~told] > 1e-12).any():
            kept[k] = False
        elif told.any():
            largest = (by_chance[:, told] / spread[told]).max(axis=1)
            kept[k] = (lead[told] / spread[told]).max() <= np.quantile(largest, CONFIDENCE)
    return kept


def _smoothing(n: int, window: int) -> Floats:
    """Return the matrix of the centred mean, shape ``(n, n)``; its rows sum to one."""
    place = np.arange(n)
    near = np.minimum(half_width(window), np.minimum(place, place[::-1]))
    inside = np.abs(place[:, np.newaxis] - place) <= near[:, np.newaxis]
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), dtype=np.float64)


def _macro_means(by_item: Floats, datasets: Sequence[Hashable] | None) -> Floats:
    if datasets is None:
        return np.asarray(by_item.mean(axis=1))
    names = list(dict.fromkeys(datasets))
    numbers = np.asarray([names.index(name) for name in datasets])
    means = [by_item[:, numbers == number].mean(axis=1) for number in range(len(names))]
    return np.asarray(np.mean(means, axis=0))
