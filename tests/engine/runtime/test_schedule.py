"""Who does what next, driven without processes or clocks."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from ctv_engine.runtime.messages import Batch, Checkpoint, Task, Unit
from ctv_engine.runtime.schedule import MAX_LOSSES, GivenUp, Scheduler
from ctv_engine.suite import Dataset, Item


def batch(number: int, size: int = 4) -> Batch:
    items = tuple(
        Item("d", f"{number}-{n}", "q", "i", "", ("a", "b"), 0, ("a",)) for n in range(size)
    )
    datasets = tuple(Dataset(i.key, "exact_match", 4) for i in items)
    return Batch(number, items, datasets, Path("/suite"))


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(1000 + step, step, Path(f"/pins/{step}"), f"digest-{step}")


def keys(unit: Unit | GivenUp) -> list[str]:
    if isinstance(unit, GivenUp):
        return [result.key[1] for result in unit.results]
    names = [dataset.name for dataset in unit.batch.datasets]
    assert names == [item.key for item in unit.batch.items], "what is an item's goes with it"
    return [item.key for item in unit.batch.items]


def leased(scheduler: Scheduler, worker: int = 1) -> Unit:
    unit = scheduler.lease(worker)
    assert unit is not None
    return unit


def one_evaluation(*batches: Batch) -> Scheduler:
    scheduler = Scheduler()
    scheduler.add(1, checkpoint(10), "closed", batches)
    return scheduler


# --- order --------------------------------------------------------------------------------------

WORK: list[tuple[int, int, Task, bool]] = [
    (1, 10, "closed", False),
    (2, 10, "open", False),
    (3, 10, "open", True),  # gold
    (4, 20, "closed", False),
    (5, 20, "open", False),
    (6, 20, "open", True),
]


@pytest.mark.parametrize("seed", range(5))
def test_newest_first_closed_before_open_gold_last(seed: int) -> None:
    scheduler = Scheduler()
    for number, step, task, gold in random.Random(seed).sample(WORK, len(WORK)):
        scheduler.add(number, checkpoint(step), task, [batch(0), batch(1)], background=gold)
    order = [leased(scheduler).evaluation_id for _ in range(2 * len(WORK))]
    assert order == [4, 4, 5, 5, 1, 1, 2, 2, 6, 6, 3, 3]
    assert scheduler.lease(1) is None


def test_a_newer_checkpoints_closed_work_overtakes_what_is_waiting() -> None:
    scheduler = Scheduler()
    scheduler.add(1, checkpoint(10), "open", [batch(n) for n in range(3)])
    scheduler.add(2, checkpoint(10), "open", [batch(n) for n in range(3)], background=True)
    assert leased(scheduler).evaluation_id == 1
    scheduler.add(3, checkpoint(20), "closed", [batch(0)])
    assert [leased(scheduler).evaluation_id for _ in range(4)] == [3, 1, 1, 2]


def test_batches_are_leased_in_the_order_of_the_plan() -> None:
    scheduler = one_evaluation(batch(0), batch(1), batch(2))
    units = [leased(scheduler, worker) for worker in (1, 2, 3)]
    assert [unit.batch.batch_id for unit in units] == [0, 1, 2]
    assert len({unit.unit_id for unit in units}) == 3
    assert {unit.attempt for unit in units} == {1}


# --- ends ---------------------------------------------------------------------------------------


def test_finished_when_nothing_is_waiting_or_under_way() -> None:
    scheduler = one_evaluation(batch(0), batch(1))
    assert not scheduler.is_finished(1)
    first, second = leased(scheduler), leased(scheduler, 2)
    assert scheduler.begun() == [1]
    scheduler.complete(first.unit_id)
    assert not scheduler.is_finished(1)
    assert scheduler.unit(second.unit_id) == second
    scheduler.complete(second.unit_id)
    assert scheduler.is_finished(1)
    assert scheduler.unit(second.unit_id) is None
    assert scheduler.begun() == []
    assert not scheduler.idle
    scheduler.drop(1)
    assert scheduler.idle
    assert not scheduler.is_finished(1)


def test_an_evaluation_of_nothing_is_finished_at_once() -> None:
    assert one_evaluation().is_finished(1)


def test_a_second_completion_changes_nothing() -> None:
    scheduler = one_evaluation(batch(0), batch(1))
    first = leased(scheduler)
    leased(scheduler, 2)
    scheduler.complete(first.unit_id)
    scheduler.complete(first.unit_id)
    assert not scheduler.is_finished(1)


def test_a_dropped_evaluation_is_forgotten() -> None:
    scheduler = one_evaluation(batch(0), batch(1))
    scheduler.add(2, checkpoint(10), "open", [batch(2)])
    unit = leased(scheduler)
    assert scheduler.evaluations_of(1010) == [1, 2]
    scheduler.drop(1)
    assert scheduler.evaluations_of(1010) == [2]
    assert scheduler.unit(unit.unit_id) is None
    assert scheduler.fail(unit.unit_id, "late") is None
    assert scheduler.lose(1, "late") == []
    scheduler.complete(unit.unit_id)
    assert leased(scheduler).evaluation_id == 2
    assert scheduler.lease(1) is None


# --- faults -------------------------------------------------------------------------------------


def test_a_lost_batch_is_queued_again_as_it_is_and_first() -> None:
    scheduler = one_evaluation(batch(0), batch(1))
    unit = leased(scheduler)
    assert scheduler.lose(1, "killed") == []
    again = leased(scheduler, 2)
    assert (again.batch, again.attempt) == (unit.batch, 2)
    assert again.unit_id != unit.unit_id


def test_losing_a_worker_takes_back_its_own_batch_alone() -> None:
    scheduler = one_evaluation(batch(0), batch(1))
    leased(scheduler, 1)
    other = leased(scheduler, 2)
    scheduler.lose(1, "killed")
    assert scheduler.unit(other.unit_id) == other
    assert leased(scheduler, 3).batch.batch_id == 0


def test_a_batch_that_killed_two_workers_is_split() -> None:
    scheduler = one_evaluation(batch(0, 5))
    for _ in range(MAX_LOSSES):
        leased(scheduler)
        assert scheduler.lose(1, "killed") == []
    parts = [leased(scheduler), leased(scheduler, 2)]
    assert [keys(part) for part in parts] == [["0-0", "0-1"], ["0-2", "0-3", "0-4"]]
    assert scheduler.lease(3) is None


def test_a_single_item_that_killed_two_workers_is_given_up() -> None:
    scheduler = one_evaluation(batch(0, 1))
    leased(scheduler)
    assert scheduler.lose(1, "killed by signal 9") == []
    unit = leased(scheduler)
    (lost,) = scheduler.lose(1, "killed by signal 9")
    assert (lost.unit, keys(lost)) == (unit, ["0-0"])
    assert lost.results[0].reason == "2 workers died on it: killed by signal 9"
    assert lost.results[0].answer is None
    assert scheduler.is_finished(1)


def test_a_failed_batch_is_halved_down_to_the_item_at_fault() -> None:
    scheduler = one_evaluation(batch(0, 8))
    answered: list[str] = []
    given_up: list[GivenUp] = []
    while (unit := scheduler.lease(1)) is not None:
        if "0-5" in keys(unit):
            lost = scheduler.fail(unit.unit_id, "out of memory")
            given_up += [lost] if lost else []
        else:
            answered += keys(unit)
            scheduler.complete(unit.unit_id)
    (only,) = given_up
    assert keys(only) == ["0-5"]
    assert only.results[0].reason == "out of memory"
    assert sorted(answered) == [f"0-{n}" for n in range(8) if n != 5]
    assert scheduler.is_finished(1)


def test_a_failure_is_no_death() -> None:
    # out of memory once, then halves; a worker that dies of something else costs no item
    scheduler = one_evaluation(batch(0, 2))
    assert scheduler.fail(leased(scheduler).unit_id, "out of memory") is None
    leased(scheduler)
    assert scheduler.lose(1, "killed") == []
    assert keys(leased(scheduler)) == ["0-0"]


# --- nothing is lost or doubled -----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_no_item_is_lost_or_doubled(seed: int) -> None:
    rng = random.Random(seed)
    scheduler = Scheduler()
    wanted: Counter[tuple[int, str]] = Counter()
    ended: Counter[tuple[int, str]] = Counter()
    dropped: set[int] = set()
    under_way: dict[int, Unit] = {}  # by worker
    number = 0

    def end(found: Unit | GivenUp, evaluation_id: int) -> None:
        ended.update((evaluation_id, key) for key in keys(found))

    def add() -> None:
        nonlocal number
        number += 1
        batches = [batch(n, rng.randint(1, 9)) for n in range(rng.randint(0, 4))]
        wanted.update((number, item.key) for b in batches for item in b.items)
        task: Task = rng.choice(["closed", "open"])
        scheduler.add(
            number, checkpoint(rng.randint(1, 5)), task, batches, background=rng.random() < 0.3
        )

    def complete(worker: int) -> None:
        unit = under_way.pop(worker)
        if scheduler.unit(unit.unit_id) is not None:
            scheduler.complete(unit.unit_id)
            end(unit, unit.evaluation_id)

    for _ in range(3):
        add()
    for _ in range(300):
        free = [worker for worker in range(4) if worker not in under_way]
        act = rng.choices(
            ["lease", "complete", "fail", "lose", "drop", "add"], [8, 4, 2, 2, 0.05, 0.1]
        )[0]
        if act == "lease" and free:
            unit = scheduler.lease(free[0])
            if unit is not None:
                under_way[free[0]] = unit
        elif act == "complete" and under_way:
            complete(rng.choice(sorted(under_way)))
        elif act == "fail" and under_way:
            unit = under_way.pop(rng.choice(sorted(under_way)))
            lost = scheduler.fail(unit.unit_id, "fault")
            if lost is not None:
                end(lost, unit.evaluation_id)
        elif act == "lose" and under_way:
            worker = rng.choice(sorted(under_way))
            del under_way[worker]
            for lost in scheduler.lose(worker, "death"):
                end(lost, lost.unit.evaluation_id)
        elif act == "drop":
            evaluation_id = rng.randint(1, number)
            dropped.add(evaluation_id)
            scheduler.drop(evaluation_id)
        elif act == "add":
            add()
    for worker in sorted(under_way):
        complete(worker)
    while (unit := scheduler.lease(0)) is not None:
        under_way[0] = unit
        complete(0)
    kept = {name for name in wanted if name[0] not in dropped}
    assert kept
    assert {name: ended[name] for name in kept} == dict.fromkeys(kept, 1)
    assert all(count == 1 for count in ended.values())
    assert set(ended) <= set(wanted)
    for evaluation_id in range(1, number + 1):
        assert scheduler.is_finished(evaluation_id) == (evaluation_id not in dropped)
