"""How often 95 % intervals hold what they are said to hold, on simulated data.

Run as ``python tests/engine/stats/interval_coverage.py``; prints a table. Data of a known truth are
drawn many times; the share of intervals that contain it should be 95 %, and lie between 92 % and
98 %.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator

import numpy as np

from ctv_engine.stats.choice import rank_checkpoints
from ctv_engine.stats.comparison import paired_bootstrap
from ctv_engine.stats.correlation import Correlation
from ctv_engine.stats.debias import (
    cyclic,
    gained_by_priors,
    letter_prior,
    normalised,
    resampled_priors,
)
from ctv_engine.stats.interval import Coefficient, Points, with_interval
from ctv_engine.stats.sampling import standard_error

DRAWS = 1000
RHO = 0.6
Holds = Iterator[bool]


def paired(items: int, per_image: int) -> Holds:
    """A difference of two checkpoints' accuracies; answers about one image go together."""
    rng = np.random.default_rng(1)
    images = [k // per_image for k in range(items)]
    for seed in range(DRAWS):
        ease = np.repeat(rng.uniform(-0.3, 0.3, items // per_image), per_image)
        gain = np.repeat(rng.normal(0, 0.15, items // per_image), per_image)
        before = (rng.random(items) < 0.5 + ease).astype(float)
        after = (rng.random(items) < np.clip(0.55 + ease + gain, 0, 1)).astype(float)
        found = paired_bootstrap(before.tolist(), after.tolist(), images, seed=seed)
        yield found.low <= 0.05 - _CLIPPED <= found.high


def _clipped() -> float:
    """What clipping takes off the mean of the second checkpoint, by a large simulation."""
    rng = np.random.default_rng(0)
    level = 0.55 + rng.uniform(-0.3, 0.3, 4_000_000) + rng.normal(0, 0.15, 4_000_000)
    return float(0.55 - np.clip(level, 0, 1).mean())


_CLIPPED = _clipped()


def clustered(items: int, per_image: int) -> Holds:
    """A mean of scores, as value ± 1.96 standard errors."""
    rng = np.random.default_rng(2)
    images = [k // per_image for k in range(items)]
    for _ in range(DRAWS):
        level = np.repeat(rng.normal(0.5, 0.2, items // per_image), per_image)
        scores = level + rng.normal(0, 0.2, items)
        error = standard_error(scores.tolist(), images)
        yield error is not None and abs(scores.mean() - 0.5) <= 1.96 * error


def coefficient(method: Coefficient, truth: float, steps: int, memory: float) -> Holds:
    """A coefficient of normal series; with memory, each point is close to the one before."""
    rng = np.random.default_rng(3)
    for _ in range(DRAWS):
        x, own = _remembering(rng, steps, memory), _remembering(rng, steps, memory)
        y = RHO * x + math.sqrt(1 - RHO**2) * own
        found: Correlation = with_interval(method, Points(x, y, np.arange(float(steps))))
        assert found.low is not None and found.high is not None
        yield found.low <= truth <= found.high


def _remembering(rng: np.random.Generator, n: int, memory: float) -> np.ndarray:
    values = rng.normal(0, 1, n)
    for k in range(1, n):
        values[k] = memory * values[k - 1] + math.sqrt(1 - memory**2) * values[k]
    return values


def best() -> Holds:
    """The true best of eight checkpoints is in the set that may be best (at least 95 %)."""
    rng = np.random.default_rng(4)
    levels = np.array([0.3, 0.4, 0.5, 0.55, 0.58, 0.6, 0.59, 0.57])
    for seed in range(DRAWS // 2):
        ease = rng.uniform(-0.3, 0.3, 400)
        scores = (rng.random((8, 400)) < levels[:, None] + ease).astype(float)
        found = rank_checkpoints(range(8), scores, resamples=500, seed=seed)
        yield next(one.may_be_best for one in found if one.step == 5)


def debiased(items: int, rotated: int, *, with_prior: bool = True) -> Holds:
    """PriDe's accuracy as value ± 1.96 standard errors, with the prior of few items or without.

    The letters' preference differs from item to item, so that a prior of few items is not sure.
    What is to be held is the mean of the accuracy over all draws.
    """
    rng = np.random.default_rng(5)
    bias, places = np.log([0.5, 0.3, 0.15, 0.05]), np.arange(4)
    turns = (places[:, np.newaxis] + places) % 4
    found = []
    for seed in range(DRAWS):
        thinks = rng.normal(0, 0.4, (items, 4))
        prefers = bias + rng.normal(0, 1.0, (items, 4))
        noisy = thinks + rng.normal(0, 0.5, (items, 4))
        keys = noisy.argmax(axis=1)
        known = [normalised(thinks[k][turns] + prefers[k]).tolist() for k in range(rotated)]
        prior, priors = letter_prior(known), resampled_priors(known, seed=seed)
        rest = normalised(thinks[rotated:] + prefers[rotated:])
        right = [
            *(int(cyclic(one).argmax() == key) for one, key in zip(known, keys, strict=False)),
            *((rest - prior).argmax(axis=1) == keys[rotated:]).tolist(),
        ]
        error = standard_error([float(one) for one in right])
        one_group = np.zeros(len(rest), dtype=np.intp)
        moved = gained_by_priors(rest, keys[rotated:], one_group, prior, priors)[:, 0] / items
        assert error is not None
        found.append((np.mean(right), math.hypot(error, moved.std(ddof=1) * with_prior)))
    truth = np.mean([value for value, _ in found])
    for value, error in found:
        yield abs(value - truth) <= 1.96 * error


CASES: dict[str, Callable[[], Holds]] = {
    "paired bootstrap, 200 items": lambda: paired(200, 1),
    "paired bootstrap, 600 items, 3 an image": lambda: paired(600, 3),
    "clustered error, 600 items, 3 an image": lambda: clustered(600, 3),
    "pearson, 10 independent points": lambda: coefficient("pearson", RHO, 10, 0.0),
    "pearson, 31 independent points": lambda: coefficient("pearson", RHO, 31, 0.0),
    "pearson, 10 points, memory 0.7": lambda: coefficient("pearson", RHO, 10, 0.7),
    "pearson, 31 points, memory 0.5": lambda: coefficient("pearson", RHO, 31, 0.5),
    "pearson, 31 points, memory 0.7": lambda: coefficient("pearson", RHO, 31, 0.7),
    "pearson, 60 points, memory 0.7": lambda: coefficient("pearson", RHO, 60, 0.7),
    "spearman, 31 independent points": lambda: coefficient(
        "spearman", 6 / math.pi * math.asin(RHO / 2), 31, 0.0
    ),
    "spearman, 31 points, memory 0.7": lambda: coefficient(
        "spearman", 6 / math.pi * math.asin(RHO / 2), 31, 0.7
    ),
    "kendall, 31 independent points": lambda: coefficient(
        "kendall", 2 / math.pi * math.asin(RHO), 31, 0.0
    ),
    "kendall, 31 points, memory 0.7": lambda: coefficient(
        "kendall", 2 / math.pi * math.asin(RHO), 31, 0.7
    ),
    "partial, 31 independent points": lambda: coefficient("partial", RHO, 31, 0.0),
    "partial, 31 points, memory 0.7": lambda: coefficient("partial", RHO, 31, 0.7),
    "pride, 2000 items, prior of 10": lambda: debiased(2000, 10),
    "pride, 300 items, prior of 15": lambda: debiased(300, 15),
    "set that may be best": best,
}


def main() -> int:
    """Print each case's coverage; exit with 1 if one lies outside 92 … 98 % (the set: below 95)."""
    bad = 0
    for name, case in CASES.items():
        held = list(case())
        share = sum(held) / len(held)
        good = share >= 0.95 - 0.02 if case is best else 0.92 <= share <= 0.98
        bad += not good
        print(f"{name:<42}{share:7.1%}  {'' if good else 'outside'}".rstrip(), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
