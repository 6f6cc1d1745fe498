"""Decision accuracy pair by pair, and what a choice costs."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest
from scipy import stats

from ctv_engine.stats.agreement import Agreement, Regret, decision_accuracy, regret


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("levels", [5, 1000])
def test_pairs_are_those_that_counting_one_by_one_finds(seed: int, levels: int) -> None:
    chance = random.Random(seed)
    proxy, gold = ([chance.randint(0, levels) / levels for _ in range(30)] for _ in range(2))
    told = [(a, b) for a, b in combinations(range(30), 2) if gold[a] != gold[b]]
    agreeing = sum((proxy[a] - proxy[b]) * (gold[a] - gold[b]) > 0 for a, b in told)
    assert decision_accuracy(proxy, gold) == Agreement(agreeing, len(told))


def test_without_ties_it_is_half_of_kendalls_tau_and_one() -> None:
    chance = random.Random(3)
    proxy, gold = ([chance.random() for _ in range(25)] for _ in range(2))
    share = decision_accuracy(proxy, gold).share
    assert share == pytest.approx((stats.kendalltau(proxy, gold).statistic + 1) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("proxy", "gold", "wanted"),
    [
        ([1, 2, 3], [1, 2, 3], Agreement(3, 3)),
        ([3, 2, 1], [1, 2, 3], Agreement(0, 3)),
        ([1, 1, 1], [1, 2, 3], Agreement(0, 3)),  # a proxy that can't decide did not decide right
        ([1, 2, 3], [1, 1, 2], Agreement(2, 2)),  # what gold can't tell is no decision
        ([1, 2], [5, 5], Agreement(0, 0)),
        ([], [], Agreement(0, 0)),
    ],
)
def test_ties(proxy: list[float], gold: list[float], wanted: Agreement) -> None:
    assert decision_accuracy(proxy, gold) == wanted
    assert (wanted.share is None) == (wanted.pairs == 0)


def test_regret_is_in_golds_own_score() -> None:
    gold = {100: 0.4, 200: 0.55, 300: 0.5, 400: 0.55}
    assert regret(gold, 300) == Regret(300, 200, pytest.approx(0.05))  # type: ignore[arg-type]
    assert regret(gold, 400).regret == 0.0


def test_bad_input_is_said() -> None:
    with pytest.raises(ValueError, match="series of 2 and 1 points"):
        decision_accuracy([1, 2], [1])
    with pytest.raises(ValueError, match="not finite"):
        decision_accuracy([1, math.nan], [1, 2])
    with pytest.raises(ValueError, match=r"step 7 has no gold score; steps that have one: 1, 2"):
        regret({2: 0.1, 1: 0.2}, 7)
    with pytest.raises(ValueError, match="steps that have one: none"):
        regret({}, 7)
    with pytest.raises(ValueError, match="not finite"):
        regret({1: 0.1, 2: math.nan}, 1)
