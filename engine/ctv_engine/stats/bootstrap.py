"""Resampling as counts: how often each resample draws each checkpoint, or each image."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
PERCENTILES_95 = (2.5, 97.5)
SINGLE_IMAGE = "no interval where a dataset is about a single image"
_CELLS = 4_000_000
"""Numbers in one array of counts; more resamples than that are drawn in turns."""

Floats = NDArray[np.float64]


@lru_cache(maxsize=8)
def moving_block_counts(n: int) -> Floats:
    """Return how often each of ``n`` neighbours is drawn, shape ``(RESAMPLES, n)``; read-only.

    The moving-block bootstrap (Künsch, Annals of Statistics 17, 1989): blocks of ⌈n^(1/3)⌉
    neighbours are put end to end until there are ``n``. The seed is fixed, so the same points
    always give the same interval.
    """
    block = math.ceil(n ** (1 / 3))
    rng = np.random.default_rng(n)
    starts = rng.integers(0, n - block + 1, size=(RESAMPLES, math.ceil(n / block), 1))
    picks = (starts + np.arange(block)).reshape(RESAMPLES, -1)[:, :n]
    cells = picks + n * np.arange(RESAMPLES)[:, np.newaxis]
    counts = np.bincount(cells.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    made = counts.astype(np.float64)
    made.flags.writeable = False
    return made


def numbered(names: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Return each name's number, from 0 in the order of appearance, and how many there are."""
    numbers: dict[Hashable, int] = {}
    found = [numbers.setdefault(name, len(numbers)) for name in names]
    return np.asarray(found, dtype=np.intp), len(numbers)


def cluster_sums(
    values: Floats, clusters: NDArray[np.intp], n_clusters: int
) -> tuple[Floats, Floats]:
    """Return the sums of ``values``, shape ``(clusters, k)``, and the items of each cluster.

    Args:
        values: shape ``(items, k)``.
        clusters: number of each item's cluster, shape ``(items,)``.
        n_clusters: how many clusters there are.
    """
    sums = np.zeros((n_clusters, values.shape[1]))
    np.add.at(sums, clusters, values)
    return sums, np.bincount(clusters, minlength=n_clusters).astype(np.float64)


def of_single_image(clusters: Sequence[Hashable], datasets: Sequence[Hashable]) -> Hashable | None:
    """Return a dataset whose items are all about one image, None if there is none.

    Every resample of it would be the same, as if its mean were known without error.

    Args:
        clusters: image of each item.
        datasets: dataset of each item.
    """
    first: dict[Hashable, Hashable] = {}
    several = {d for image, d in zip(clusters, datasets, strict=True)
               if first.setdefault(d, image) != image}  # fmt: skip
    return next((dataset for dataset in first if dataset not in several), None)


def resampled_means(
    values: Floats,
    clusters: Sequence[Hashable] | None = None,
    datasets: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Return the mean of each column in each resample, shape ``(resamples, k)``.

    Whole clusters are drawn with replacement, since items about one image are not independent
    (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8), and within
    each dataset apart, since the datasets are fixed; the mean is the macro mean over datasets.
    Every column sees the same draws, which makes differences between columns paired.

    Args:
        values: shape ``(items, k)``.
        clusters: image of each item; without it every item stands alone.
        datasets: dataset of each item; without it there is one.
        resamples: how many to draw.
        seed: of the draws.

    Raises:
        ValueError: no items, lengths that differ, or a value that is not finite.
    """
    items = len(values)
    if not items:
        raise ValueError("no items")
    for what, names in (("clusters", clusters), ("datasets", datasets)):
        if names is not None and len(names) != items:
            raise ValueError(f"{len(names)} {what} for {items} items")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    strata, n_strata = numbered(datasets if datasets is not None else [0] * items)
    images, _ = numbered(clusters if clusters is not None else range(items))
    rng = np.random.default_rng(seed)
    total = np.zeros((resamples, values.shape[1]))
    for stratum in range(n_strata):
        inside = strata == stratum
        own, n_own = numbered(images[inside].tolist())
        sums, sizes = cluster_sums(values[inside], own, n_own)
        # Clusters with equal sums need not be told apart: to draw one of them is to draw its kind.
        kinds, alike = np.unique(np.column_stack([sums, sizes]), axis=0, return_counts=True)
        sums, sizes = kinds[:, :-1], kinds[:, -1]
        turn = max(1, _CELLS // len(kinds))
        for start in range(0, resamples, turn):
            part = total[start : start + turn]
            counts = rng.multinomial(n_own, alike / n_own, size=len(part))
            part += (counts @ sums) / (counts @ sizes)[:, np.newaxis]
    return total / n_strata
