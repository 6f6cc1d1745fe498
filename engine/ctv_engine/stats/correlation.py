"""How one series tracks another: coefficients, defined on plain sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctv_engine.stats.bootstrap import Floats


@dataclass(frozen=True, slots=True)
class Correlation:
    """A coefficient with its 95 % interval; what is undefined is None, with the reason."""

    r: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


def pearson(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Return Pearson's product-moment coefficient.

    Raises:
        ValueError: fewer than two points, or a series that does not vary.
    """
    if len(x) != len(y):
        raise ValueError(f"series of {len(x)} and {len(y)} points")
    if len(x) < 2:
        raise ValueError("fewer than two points")
    dx = np.asarray(x, dtype=np.float64) - np.mean(x)
    dy = np.asarray(y, dtype=np.float64) - np.mean(y)
    norm = float(np.linalg.norm(dx) * np.linalg.norm(dy))
    if not math.isfinite(norm):
        raise ValueError("a value is not finite")
    if norm <= 1e-12 * len(x) * (1e-12 + float(np.max(np.abs(x))) * float(np.max(np.abs(y)))):
        raise ValueError("a series does not vary")
    return float(np.clip(np.dot(dx, dy) / norm, -1.0, 1.0))


def ranks(values: Sequence[float] | Floats) -> Floats:
    """Return each value's rank from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(
        np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True
    )
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(mean_rank[inverse], dtype=np.float64)


def spearman(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Return Pearson's coefficient of the ranks (Spearman, Am. Journal of Psychology 15, 1904).

    Raises:
        ValueError: fewer than three points, or a series that does not vary.
    """
    _check(x, y, least=3)
    return pearson(ranks(x), ranks(y))


def kendall(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Return Kendall's tau-b, which allows for ties (Kendall, Biometrika 33, 1945).

    (C - D) / sqrt((n0 - n1)(n0 - n2)): pairs ordered alike less pairs ordered otherwise, over the
    geometric mean of the pairs that are no tie in ``x`` and those that are none in ``y``.

    Raises:
        ValueError: fewer than three points, or a series that does not vary.
    """
    _check(x, y, least=3)
    sx, sy = _orders(x), _orders(y)
    untied = math.sqrt(float(np.count_nonzero(sx)) * float(np.count_nonzero(sy)))
    if not untied:
        raise ValueError("a series does not vary")
    return float(np.clip(np.sum(sx * sy, dtype=np.int64) / untied, -1.0, 1.0))


def partial(
    x: Sequence[float] | Floats, y: Sequence[float] | Floats, given: Sequence[float] | Floats
) -> float:
    """Return the correlation of ``x`` and ``y`` that is left when ``given`` is held fixed.

    Pearson's coefficient of what a straight line in ``given`` leaves of each; it equals
    (r_xy - r_xz r_yz) / sqrt((1 - r_xz²)(1 - r_yz²)) (Yule, Proceedings of the Royal Society 79,
    1907). Two series that both rise with the step are correlated; this says whether they are
    beyond that.

    Raises:
        ValueError: fewer than four points, or a series that is a straight line in ``given``.
    """
    _check(x, y, least=4)
    _check(x, given, least=4)
    z = np.asarray(given, dtype=np.float64) - np.mean(given)
    spread = float(np.dot(z, z))
    if spread <= 1e-24 * len(z) * float(np.max(np.abs(given))) ** 2:
        raise ValueError("what is held fixed does not vary")
    left: list[Floats] = []
    for series in (x, y):
        around = np.asarray(series, dtype=np.float64) - np.mean(series)
        rest = around - z * (np.dot(around, z) / spread)
        size = float(np.max(np.abs(series)))
        if float(np.linalg.norm(rest)) <= 1e-12 * len(z) * size:
            raise ValueError("a series is a straight line in what is held fixed")
        left.append(rest / np.linalg.norm(rest))
    return float(np.clip(np.dot(left[0], left[1]), -1.0, 1.0))


def _check(x: Sequence[float] | Floats, y: Sequence[float] | Floats, *, least: int) -> None:
    if len(x) != len(y):
        raise ValueError(f"series of {len(x)} and {len(y)} points")
    if len(x) < least:
        raise ValueError(f"fewer than {({3: 'three', 4: 'four'})[least]} points")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a value is not finite")


def _orders(values: Sequence[float] | Floats) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    """Return the sign of every difference between two values, shape ``(n, n)``."""
    column = np.asarray(values, dtype=np.float64)
    above: np.ndarray[tuple[int, int], np.dtype[np.int8]] = np.subtract(
        column[:, None] > column, column[:, None] < column, dtype=np.int8
    )
    return above
