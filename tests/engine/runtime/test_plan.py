"""The batch plan: frozen by the suite, the prompts' lengths and the settings alone."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.runtime.plan import (
    TAIL_FINENESS,
    TAIL_SHARE,
    cut_batches,
    padding_share,
    plan,
)
from ctv_engine.suite import Dataset, Item, Suite

DATASETS = (Dataset("brief", "exact_match", 4, "One word."), Dataset("long", "anls", 64))
ROUNDS = 4
"""A plan of open answers may fill its slots so many times."""


def item(dataset: str, key: str, words: int, options: int = 3, picture: str = "") -> Item:
    names = tuple(f"option {n}" for n in range(options))
    question = " ".join(["why"] * words)
    digest = picture or f"picture of {dataset}/{key}"
    return Item(dataset, key, question, "i.png", digest, names, 0 if options else None, ("a",))


def suite_of(*items: Item, datasets: tuple[Dataset, ...] = DATASETS) -> Suite:
    return Suite("s", "paired", Path("/suite"), datasets, items, "digest")


def lengths_of(suite: Suite) -> dict[tuple[str, str], int]:
    return {(i.dataset, i.key): 10 + len(i.question.split()) for i in suite.items}


def planned(suite: Suite, task: Task, size: int = 4, **values: Any) -> tuple[Batch, ...]:
    values = {"token_budget": 10**6, "max_rows": size, **values}
    return plan(suite, task, lengths_of(suite), **values)


def names(batch: Batch) -> list[tuple[str, str]]:
    return [(i.dataset, i.key) for i in batch.items]


ITEMS = [
    item(dataset, str(number), 1 + (7 * number) % 13)
    for dataset in ("brief", "long")
    for number in range(21)
]
SUITE = suite_of(*ITEMS)
TASKS: tuple[Task, ...] = ("closed", "open", "pair")


@pytest.mark.parametrize("by_dataset", [False, True])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", [1, 4, 16, 100])
def test_every_item_is_in_exactly_one_batch(task: Task, size: int, by_dataset: bool) -> None:
    batches = planned(SUITE, task, size, by_dataset=by_dataset)
    found = [name for batch in batches for name in names(batch)]
    assert sorted(found) == sorted((i.dataset, i.key) for i in ITEMS)
    most = size if task == "closed" else ROUNDS * size
    assert all(1 <= len(batch.items) <= most for batch in batches)
    assert [batch.batch_id for batch in batches] == list(range(len(batches)))


@pytest.mark.parametrize("by_dataset", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_the_file_does_not_matter(task: Task, by_dataset: bool) -> None:
    shuffled = list(ITEMS)
    random.Random(5).shuffle(shuffled)
    again = planned(suite_of(*shuffled), task, by_dataset=by_dataset)
    assert again == planned(SUITE, task, by_dataset=by_dataset)


@pytest.mark.parametrize("task", TASKS)
def test_each_item_has_its_dataset_and_its_length(task: Task) -> None:
    lengths = lengths_of(SUITE)
    for batch in planned(SUITE, task):
        assert batch.datasets == tuple(SUITE.dataset(i.dataset) for i in batch.items)
        assert batch.tokens == tuple(lengths[name] for name in names(batch))
        assert batch.suite_directory == SUITE.directory


@pytest.mark.parametrize("task", ["open", "pair"])
def test_what_is_decoded_together_has_one_cap(task: Task) -> None:
    for batch in planned(SUITE, task):
        assert len({dataset.max_new_tokens for dataset in batch.datasets}) == 1


def test_closed_batches_mix_datasets_by_length_alone() -> None:
    mixed = [batch for batch in planned(SUITE, "closed") if len({*batch.datasets}) > 1]
    assert mixed
    tokens = [length for batch in planned(SUITE, "closed") for length in batch.tokens]
    assert tokens == sorted(tokens, reverse=True)


@pytest.mark.parametrize("task", TASKS)
def test_items_of_similar_length_are_together_longest_first(task: Task) -> None:
    for name in ("brief", "long"):
        lengths = [
            length
            for batch in planned(SUITE, task, by_dataset=True)
            if batch.items[0].dataset == name
            for length in batch.tokens
        ]
        assert lengths == sorted(lengths, reverse=True)
        assert len(lengths) == 21


@pytest.mark.parametrize("task", ["open", "pair"])
def test_what_may_write_more_comes_first(task: Task) -> None:
    same = suite_of(*(item(name, str(n), 5) for name in ("brief", "long") for n in range(8)))
    order = [batch.items[0].dataset for batch in planned(same, task)]
    assert {*order} == {"long", "brief"}
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("task", ["closed", "pair"])
def test_items_without_options_are_asked_openly_only(task: Task) -> None:
    bare = suite_of(item("brief", "1", 3, options=0), item("brief", "2", 3))
    assert [i.key for b in planned(bare, task) for i in b.items] == ["2"]
    assert sorted(i.key for b in planned(bare, "open") for i in b.items) == ["1", "2"]
    assert planned(suite_of(item("brief", "1", 3, options=0)), task) == ()


@pytest.mark.parametrize("task", TASKS)
def test_by_dataset_one_datasets_items_do_not_move_anothers_batches(task: Task) -> None:
    more = suite_of(*ITEMS, *(replace(item("brief", "x", 40), key=f"x{n}") for n in range(5)))

    def of_long(suite: Suite) -> list[tuple[Item, ...]]:
        batches = planned(suite, task, by_dataset=True)
        assert all(len({*batch.datasets}) == 1 for batch in batches)
        return [b.items for b in batches if b.items[0].dataset == "long"]

    assert of_long(more) == of_long(SUITE)


def test_a_length_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        plan(SUITE, "closed", {}, token_budget=100, max_rows=4)


# --- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_questions_about_one_picture_stand_together(task: Task) -> None:
    rng = random.Random(2)
    items = [
        item("brief", f"{picture}-{n}", rng.randrange(1, 60), picture=f"picture {picture}")
        for picture in range(20)
        for n in range(rng.randrange(1, 7))
    ]
    rng.shuffle(items)
    batches = planned(suite_of(*items), task, 4)
    for batch in batches:
        digests = [i.image_digest for i in batch.items]
        runs = [d for n, d in enumerate(digests) if n == 0 or digests[n - 1] != d]
        assert len(runs) == len({*digests}), "next to each other"
    homes = Counter(d for batch in batches for d in {i.image_digest for i in batch.items})
    assert {*homes.values()} == {1}, "in one batch, even if it is larger than the others"
    assert sum(len(batch.items) for batch in batches) == len(items)


# --- cutting ------------------------------------------------------------------------------------

CUTS: list[tuple[str, list[int], dict[str, Any], list[list[int]]]] = [
    ("nothing", [], {"token_budget": 9, "max_rows": 9}, []),
    ("one", [5], {"token_budget": 9, "max_rows": 9}, [[0]]),
    ("longer than the budget", [50, 3], {"token_budget": 9, "max_rows": 9}, [[0], [1]]),
    ("rows", [5] * 4, {"token_budget": 99, "max_rows": 2}, [[0, 1], [2], [3]]),
    ("tokens", [6, 6, 6, 3], {"token_budget": 12, "max_rows": 9}, [[0, 1], [2], [3]]),
    (
        "padding counts",
        [10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        {"token_budget": 20, "max_rows": 99},
        [[0, 1], [2, 3, 4, 5, 6], [7, 8, 9, 10]],
    ),
    ("longest first", [1, 9, 5], {"token_budget": 9, "max_rows": 9}, [[1], [2], [0]]),
    ("ties as they stand", [5, 5, 5], {"token_budget": 5, "max_rows": 9}, [[0], [1], [2]]),
    (
        "a unit of several rows is not divided",
        [5, 5, 5],
        {"token_budget": 99, "max_rows": 4, "rows": [3, 6, 1]},
        [[0], [1], [2]],
    ),
]


@pytest.mark.parametrize(
    ("tokens", "limits", "wanted"), [case[1:] for case in CUTS], ids=[case[0] for case in CUTS]
)
def test_how_units_are_cut(
    tokens: list[int], limits: dict[str, Any], wanted: list[list[int]]
) -> None:
    assert cut_batches(tokens, **limits) == wanted


@pytest.mark.parametrize("limits", [(0, 4), (100, 0), (-1, 4)])
def test_limits_below_one_are_refused(limits: tuple[int, int]) -> None:
    budget, rows = limits
    with pytest.raises(ValueError, match="must be positive"):
        cut_batches([1], token_budget=budget, max_rows=rows)


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_full_before_the_tail_and_small_in_it(seed: int) -> None:
    rng = random.Random(seed)
    tokens = [rng.randrange(1, 2000) for _ in range(rng.randrange(1, 400))]
    rows = [rng.choice((1, 1, 1, 2, 5)) for _ in tokens]
    budget, most = rng.randrange(500, 20000), rng.randrange(1, 40)
    batches = cut_batches(tokens, token_budget=budget, max_rows=most, rows=rows)
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(tokens)))
    assert [tokens[i] for i in order] == sorted(tokens, reverse=True)
    work = {index: tokens[index] * rows[index] for index in order}
    left = sum(work.values())
    tail = TAIL_SHARE * left
    for number, batch in enumerate(batches):
        height, width = sum(rows[i] for i in batch), tokens[batch[0]]
        first, last = left, left - sum(work[i] for i in batch[:-1])
        if len(batch) > 1:
            fineness = TAIL_FINENESS if last <= tail else 1
            assert height * width <= max(1, budget // fineness)
            assert height <= max(1, most // fineness)
        left = first - sum(work[i] for i in batch)
        if left > tail:  # the next unit, which would not be in the tail, had no room
            more = height + rows[batches[number + 1][0]]
            assert more > most or more * width > budget


# --- padding ------------------------------------------------------------------------------------

PAPER = {"a": 450, "b": 450, "c": 450, "d": 250, "e": 180, "f": 450}
"""Items of the paper's six datasets."""


def six_datasets(seed: int, image_tokens: str) -> tuple[Suite, dict[tuple[str, str], int]]:
    """Return a suite with prompts of 596 to 1,620 tokens: a picture's and 20 to 120 of text."""
    rng = random.Random(seed)
    caps = dict(zip(PAPER, (16, 32, 16, 64, 128, 32), strict=True))
    lengths: dict[tuple[str, str], int] = {}
    for number, (name, count) in enumerate(PAPER.items()):
        for key in range(count):
            image = {
                "one size": 576,
                "by dataset": 576 + 184 * number,
                "any size": rng.randrange(576, 1501),
                "by tiles": 576 + 231 * rng.randrange(5),
            }[image_tokens]
            lengths[name, str(key)] = image + rng.randrange(20, 121)
    suite = suite_of(
        *(item(name, key, 3) for name, key in lengths),
        datasets=tuple(Dataset(name, "anls", caps[name]) for name in PAPER),
    )
    return suite, lengths


@pytest.mark.parametrize("image_tokens", ["one size", "by dataset", "any size", "by tiles"])
@pytest.mark.parametrize("budget", [8192, 16384])
def test_at_most_one_per_cent_of_what_is_processed_is_padding(
    image_tokens: str, budget: int
) -> None:
    for seed in range(3):
        suite, lengths = six_datasets(seed, image_tokens)
        batches = plan(suite, "closed", lengths, token_budget=budget, max_rows=32)
        assert sum(len(batch.items) for batch in batches) == 2230
        assert padding_share(batches) <= 0.01
        assert all(max(b.tokens) * len(b.tokens) <= budget for b in batches)


@pytest.mark.parametrize("image_tokens", ["one size", "by dataset", "any size", "by tiles"])
@pytest.mark.parametrize("task", ["open", "pair"])
def test_what_is_prefilled_together_before_decoding_is_as_even(
    image_tokens: str, task: Task
) -> None:
    """Prompts of an open batch are prefilled a few at a time, neighbours together."""
    suite, lengths = six_datasets(4, image_tokens)
    batches = plan(suite, task, lengths, token_budget=16384, max_rows=32)
    parts = [b.part(slice(n, n + 8)) for b in batches for n in range(0, len(b.items), 8)]
    assert padding_share(parts) <= 0.01


def test_padding_is_what_is_not_prompt() -> None:
    whole = planned(SUITE, "closed", 4)[0]
    assert padding_share([replace(whole, tokens=(10, 5, 5))]) == pytest.approx(1 - 20 / 30)
    assert padding_share([]) == 0.0
