"""Out of memory: halve, remember, and give up only on what does not fit alone."""

from __future__ import annotations

import pytest
from scheduled import Clocked, batch, keys

from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.runtime.schedule import GivenUp


def tokens(rows: int, width: int = 100) -> tuple[int, ...]:
    return (width,) * rows


def test_later_batches_are_split_before_they_are_leased_to_such_a_device() -> None:
    clocked = Clocked()
    clocked.workers(1, 2, kind="small")
    clocked.workers(3, kind="large")
    clocked.add([batch(n, 8, tokens=tokens(8)) for n in range(4)])
    first = clocked.lease(1)
    assert clocked.scheduler.fail(first.unit_id, "out of memory", "memory") is None
    assert [len(keys(clocked.lease(2))) for _ in range(2)] == [4, 4], "the halves of the failed one"
    assert len(keys(clocked.lease(3))) == 8, "another kind of device may hold it whole"
    assert [len(keys(clocked.lease(1))) for _ in range(4)] == [4, 4, 4, 4]
    assert clocked.scheduler.lease(1) is None


def test_per_item_values_are_split_with_the_items() -> None:
    whole = batch(0, 5, tokens=(5, 4, 3, 2, 1))
    part = whole.part(slice(2, None))
    assert [item.key for item in part.items] == ["0-2", "0-3", "0-4"]
    assert len(part.datasets) == 3
    assert part.tokens == (3, 2, 1)
    assert (part.batch_id, part.suite_directory) == (whole.batch_id, whole.suite_directory)
    assert batch(0, 5).part(slice(2)).tokens == ()


@pytest.mark.parametrize(
    ("model", "task", "rows"),
    [("m", "closed", 4), ("other", "closed", 8), ("m", "open", 8)],
)
def test_what_is_remembered_is_of_one_model_and_task(model: str, task: Task, rows: int) -> None:
    clocked = Clocked()
    clocked.add([batch(0, 8)], model="m")
    clocked.scheduler.fail(clocked.lease(1).unit_id, "out of memory", "memory")
    clocked.scheduler.drop(1)
    clocked.add([batch(1, 8)], number=2, task=task, model=model)
    assert len(keys(clocked.lease(1))) == rows


def test_an_unknown_fault_says_nothing_about_memory() -> None:
    clocked = Clocked()
    clocked.add([batch(0, 8), batch(1, 8)])
    clocked.scheduler.fail(clocked.lease(1).unit_id, "unknown", "batch")
    assert [len(keys(clocked.lease(1))) for _ in range(3)] == [4, 4, 8]


def drain(clocked: Clocked, most: int) -> tuple[int, list[str], list[GivenUp]]:
    """Run everything on a device that holds ``most`` padded tokens; count the faults."""
    faults, done, given_up = 0, [], []
    while (unit := clocked.scheduler.lease(1)) is not None:
        if len(unit.batch.items) * max(unit.batch.tokens) > most:
            faults += 1
            lost = clocked.scheduler.fail(unit.unit_id, "out of memory", "memory")
            given_up += [lost] if lost else []
        else:
            done += keys(unit)
            clocked.scheduler.complete(unit.unit_id)
    return faults, done, given_up


def test_a_device_that_is_too_small_costs_few_faults() -> None:
    clocked = Clocked()
    batches: list[Batch] = [batch(n, 16, tokens=tokens(16)) for n in range(20)]
    clocked.add(batches)
    faults, done, given_up = drain(clocked, most=400)
    assert faults == 2, "16 rows, 8 rows; after that nothing larger than 4 is tried"
    assert len(done) == len(set(done)) == 20 * 16
    assert given_up == []
    assert clocked.scheduler.is_finished(1)


def test_an_item_that_does_not_fit_alone_is_given_up_with_the_reason() -> None:
    clocked = Clocked()
    clocked.add([batch(0, 2, tokens=(900, 100))])
    _, done, (lost,) = drain(clocked, most=500)
    assert done == ["0-1"]
    assert [(r.key, r.reason, r.answer) for r in lost.results] == [
        (("d", "0-0"), "out of memory", None)
    ]
    assert clocked.scheduler.is_finished(1)
