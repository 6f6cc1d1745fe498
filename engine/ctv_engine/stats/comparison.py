"""Two checkpoints on the same items: is one better, or is it chance?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ctv_engine.stats.bootstrap import PERCENTILES_95, RESAMPLES, resampled_means


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher the second checkpoint scores, its 95 % interval, and p of no difference."""

    value: float
    low: float
    high: float
    p: float
    n: int


def paired_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    datasets: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Return the mean of ``after - before`` over items, with a percentile interval.

    Items, or the images that they share, are drawn with replacement, both checkpoints' answers to
    an item together (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13;
    Koehn, EMNLP 2004). With ``datasets`` it is the difference of macro means. ``p`` is twice
    the smaller share of resamples at or beyond zero, (k + 1) / (resamples + 1) as in Davison &
    Hinkley, 1997.

    Args:
        before: score of each item under one checkpoint.
        after: score of the same items, in the same order, under the other.
        clusters: image of each item.
        datasets: dataset of each item.
        resamples: how many to draw.
        seed: of the draws.

    Raises:
        ValueError: no items, lengths that differ, or a value that is not finite.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} items; both must answer the same ones")
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    drawn = resampled_means(
        change[:, np.newaxis], clusters, datasets, resamples=resamples, seed=seed
    )[:, 0]
    low, high = np.percentile(drawn, PERCENTILES_95)
    names = list(datasets) if datasets is not None else [0] * len(change)
    means = [float(change[[own == name for own in names]].mean()) for name in dict.fromkeys(names)]
    beyond = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    p = min(1.0, 2 * (int(beyond) + 1) / (resamples + 1))
    return Difference(sum(means) / len(means), float(low), float(high), p, len(change))


@dataclass(frozen=True, slots=True)
class McNemar:
    """Items that only one of two checkpoints got right, and p of such an imbalance by chance."""

    only_before: int
    only_after: int
    p: float


def mcnemar(before: Sequence[bool | int], after: Sequence[bool | int]) -> McNemar:
    """Return McNemar's test in its exact form (McNemar, Psychometrika 12, 1947).

    Of the items on which right and wrong differ, each falls to either side with probability ½ if
    there is no difference: twice the binomial tail of the smaller side, at most 1. It takes items
    as independent; where images are shared, use :func:`paired_bootstrap`.

    Raises:
        ValueError: lengths that differ, or an answer that is neither right (1) nor wrong (0).
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} items; both must answer the same ones")
    if not {*before, *after} <= {0, 1}:
        raise ValueError("McNemar's test is for answers that are right (1) or wrong (0)")
    only_before = sum(1 for b, a in zip(before, after, strict=True) if b and not a)
    only_after = sum(1 for b, a in zip(before, after, strict=True) if a and not b)
    n, least = only_before + only_after, min(only_before, only_after)
    term = tail = 1
    for k in range(least):
        term = term * (n - k) // (k + 1)
        tail += term
    return McNemar(only_before, only_after, min(1.0, 2 * tail / 2**n))
