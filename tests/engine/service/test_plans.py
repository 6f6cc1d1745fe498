"""Plans from measured lengths: made once, kept in the database, the same ever after."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.runtime.messages import Lengths, Task
from ctv_engine.service.plans import MEASURE_ITEMS, Plans
from ctv_engine.settings import Settings
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Dataset, Item, Suite

DATASETS = (Dataset("brief", "exact_match", 4), Dataset("long", "anls", 64))
PROCESSOR = "processor-digest"
TASKS: tuple[Task, ...] = ("closed", "open", "pair")


def item(dataset: str, number: int, *, options: bool = True, picture: str = "") -> Item:
    names = ("a", "b") if options else ()
    digest = picture or f"{dataset}/{number}"
    key = 0 if options else None
    return Item(dataset, f"{number:03}", "why?", "i.png", digest, names, key, ("a",))


def suite_of(*items: Item, digest: str = "suite") -> Suite:
    return Suite("s", "paired", Path("/suite"), DATASETS, items, digest)


ITEMS = [item(name, number) for name in ("brief", "long") for number in range(50)]
SUITE = suite_of(*ITEMS)


def measured(suite: Suite, seed: int = 0) -> list[Lengths]:
    """Return a length for every form of every item."""
    rng = random.Random(seed)
    lengths = []
    for one in suite.items:
        image = rng.randrange(100, 900)
        closed = image + 30 if one.gold_index is not None else None
        lengths.append(Lengths((one.dataset, one.key), closed, image + rng.randrange(5, 25)))
    return lengths


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "run.db")
    yield writer
    writer.close()


def plans_for(writer: Writer, *suites: Suite, **values: Any) -> Plans:
    settings = {"batch_size": 8, "batch_tokens": 4000, **values}
    plans = Plans(writer, Settings(db="run.db", suite="/suite", checkpoint_dir="/run", **settings))
    for suite in suites or (SUITE,):
        plans.register(suite, {"closed": "closed", "open": "open"})
    return plans


def all_batches(plans: Plans, suite: Suite = SUITE) -> list[Any]:
    return [plans.batches(suite, task, PROCESSOR) for task in TASKS]


# --- measuring ----------------------------------------------------------------------------------


def test_everything_is_measured_once(writer: Writer) -> None:
    plans = plans_for(writer)
    batches = plans.unmeasured(SUITE, PROCESSOR)
    assert [one for batch in batches for one in batch.items] == ITEMS
    assert [len(batch.items) for batch in batches] == [MEASURE_ITEMS] * 3 + [
        100 - 3 * MEASURE_ITEMS
    ]
    for batch in batches:
        assert batch.datasets == tuple(SUITE.dataset(one.dataset) for one in batch.items)
        assert batch.tokens == ()
    lengths = measured(SUITE)
    plans.learn(SUITE, PROCESSOR, lengths[:40])
    left = [one for batch in plans.unmeasured(SUITE, PROCESSOR) for one in batch.items]
    assert left == ITEMS[40:]
    plans.learn(SUITE, PROCESSOR, lengths[40:])
    assert plans.unmeasured(SUITE, PROCESSOR) == []


def test_another_processor_is_another_measurement(writer: Writer) -> None:
    plans = plans_for(writer)
    plans.learn(SUITE, PROCESSOR, measured(SUITE))
    assert len(plans.unmeasured(SUITE, "another")) == 4
    plans.learn(SUITE, "another", measured(SUITE, seed=9))
    first, second = (plans.batches(SUITE, "closed", name) for name in (PROCESSOR, "another"))
    assert first != second


def test_lengths_are_stored_with_their_item_and_form(writer: Writer) -> None:
    plans = plans_for(writer)
    plans.learn(
        SUITE, PROCESSOR, [Lengths(("brief", "000"), 40, 30), Lengths(("long", "007"), None, None)]
    )
    rows = writer.query(
        "SELECT i.dataset, i.key, l.processor, l.task, l.tokens FROM prompt_lengths l"
        " JOIN items i ON i.id = l.item_id ORDER BY 1, 2, 4"
    )
    assert rows == [
        ("brief", "000", PROCESSOR, "closed", 40),
        ("brief", "000", PROCESSOR, "open", 30),
        ("long", "007", PROCESSOR, "closed", None),
        ("long", "007", PROCESSOR, "open", None),
    ], "a picture that is broken has no length"


def test_a_restarted_engine_takes_up_what_was_measured(writer: Writer) -> None:
    first = plans_for(writer)
    first.learn(SUITE, PROCESSOR, measured(SUITE)[:60])
    second = plans_for(writer)
    assert second.unmeasured(SUITE, PROCESSOR) == first.unmeasured(SUITE, PROCESSOR)
    for plans in (first, second):
        plans.learn(SUITE, PROCESSOR, measured(SUITE)[60:])
    third = plans_for(writer)
    assert third.unmeasured(SUITE, PROCESSOR) == []
    assert all_batches(first) == all_batches(second) == all_batches(third)


def test_a_broken_picture_is_not_measured_for_ever(writer: Writer) -> None:
    for plans in (plans_for(writer), plans_for(writer)):
        found = [Lengths(one.key, None, None) for one in measured(SUITE)[:1]]
        plans.learn(SUITE, PROCESSOR, [*found, *measured(SUITE)[1:]])
        assert plans_for(writer).unmeasured(SUITE, PROCESSOR) == []
        for batches in all_batches(plans):
            planned = [one for batch in batches for one in batch.items]
            assert sorted(one.key for one in planned) == sorted(one.key for one in ITEMS)


# --- plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_batches_do_not_depend_on_the_order_of_measuring(
    writer: Writer, tmp_path: Path, seed: int
) -> None:
    plans = plans_for(writer)
    plans.learn(SUITE, PROCESSOR, measured(SUITE))
    shuffled = measured(SUITE)
    random.Random(seed).shuffle(shuffled)
    (tmp_path / "other").mkdir()
    other_writer = Writer(tmp_path / "other" / "run.db")
    other = plans_for(other_writer)
    for start in range(0, 100, 7):  # as several workers bring them, some twice
        other.learn(SUITE, PROCESSOR, shuffled[max(0, start - 2) : start + 7])
    assert all_batches(other) == all_batches(plans)
    assert all_batches(plans_for(other_writer)) == all_batches(plans), "nor do those read back"
    other_writer.close()


def test_a_plan_is_made_once(writer: Writer) -> None:
    plans = plans_for(writer)
    plans.learn(SUITE, PROCESSOR, measured(SUITE))
    assert plans.batches(SUITE, "pair", PROCESSOR) is plans.batches(SUITE, "pair", PROCESSOR)


def test_a_suite_that_was_not_measured_has_no_probe_and_no_mode_without_items(
    writer: Writer,
) -> None:
    bare = suite_of(*(item("brief", n, options=False) for n in range(3)), digest="bare")
    plans = plans_for(writer, bare)
    assert list(plans.asked) == ["open"], "nothing is asked closed"


@pytest.mark.parametrize(("without", "closed"), [(0, 100), (30, 70), (100, 0)])
def test_how_many_answers_a_mode_needs(writer: Writer, without: int, closed: int) -> None:
    items = [replace(one, options=(), gold_index=None) for one in ITEMS[:without]]
    suite = suite_of(*items, *ITEMS[without:], digest=f"without {without}")
    plans = plans_for(writer, suite)
    planned = {mode: asked.planned for mode, asked in plans.asked.items()}
    assert planned == {mode: n for mode, n in (("closed", closed), ("open", 100)) if n}
    plans.learn(suite, PROCESSOR, measured(suite))
    for mode, asked in plans.asked.items():
        batches = plans.batches(suite, asked.task, PROCESSOR)
        assert sum(len(batch.items) for batch in batches) == planned[mode]


def test_a_pair_is_as_long_as_its_longer_form(writer: Writer) -> None:
    plans = plans_for(writer)
    lengths = [Lengths(one.key, 200 + n, 250 - n) for n, one in enumerate(measured(SUITE))]
    plans.learn(SUITE, PROCESSOR, lengths)
    found = {
        (one.dataset, one.key): tokens
        for batch in plans.batches(SUITE, "pair", PROCESSOR)
        for one, tokens in zip(batch.items, batch.tokens, strict=True)
    }
    assert found == {one.key: max(200 + n, 250 - n) for n, one in enumerate(lengths)}


def test_the_static_schedule_has_batches_of_one_dataset(writer: Writer) -> None:
    queue, static = plans_for(writer), plans_for(writer, schedule="static")
    queue.learn(SUITE, PROCESSOR, measured(SUITE))
    for batches in all_batches(static):
        assert all(len({one.dataset for one in batch.items}) == 1 for batch in batches)
    closed = queue.batches(SUITE, "closed", PROCESSOR)
    assert any(len({one.dataset for one in batch.items}) == 2 for batch in closed)


def test_questions_about_one_picture_are_together(writer: Writer) -> None:
    items = [item("brief", n, picture=f"picture {n % 9}") for n in range(45)]
    suite = suite_of(*items, digest="pictures")
    plans = plans_for(writer, suite)
    plans.learn(suite, PROCESSOR, measured(suite))
    for batches in all_batches(plans, suite):
        homes = [{one.image_digest for one in batch.items} for batch in batches]
        assert sum(map(len, homes)) == 9, "no picture is in two batches"


def test_settings_bound_a_batch(writer: Writer) -> None:
    plans = plans_for(writer, batch_size=3, batch_tokens=1500)
    plans.learn(SUITE, PROCESSOR, measured(SUITE))
    for batch in plans.batches(SUITE, "closed", PROCESSOR):
        assert len(batch.items) <= 3
        assert len(batch.items) * max(batch.tokens) <= 1500


# --- the probe ----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_probe_holds_items_of_different_length(writer: Writer, task: Task) -> None:
    plans = plans_for(writer)
    plans.learn(SUITE, PROCESSOR, measured(SUITE))
    probe = plans.probe(SUITE, task, PROCESSOR)
    batches = plans.batches(SUITE, task, PROCESSOR)
    lengths = [tokens for batch in batches for tokens in batch.tokens]
    assert len(probe.items) == 3
    assert (min(probe.tokens), max(probe.tokens)) == (min(lengths), max(lengths))
    assert len({*probe.tokens}) == 3
    known = {
        (one.dataset, one.key): (tokens, dataset)
        for batch in batches
        for one, tokens, dataset in zip(batch.items, batch.tokens, batch.datasets, strict=True)
    }
    for one, tokens, dataset in zip(probe.items, probe.tokens, probe.datasets, strict=True):
        assert known[one.dataset, one.key] == (tokens, dataset)


def test_the_probe_is_the_same_for_every_worker_and_engine(writer: Writer) -> None:
    plans = plans_for(writer)
    plans.learn(SUITE, PROCESSOR, measured(SUITE))
    for task in TASKS:
        assert plans.probe(SUITE, task, PROCESSOR) == plans_for(writer).probe(
            SUITE, task, PROCESSOR
        )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_probe_of_a_small_suite(writer: Writer, count: int) -> None:
    suite = suite_of(*(item("brief", n) for n in range(count)), digest=f"of {count}")
    plans = plans_for(writer, suite)
    plans.learn(suite, PROCESSOR, measured(suite))
    probe = plans.probe(suite, "closed", PROCESSOR)
    assert 1 <= len(probe.items) == len({one.key for one in probe.items}) <= count
    assert len(probe.datasets) == len(probe.tokens) == len(probe.items)


def test_a_broken_picture_is_no_probe(writer: Writer) -> None:
    """It has no length, and nothing can be proven with it."""
    plans = plans_for(writer)
    lengths = measured(SUITE)
    broken = [Lengths(one.key, None, None) for one in lengths[:5]]
    plans.learn(SUITE, PROCESSOR, [*broken, *lengths[5:]])
    for task in TASKS:
        names = {(one.dataset, one.key) for one in plans.probe(SUITE, task, PROCESSOR).items}
        assert len(names) == 3
        assert not names & {one.key for one in broken}


def test_where_every_picture_is_broken_the_probe_is_one_of_them(writer: Writer) -> None:
    plans = plans_for(writer)
    plans.learn(SUITE, PROCESSOR, [Lengths(one.key, None, None) for one in measured(SUITE)])
    assert len(plans.probe(SUITE, "pair", PROCESSOR).items) >= 1
