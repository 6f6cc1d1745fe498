"""Intervals of decisions and noise, against the same resamples done one by one."""

from __future__ import annotations

import math
import random
import statistics
from itertools import pairwise

import numpy as np
import pytest

from ctv_engine.stats.agreement import decision_accuracy
from ctv_engine.stats.bootstrap import moving_block_counts
from ctv_engine.stats.steadiness import agreement_interval, noise_interval


def series(n: int, seed: int) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    gold = [0.3 + 0.4 * k / n + draw.gauss(0, 0.05) for k in range(n)]
    return [value + draw.gauss(0, 0.06) for value in gold], gold


@pytest.mark.parametrize("n", [5, 8, 23])
def test_decisions_are_those_of_each_resample(n: int) -> None:
    proxy, gold = series(n, n)
    shares = []
    for counts in moving_block_counts(n):
        drawn = [k for k in range(n) for _ in range(int(counts[k]))]
        pairs = decision_accuracy([proxy[k] for k in drawn], [gold[k] for k in drawn])
        if pairs.share is not None:
            shares.append(pairs.share)
    expected = tuple(np.percentile(shares, (2.5, 97.5)))
    assert agreement_interval(proxy, gold) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [5, 8, 23])
def test_noise_is_that_of_each_resample(n: int) -> None:
    scores, _ = series(n, n)
    changes = [b - a for a, b in pairwise(scores)]
    spreads = []
    for counts in moving_block_counts(n - 1):
        drawn = [changes[k] for k in range(n - 1) for _ in range(int(counts[k]))]
        spreads.append(statistics.stdev(drawn))
    expected = tuple(np.percentile(spreads, (2.5, 97.5)))
    assert noise_interval(scores) == pytest.approx(expected, abs=1e-9)


def test_perfect_agreement_and_a_steady_rise() -> None:
    rise = [k / 10 for k in range(10)]
    assert agreement_interval(rise, rise) == (1.0, 1.0)
    assert agreement_interval(rise, rise[::-1]) == (0.0, 0.0)
    low, high = noise_interval(rise) or (math.nan, math.nan)
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(0, abs=1e-9)


def test_what_has_no_interval() -> None:
    four = [0.1, 0.2, 0.3, 0.4]
    assert agreement_interval(four, four) is None
    assert noise_interval(four) is None
    assert agreement_interval([0.1, 0.2, 0.3, 0.4, 0.5], [0.5] * 5) is None  # gold only ties
    with pytest.raises(ValueError, match="series of 5 and 4 points"):
        agreement_interval([0.1] * 5, four)
    for broken in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not finite"):
            noise_interval([*four, broken])
        with pytest.raises(ValueError, match="not finite"):
            agreement_interval([*four, broken], [*four, 0.5])
