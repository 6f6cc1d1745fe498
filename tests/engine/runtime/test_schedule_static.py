"""The paper's baseline: strided shards and a barrier after every dataset."""

from __future__ import annotations

from scheduled import Clocked, batch

from ctv_engine.runtime.messages import Unit


def two_datasets(*workers: int) -> Clocked:
    clocked = Clocked("static")
    clocked.workers(*workers)
    names = ["x"] * 5 + ["y"] * 2
    clocked.add([batch(n, dataset=name) for n, name in enumerate(names)])
    return clocked


def run(clocked: Clocked, worker: int) -> list[int]:
    """Let one worker do all it is given."""
    done = []
    while (unit := clocked.scheduler.lease(worker)) is not None:
        done.append(unit.batch.batch_id)
        clocked.scheduler.complete(unit.unit_id)
    return done


def test_shards_are_strided() -> None:
    clocked = two_datasets(1, 2)
    assert run(clocked, 1) == [0, 2, 4]
    assert run(clocked, 2) == [1, 3, 6], "the second dataset begins when the first is through"
    assert run(clocked, 1) == [5]
    assert clocked.scheduler.is_finished(1)


def test_the_barrier_holds_until_the_last_unit_is_through() -> None:
    clocked = two_datasets(1, 2)
    slow = clocked.lease(2)
    assert run(clocked, 1) == [0, 2, 4]
    assert clocked.scheduler.lease(1) is None
    clocked.scheduler.complete(slow.unit_id)
    assert clocked.scheduler.lease(1) is None, "batch 3 is not started yet"
    last = clocked.lease(2)
    assert last.batch.batch_id == 3
    clocked.scheduler.complete(last.unit_id)
    assert clocked.lease(1).batch.batch_id == 5


def test_at_the_barrier_less_urgent_work_waits_as_well() -> None:
    clocked = two_datasets(1, 2)
    clocked.add([batch(90), batch(91)], number=2, task="open")
    clocked.lease(2)
    run(clocked, 1)
    assert clocked.scheduler.lease(1) is None


def test_a_dead_workers_shard_goes_to_the_survivors() -> None:
    clocked = two_datasets(1, 2)
    lost = clocked.lease(2)
    assert clocked.scheduler.lose(2, "killed") == []
    done = run(clocked, 1)
    assert sorted(done[:5]) == [0, 1, 2, 3, 4]
    assert lost.batch.batch_id in done
    assert done[5:] == [5, 6], "and the next dataset is dealt among those that are left"


def test_a_replacement_takes_what_the_dead_worker_left() -> None:
    clocked = two_datasets(1, 2)
    clocked.lease(2)
    clocked.scheduler.lose(2, "killed")
    clocked.workers(3)
    units: list[Unit] = []
    for worker in (1, 3, 1, 3, 1):
        units.append(clocked.lease(worker))
    assert [unit.batch.batch_id for unit in units[0::2]] == [0, 2, 4]
    assert sorted(unit.batch.batch_id for unit in units[1::2]) == [1, 3]


def test_with_no_worker_known_nothing_is_lost() -> None:
    clocked = two_datasets()
    first = run(clocked, 7)
    assert first == list(range(7))
    assert clocked.scheduler.is_finished(1)


def test_a_batch_that_failed_is_finished_in_parts() -> None:
    clocked = two_datasets(1, 2)
    unit = clocked.lease(1)
    assert clocked.scheduler.fail(unit.unit_id, "out of memory") is None
    items = 0
    for worker in (1, 2, 1, 2, 1, 2):
        while (part := clocked.scheduler.lease(worker)) is not None:
            items += len(part.batch.items)
            clocked.scheduler.complete(part.unit_id)
    assert items == 7 * 4
    assert clocked.scheduler.is_finished(1)
