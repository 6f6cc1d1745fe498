"""What a suite of n items can tell: standard errors, and the smallest difference it detects."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np

from ctv_engine.stats.bootstrap import cluster_sums, numbered


def standard_error(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> float | None:
    """Return the standard error of the mean of ``values``; None if there is but one cluster.

    Items about one image are not independent: sqrt(G / (G - 1) · Σ_g (Σ_i∈g (x_i - mean))²) / n
    over G clusters (Liang & Zeger, Biometrika 73, 1986, for a mean; Miller, Adding error bars to
    evals, arXiv 2411.00640, 2024; G / (G - 1) as in Cameron & Miller, Journal of Human Resources
    50, 2015). Without clusters, or with one item in each, it is the sample standard error.

    Args:
        values: score of each item.
        clusters: image of each item.

    Raises:
        ValueError: no items, lengths that differ, or a value that is not finite.
    """
    if not len(values):
        raise ValueError("no items")
    if clusters is not None and len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} clusters for {len(values)} items")
    around = np.asarray(values, dtype=np.float64)
    if not np.isfinite(around).all():
        raise ValueError("a value is not finite")
    around = around - around.mean()
    numbers, n_clusters = numbered(clusters if clusters is not None else range(len(values)))
    if n_clusters < 2:
        return None
    sums, _ = cluster_sums(around[:, np.newaxis], numbers, n_clusters)
    square = float(np.sum(sums**2)) * n_clusters / (n_clusters - 1)
    return math.sqrt(square) / len(values)


def macro_standard_error(errors: Sequence[float]) -> float:
    """Return the standard error of the mean of independent means: sqrt(Σ e²) / k.

    Raises:
        ValueError: no means.
    """
    if not errors:
        raise ValueError("no means")
    return math.hypot(*errors) / len(errors)


def paired_deviation(score: float, correlation: float) -> float:
    """Return the deviation of the difference of two right-or-wrong answers to one item.

    sqrt(2·p·(1 - p)·(1 - ρ)): two checkpoints that are both right with probability p, whose answers
    to the same items correlate by ρ (Miller, arXiv 2411.00640).

    Raises:
        ValueError: a score outside 0 … 1, or a correlation outside -1 … 1.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"a score of {score}; it is between 0 and 1")
    if not -1 <= correlation <= 1:
        raise ValueError(f"a correlation of {correlation}; it is between -1 and 1")
    return math.sqrt(2 * score * (1 - score) * (1 - correlation))


def smallest_detectable_difference(
    items: int, deviation: float, *, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the least true difference between two checkpoints that ``items`` items detect.

    (z_{1 - level/2} + z_power) · deviation / sqrt(items), for a two-sided test of the mean
    difference on the same items (Cohen, Statistical Power Analysis, 1988; Miller, arXiv
    2411.00640).

    Args:
        items: independent items; where several share an image, the number of images is prudent.
        deviation: of the difference per item, measured or from :func:`paired_deviation`.
        power: probability that a difference of this size is found.
        level: probability that no difference is taken for one.

    Raises:
        ValueError: no items, a negative deviation, or a probability outside 0 … 1.
    """
    if items < 1:
        raise ValueError("no items")
    if not deviation >= 0:
        raise ValueError(f"a deviation of {deviation}; it is not negative")
    return _z(power, level) * deviation / math.sqrt(items)


def items_needed(
    difference: float, deviation: float, *, power: float = 0.8, level: float = 0.05
) -> int:
    """Return the number of items from which a true difference is detected; see above.

    Raises:
        ValueError: a difference that is not positive, or as above.
    """
    if not difference > 0:
        raise ValueError(f"a difference of {difference}; it must be positive")
    if not deviation >= 0:
        raise ValueError(f"a deviation of {deviation}; it is not negative")
    return max(1, math.ceil((_z(power, level) * deviation / difference) ** 2))


def _z(power: float, level: float) -> float:
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise ValueError(f"a {name} of {value}; it is between 0 and 1")
    normal = NormalDist()
    return normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)
