"""Draws: seeded, balanced over strata, and indifferent to rows that are added elsewhere."""

from __future__ import annotations

from collections import Counter

import pytest

from ctv_engine.construction.sampling import POOL, draw
from ctv_engine.construction.source import Fault, Origin, SourceItem


def item(number: int, stratum: str = "") -> SourceItem:
    return SourceItem("d", str(number), "?", (f"a{number}",), Origin("f", number), stratum=stratum)


ROWS = [item(n, "human" if n % 4 else "augmented") for n in range(1000)]


def test_strata_get_their_share_and_the_draw_is_the_seeds() -> None:
    sample = draw(ROWS, 100, seed=1)
    assert Counter(one.stratum for one in sample.chosen) == {"human": 75, "augmented": 25}
    assert draw(reversed(ROWS), 100, seed=1).chosen == sample.chosen
    other = draw(ROWS, 100, seed=2)
    # Of 100 of 1,000 drawn twice, 10 are expected in both, with a deviation of 2.8.
    assert len({*sample.chosen} & {*other.chosen}) < 10 + 5 * 2.8


def test_rows_that_are_added_change_little() -> None:
    before = {one.key for one in draw(ROWS, 100, seed=1).chosen}
    after = {one.key for one in draw([*ROWS, *(item(n) for n in range(2000, 2010))], 100, 1).chosen}
    assert len(before & after) >= 98


def test_remainders_are_shared_out() -> None:
    rows = [item(n, f"s{n % 3}") for n in range(10)]  # 4, 3 and 3 of ten
    sizes = Counter(one.stratum for one in draw(rows, 5, seed=0).chosen)
    assert sizes.total() == 5 and set(sizes.values()) <= {1, 2}


@pytest.mark.parametrize("count", [None, 5000])
def test_all_there_is(count: int | None) -> None:
    sample = draw(ROWS, count, seed=1)
    assert {one.key for one in sample.chosen} == {str(n) for n in range(1000)}
    assert sample.spare == ()


def test_what_comes_next_is_known_and_faults_are_counted() -> None:
    faults = [Fault(Origin("f", n), f"picture 'x{n}.png' is absent") for n in range(3)]
    sample = draw([*ROWS, *faults], 100, seed=1)
    assert len(sample.spare) > 20
    assert {one.key for one in sample.chosen}.isdisjoint(one.key for one in sample.spare)
    assert (sample.rows, sample.faults) == (1003, {"picture": 3})
    assert sample.examples["picture"].origin == Origin("f", 0)


def test_the_answers_are_a_sample_of_all() -> None:
    sample = draw((item(n) for n in range(10_000)), 10, seed=1)
    assert len(sample.answers) == POOL
    assert len({one.answer for one in sample.answers}) == POOL
