"""Where an item's options stand."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny

from ctv_engine.suite import Item, read_suite


def item(key: str, options: int = 4, gold_index: int | None = 0, dataset: str = "d") -> Item:
    names = tuple(f"option {number}" for number in range(options))
    return Item(dataset, key, "q", "i.png", "", names, gold_index, ("a",))


@pytest.mark.parametrize("options", [2, 3, 4, 5])
def test_placement_puts_the_key_on_every_letter_equally_often(options: int) -> None:
    items = 4000
    counts = Counter(item(str(n), options).placed().gold_index for n in range(items))
    share = 1 / options
    spread = math.sqrt(items * share * (1 - share))
    assert set(counts) == set(range(options))
    assert all(abs(count - items * share) < 4 * spread for count in counts.values())


def test_placement_keeps_the_options_and_the_key() -> None:
    for gold_index in range(4):
        placed = item("x", 4, gold_index).placed()
        assert sorted(placed.options) == sorted(item("x").options)
        assert placed.options[placed.gold_index or 0] == f"option {gold_index}"


def test_placement_depends_on_the_items_own_name_alone() -> None:
    assert item("x").placed() == item("x").placed()
    orders = {item(str(n)).placed().options for n in range(200)}
    assert len(orders) == math.factorial(4)
    assert {item("x", dataset=name).placed().options for name in "abcdefgh"} != {
        item("x", dataset="a").placed().options
    }


def test_dataset_and_key_do_not_run_into_each_other() -> None:
    pairs = [("ab", "c"), ("a", "bc")]
    placed = [
        tuple(item(f"{key}{n}", 6, dataset=dataset).placed().options for n in range(10))
        for dataset, key in pairs
    ]
    assert placed[0] != placed[1]


def test_placement_does_not_depend_on_the_other_items_or_their_order(tmp_path: Path) -> None:
    whole = tiny.make_suite(tmp_path / "suite", 12)
    path = tmp_path / "suite" / "items.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    kept = lines[: len(lines) // 2]
    assert {json.loads(line)["dataset"] for line in kept} == {"short", "long"}
    path.write_text("".join(kept))
    part = {(i.dataset, i.key): i for i in read_suite(tmp_path / "suite").items}
    assert len(part) == len(kept)
    by_name = {(i.dataset, i.key): i for i in whole.items}
    assert part == {name: by_name[name] for name in part}


def test_an_item_without_options_stays_as_it_is() -> None:
    bare = item("x", 0, None)
    assert bare.placed() is bare
    assert bare.rotated(1) is bare


@pytest.mark.parametrize(
    ("permutation", "options", "gold_index"),
    [
        (0, "abcd", 1),
        (1, "bcda", 0),
        (2, "cdab", 3),
        (3, "dabc", 2),
        (4, "abcd", 1),
        (5, "bcda", 0),
    ],
)
def test_rotation_turns_left_and_takes_the_key_along(
    permutation: int, options: str, gold_index: int
) -> None:
    start = Item("d", "k", "q", "i", "", tuple("abcd"), 1, ("b",))
    turned = start.rotated(permutation)
    assert "".join(turned.options) == options
    assert turned.gold_index == gold_index
    assert turned.options[gold_index] == "b"


def test_a_suite_balances_its_keys(suite: Any) -> None:
    letters = Counter(item.gold_index for item in suite.items)
    assert len(letters) == 4
