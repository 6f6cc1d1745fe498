"""The batch plan: frozen by the suite, the task and the batch size alone."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from ctv_engine.runtime.plan import plan
from ctv_engine.suite import Dataset, Item, Suite, closed_text, open_text

DATASETS = (Dataset("brief", "exact_match", 4, "One word."), Dataset("long", "anls", 64))


def item(dataset: str, key: str, words: int, options: int = 3) -> Item:
    names = tuple(f"option {n}" for n in range(options))
    question = " ".join(["why"] * words)
    return Item(dataset, key, question, "i.png", "", names, 0 if options else None, ("a",))


def suite_of(*items: Item) -> Suite:
    return Suite("s", "paired", Path("/suite"), DATASETS, items, "digest")


ITEMS = [
    item(dataset, str(number), 1 + (7 * number) % 13)
    for dataset in ("brief", "long")
    for number in range(21)
]
SUITE = suite_of(*ITEMS)


@pytest.mark.parametrize("task", ["closed", "open"])
@pytest.mark.parametrize("size", [1, 4, 16, 100])
def test_every_item_is_in_exactly_one_batch(task: str, size: int) -> None:
    batches = plan(SUITE, task, size)  # type: ignore[arg-type]
    planned = [(i.dataset, i.key) for batch in batches for i in batch.items]
    assert sorted(planned) == sorted((i.dataset, i.key) for i in ITEMS)
    assert all(1 <= len(batch.items) <= size for batch in batches)
    assert [batch.batch_id for batch in batches] == list(range(len(batches)))
    assert len(batches) == 2 * -(-21 // size)


@pytest.mark.parametrize("task", ["closed", "open"])
def test_the_order_of_the_file_does_not_matter(task: str) -> None:
    shuffled = list(ITEMS)
    random.Random(5).shuffle(shuffled)
    assert plan(suite_of(*shuffled), task, 4) == plan(SUITE, task, 4)  # type: ignore[arg-type]


def test_a_batch_has_one_dataset_and_carries_its_metric_and_cap() -> None:
    by_name = {dataset.name: dataset for dataset in DATASETS}
    for batch in plan(SUITE, "open", 4):
        (name,) = {i.dataset for i in batch.items}
        assert (batch.metric, batch.max_new_tokens) == (
            by_name[name].open_metric,
            by_name[name].max_new_tokens,
        )
        assert batch.suite_directory == SUITE.directory


def test_texts_are_the_questions_of_the_task() -> None:
    for batch in plan(SUITE, "closed", 4):
        assert batch.texts == tuple(closed_text(i) for i in batch.items)
    for batch in plan(SUITE, "open", 4):
        assert batch.texts == tuple(open_text(i, SUITE.dataset(i.dataset)) for i in batch.items)


def test_items_of_similar_length_are_together_longest_first() -> None:
    for name in ("brief", "long"):
        lengths = [
            len(text)
            for batch in plan(SUITE, "closed", 4)
            if batch.items[0].dataset == name
            for text in batch.texts
        ]
        assert lengths == sorted(lengths, reverse=True)


def test_what_may_write_more_comes_first() -> None:
    same = suite_of(*(item(name, str(n), 5) for name in ("brief", "long") for n in range(8)))
    names = [batch.items[0].dataset for batch in plan(same, "open", 4)]
    assert names == ["long", "long", "brief", "brief"]


def test_items_without_options_are_asked_openly_only() -> None:
    bare = suite_of(item("brief", "1", 3, options=0), item("brief", "2", 3))
    assert [i.key for b in plan(bare, "closed", 4) for i in b.items] == ["2"]
    assert sorted(i.key for b in plan(bare, "open", 4) for i in b.items) == ["1", "2"]
    assert plan(suite_of(item("brief", "1", 3, options=0)), "closed", 4) == ()


def test_one_datasets_items_do_not_move_anothers_batches() -> None:
    more = suite_of(*ITEMS, *(replace(item("brief", "x", 40), key=f"x{n}") for n in range(5)))

    def of_long(suite: Suite) -> list[tuple[Item, ...]]:
        return [b.items for b in plan(suite, "closed", 4) if b.items[0].dataset == "long"]

    assert of_long(more) == of_long(SUITE)
