"""How one series tracks another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEAST_FOR_INTERVAL = 5
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Correlation:
    """A coefficient with its 95 % interval; what is undefined is None, with the reason."""

    r: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
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


def pearson_with_interval(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Return Pearson's r with a 95 % interval: the wider of two, at either end.

    One is Fisher's, tanh(atanh r ± 1.96 / sqrt(n - 3)), which takes points as independent. The
    other is a moving-block bootstrap (Künsch, Annals of Statistics 17, 1989), since neighbouring
    checkpoints are not: blocks of ⌈n^(1/3)⌉ neighbours, percentiles of 2,000 resamples from a
    fixed seed. With few points the bootstrap alone is far too narrow. With fewer than five there
    is no interval.
    """
    n = len(x)
    try:
        r = pearson(x, y)
    except ValueError as error:
        return Correlation(None, None, None, n, str(error))
    if n < LEAST_FOR_INTERVAL:
        return Correlation(r, None, None, n, f"fewer than {LEAST_FOR_INTERVAL} points")
    intervals = [_fisher(r, n), *_block_bootstrap(x, y)]
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    return Correlation(r, max(low, -1.0), min(high, 1.0), n)


def _fisher(r: float, n: int) -> tuple[float, float]:
    if abs(r) == 1.0:
        return r, r
    half = Z_95 / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _block_bootstrap(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Return the percentile interval, or nothing if no resample varies in both series."""
    n = len(x)
    block = math.ceil(n ** (1 / 3))
    rng = np.random.default_rng(n)
    starts = rng.integers(0, n - block + 1, size=(RESAMPLES, math.ceil(n / block), 1))
    picks = (starts + np.arange(block)).reshape(RESAMPLES, -1)[:, :n]
    xs = np.asarray(x, dtype=np.float64)[picks]
    ys = np.asarray(y, dtype=np.float64)[picks]
    xs -= xs.mean(axis=1, keepdims=True)
    ys -= ys.mean(axis=1, keepdims=True)
    norms = np.sqrt((xs**2).sum(axis=1) * (ys**2).sum(axis=1))
    varied = norms > 1e-15
    if not varied.any():
        return []
    values = (xs[varied] * ys[varied]).sum(axis=1) / norms[varied]
    low, high = np.percentile(values, [2.5, 97.5])
    return [(float(low), float(high))]
