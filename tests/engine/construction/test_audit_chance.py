"""The audit's tests of counts: exact tails, and the false positives that they promise."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import comb
from pathlib import Path

import pytest

from ctv_engine.construction.audit import AuditSettings, Verdict, audit
from ctv_engine.construction.audit.chance import (
    Count,
    judged,
    lower_tail,
    reachable,
    upper_tail,
    wilson,
)
from ctv_engine.suite import Dataset, Item, Suite


def enumerated(hits: int, chances: list[Fraction]) -> Fraction:
    """P(X >= hits) by going through every outcome."""
    total = Fraction(0)
    for outcome in product((0, 1), repeat=len(chances)):
        if sum(outcome) >= hits:
            weight = Fraction(1)
            for hit, chance in zip(outcome, chances, strict=True):
                weight *= chance if hit else 1 - chance
            total += weight
    return total


@pytest.mark.parametrize("hits", range(10))
def test_tails_of_items_with_different_numbers_of_options(hits: int) -> None:
    chances = [Fraction(1, 4)] * 3 + [Fraction(1, 2)] * 2 + [Fraction(1, 3)] * 2 + [Fraction(1)]
    given = Counter(map(float, chances))
    exact = enumerated(hits, chances)
    assert upper_tail(hits, given) == pytest.approx(float(exact), abs=1e-15, rel=1e-9)
    below = float(1 - enumerated(hits + 1, chances))
    assert lower_tail(hits, given) == pytest.approx(below, abs=1e-15, rel=1e-9)


@pytest.mark.parametrize(("n", "options", "hits"), [(40, 4, 22), (2000, 4, 590), (3000, 5, 700)])
def test_tails_of_large_numbers(n: int, options: int, hits: int) -> None:
    ways = sum(comb(n, x) * (options - 1) ** (n - x) for x in range(hits, n + 1))
    exact = float(Fraction(ways, options**n))
    assert upper_tail(hits, {1 / options: n}) == pytest.approx(exact, rel=1e-6)


def test_what_is_beyond_all_doubt_has_the_smallest_p() -> None:
    assert upper_tail(39_400, {0.25: 39_400}) == 1e-30


def test_the_interval_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def counted(n: int, hits: int, chance: float = 0.25) -> Count:
    return Count("d", "s", n, hits, hits, n * chance, Counter({chance: n}))


def test_counts_that_can_never_be_surprising_cost_nothing() -> None:
    rare = [counted(2, 2) for _ in range(1000)]  # 1/16 at best
    assert reachable([*rare, counted(20, 15)], 0.01) == 1
    (one,) = judged([*rare, counted(20, 15)], level=0.01, margin=0.25)
    assert one.p == pytest.approx(upper_tail(15, {0.25: 20}))
    # 1/1024 each: one could pass a level of 0.01, ten of them too, the eleventh not.
    assert reachable([counted(5, 0)] * 10, 0.01) == 10
    assert reachable([counted(5, 0)] * 1000, 0.01) == 11


def test_beyond_chance_but_within_the_margin_is_a_warning() -> None:
    (slight,) = judged([counted(4000, 1160)], level=0.01, margin=0.05)
    assert (slight.verdict, slight.value) == (Verdict.WARN, 0.29)
    (large,) = judged([counted(4000, 1240)], level=0.01, margin=0.05)
    assert large.verdict is Verdict.FAIL
    (unsure,) = judged([counted(20, 8)], level=0.01, margin=0.05)
    assert unsure.verdict is Verdict.PASS


def chance_suite(seed: int) -> Suite:
    """Options of any length and form; the key is any of them, so that only chance can tell it."""
    rng = random.Random(f"chance {seed}")
    words = [f"{a}{b}" for a in ("lo", "mi", "ta", "ver") for b in ("n", "rta", "sk", "ndeli")]
    datasets = tuple(Dataset(name, "exact_match", 8) for name in ("a", "b", "c"))
    items = []
    for dataset in datasets:
        for number in range(60):
            options: dict[str, None] = {}
            while len(options) < rng.choice((2, 3, 4, 4, 4)):
                text = rng.choice(words)
                if rng.random() < 0.5:
                    text = f"{text} {rng.choice(words)}"
                if rng.random() < 0.2:
                    text = text.capitalize()
                options[rng.choice((text, text, f"{text}.", str(rng.randrange(100))))] = None
            gold = rng.randrange(len(options))
            key = [*options][gold]
            items.append(
                Item(
                    dataset.name, str(number), "Which?", "", str(number), (*options,), gold, (key,)
                )
            )
    return Suite("chance", "paired", Path(), datasets, tuple(items), "")


def test_suites_of_chance_are_suspected_no_more_often_than_stated() -> None:
    """At a family-wise level of 20 % and without margins, so that few suites tell much.

    If one suite in five were suspected, more than 27 of 80 would be twice in a thousand times.
    """
    exacting = AuditSettings(significance=0.2, baseline_margin=0, giveaway_margin=0)
    suspected = 0
    for seed in range(80):
        found = audit(chance_suite(seed), exacting)
        verdicts = [one.verdict for finding in found.findings for one in finding.measures]
        suspected += any(verdict is not Verdict.PASS for verdict in verdicts)
    assert 1 - sum(comb(80, x) * 0.2**x * 0.8 ** (80 - x) for x in range(28)) < 0.002
    assert suspected <= 27


def test_the_same_suites_with_the_key_on_the_longest_option_are_all_suspected() -> None:
    for seed in range(5):
        suite = chance_suite(seed)
        items = tuple(
            replace(
                item,
                gold_index=max(range(len(item.options)), key=lambda p, i=item: len(i.options[p])),
            )
            for item in suite.items
        )
        assert audit(replace(suite, items=items)).finding("longest-option").failed
