"""Long, late, silent and stuck: the schedule by the clock."""

from __future__ import annotations

import time

import pytest
from scheduled import Clocked, batch, keys, recorded

from ctv_engine.runtime.leases import DEADLINE_FACTOR, LATE_FACTOR, LATE_FLOOR_S, UNKNOWN_FACTOR
from ctv_engine.runtime.messages import Batch
from ctv_engine.runtime.schedule import Scheduler

# --- longest first ------------------------------------------------------------------------------


def test_the_batch_that_took_longest_last_time_goes_first() -> None:
    batches = [batch(n) for n in range(4)]
    clocked = Clocked(costs=recorded(batches, [1.0, 3.0, 0.5, 2.0]))
    clocked.add(batches)
    assert [clocked.lease(1).batch.batch_id for _ in batches] == [1, 3, 0, 2]


def test_without_a_past_tokens_tell_the_order() -> None:
    batches = [batch(0, 2, tokens=(5, 5)), batch(1, 2, tokens=(50, 50)), batch(2, 1, tokens=(70,))]
    clocked = Clocked()
    clocked.add(batches)
    assert [clocked.lease(1).batch.batch_id for _ in batches] == [1, 2, 0]


def test_the_next_checkpoint_is_ordered_by_what_this_one_took() -> None:
    batches = [batch(n) for n in range(3)]
    clocked = Clocked()
    clocked.add(batches)
    for seconds in (1.0, 2.0, 3.0):
        unit = clocked.lease(1)
        clocked.now += seconds
        clocked.complete(unit, seconds)
    clocked.scheduler.drop(1)
    clocked.add(batches, number=2, step=20)
    assert [clocked.lease(1).batch.batch_id for _ in batches] == [2, 1, 0]


def test_the_cost_of_leases_does_not_grow_with_the_workers() -> None:
    """1,024 workers through one scheduler: at least 20,000 leases a second of CPU time."""
    workers, units = 1024, 20_000
    clocked = Clocked()
    clocked.add([batch(n, 8, tokens=(100,) * 8) for n in range(units)])
    clocked.workers(*range(workers))
    held = {worker: clocked.lease(worker) for worker in range(workers)}
    began = time.process_time()
    for number in range(units - workers):
        worker = number % workers
        clocked.now += 0.01
        clocked.complete(held[worker], 0.08)
        clocked.scheduler.beat(worker)
        held[worker] = clocked.lease(worker)
        if number % 1000 == 0:
            assert clocked.scheduler.overdue() == []
    rate = (units - workers) / (time.process_time() - began)
    print(f"{rate:,.0f} leases/s of CPU time through one scheduler, {workers} workers")
    assert rate > 20_000 / 2, "half the bar: this machine may be shared"


# --- one unit ahead -----------------------------------------------------------------------------


def test_a_unit_is_given_ahead_only_while_more_units_wait_than_there_are_workers() -> None:
    clocked = Clocked()
    clocked.workers(1, 2)
    clocked.add([batch(n) for n in range(6)])
    clocked.lease(1), clocked.lease(2)
    assert clocked.scheduler.lease(1, ahead=True) is not None
    assert clocked.scheduler.lease(2, ahead=True) is not None
    assert clocked.scheduler.lease(1, ahead=True) is None, "two are left for two workers"
    assert clocked.scheduler.lease(1) is not None


def test_the_time_of_a_unit_that_was_given_ahead_begins_with_its_turn() -> None:
    clocked = Clocked()
    clocked.workers(1)
    clocked.add([batch(n) for n in range(9)])
    first, second = clocked.lease(1), clocked.scheduler.lease(1, ahead=True)
    assert second is not None
    allowed = UNKNOWN_FACTOR * 100
    assert clocked.live(1, seconds=allowed) == []
    clocked.scheduler.complete(first.unit_id)
    assert clocked.live(1, seconds=allowed) == []
    assert clocked.live(1, seconds=2) == [f"1: stuck in batch 1 for {allowed + 1:.0f} s"]


def test_a_dead_worker_gives_back_what_it_had_ahead() -> None:
    clocked = Clocked()
    clocked.workers(1, 2)
    clocked.add([batch(n) for n in range(9)])
    held = [clocked.lease(1).batch.batch_id, clocked.lease(1).batch.batch_id]
    assert clocked.scheduler.lose(1, "killed") == []
    again = {unit.batch.batch_id: unit.losses for unit in (clocked.lease(2), clocked.lease(2))}
    assert again == {held[0]: 1, held[1]: 0}, "only what was under way is suspect"


# --- late: a second copy ------------------------------------------------------------------------

SECONDS = 4.0


def measured() -> tuple[Clocked, list[Batch]]:
    """Two workers that have each loaded the checkpoint and finished batches in 4 s of 4 s."""
    batches = [batch(n) for n in range(6)]
    clocked = Clocked(costs=recorded(batches, [SECONDS] * 6))
    clocked.workers(1, 2)
    clocked.add(batches)
    for _ in range(2):
        units = [clocked.lease(worker) for worker in (1, 2)]
        clocked.now += SECONDS
        for unit in units:
            clocked.complete(unit, SECONDS)
    return clocked, batches


def test_a_late_unit_gets_one_copy_and_the_first_result_counts() -> None:
    clocked, _ = measured()
    slow, quick = clocked.lease(1), clocked.lease(2)
    clocked.now += SECONDS
    clocked.complete(quick, SECONDS)
    assert clocked.scheduler.lease(2) is None, "not late yet"
    late_at = clocked.scheduler.next_late_at()
    assert late_at == pytest.approx(clocked.now - SECONDS + LATE_FACTOR * SECONDS + LATE_FLOOR_S)
    clocked.now = late_at
    assert clocked.scheduler.lease(1) is None, "nobody copies its own unit"
    copy = clocked.lease(2)
    assert (copy.batch, copy.attempt) == (slow.batch, 2)
    assert copy.unit_id != slow.unit_id
    clocked.workers(3)
    assert clocked.scheduler.lease(3) is None, "one copy, not more"
    clocked.complete(copy, SECONDS)
    assert clocked.scheduler.is_finished(1)
    assert clocked.scheduler.unit(slow.unit_id) is None, "the other is dropped"
    clocked.complete(slow, SECONDS)
    assert clocked.scheduler.is_finished(1)


def test_the_copied_unit_may_win_as_well() -> None:
    clocked, _ = measured()
    slow, quick = clocked.lease(1), clocked.lease(2)
    clocked.now += 20 * SECONDS
    clocked.complete(quick, SECONDS)
    copy = clocked.lease(2)
    clocked.complete(slow, SECONDS)
    assert clocked.scheduler.is_finished(1)
    assert clocked.scheduler.unit(copy.unit_id) is None
    assert clocked.scheduler.lose(2, "killed") == []
    assert clocked.scheduler.is_finished(1), "the death of a worker nobody waits for costs nothing"


@pytest.mark.parametrize("fault", ["fail", "lose"])
def test_when_one_copy_ends_badly_the_other_is_waited_for(fault: str) -> None:
    clocked, _ = measured()
    slow, quick = clocked.lease(1), clocked.lease(2)
    clocked.now += 20 * SECONDS
    clocked.complete(quick, SECONDS)
    copy = clocked.lease(2)
    if fault == "fail":
        assert clocked.scheduler.fail(slow.unit_id, "fault") is None
    else:
        assert clocked.scheduler.lose(1, "killed") == []
    assert clocked.scheduler.lease(3) is None, "nothing is queued: the copy is under way"
    assert not clocked.scheduler.is_finished(1)
    clocked.complete(copy, SECONDS)
    assert clocked.scheduler.is_finished(1)


def test_a_batch_that_kills_both_of_its_workers_is_split_all_the_same() -> None:
    clocked, _ = measured()
    slow, quick = clocked.lease(1), clocked.lease(2)
    clocked.now += 20 * SECONDS
    clocked.complete(quick, SECONDS)
    clocked.lease(2)
    assert clocked.scheduler.lose(1, "killed") == []
    assert clocked.scheduler.lose(2, "killed") == []
    clocked.workers(3)
    assert len(keys(clocked.lease(3))) == len(slow.batch.items) // 2


def test_second_copies_keep_the_order_of_urgency() -> None:
    clocked, _ = measured()
    clocked.add([batch(90)], number=2, step=20)
    clocked.add([batch(91)], number=3, step=5)
    assert [clocked.lease(worker).evaluation_id for worker in (3, 1, 2)] == [2, 1, 1]
    clocked.now += 20 * SECONDS
    order = [clocked.lease(worker).evaluation_id for worker in (4, 5, 6, 7)]
    assert order == [2, 1, 1, 3], "the late units of steps 20 and 10, then the work of step 5"


def test_nothing_is_late_while_nothing_can_be_predicted() -> None:
    clocked = Clocked()
    clocked.add([batch(0)])
    clocked.lease(1)
    clocked.now = 1e6
    assert clocked.scheduler.lease(2) is None
    assert clocked.scheduler.next_late_at() is None


def test_loading_the_weights_does_not_make_a_unit_late() -> None:
    batches = [batch(n) for n in range(4)]
    clocked = Clocked(costs=recorded(batches, [0.5] * 4))
    clocked.add(batches[:1])
    unit = clocked.lease(1)
    clocked.now += 60.5
    clocked.complete(unit, 0.5)
    clocked.add(batches[:1], number=2, step=20)
    clocked.lease(1)
    clocked.now += 60.5
    assert clocked.scheduler.lease(2) is None, "60 s of loading is what the last one took"


def test_the_baseline_copies_nothing() -> None:
    batches = [batch(n) for n in range(4)]
    clocked = Clocked("static", costs=recorded(batches, [SECONDS] * 4))
    clocked.workers(1, 2)
    clocked.add(batches)
    for _ in range(2):
        units = [clocked.lease(worker) for worker in (1, 2)]
        clocked.now += SECONDS
        clocked.complete(units[0], SECONDS)
        if _ == 0:
            clocked.complete(units[1], SECONDS)
    clocked.now += 1000 * SECONDS
    assert clocked.scheduler.next_late_at() is None
    assert clocked.scheduler.lease(1) is None


# --- silent and stuck ---------------------------------------------------------------------------


def test_a_worker_without_heartbeats_is_overdue() -> None:
    clocked = Clocked()
    clocked.workers(1, 2)
    clocked.scheduler.overdue()
    assert clocked.live(1, seconds=30) == ["2: no heartbeat for 11 s"]
    clocked.scheduler.lose(2, "no heartbeat")
    assert clocked.live(1, seconds=30) == []


def test_a_worker_that_never_gets_ready_is_overdue() -> None:
    clocked = Clocked()
    clocked.scheduler.join(1)
    assert clocked.live(1, seconds=500) == ["1: not ready after 300 s"]
    assert clocked.now == UNKNOWN_FACTOR * 100 + 1


def test_a_heartbeat_does_not_excuse_a_stuck_unit() -> None:
    clocked = Clocked()
    clocked.workers(1)
    clocked.add([batch(7)])
    clocked.lease(1)
    allowed = UNKNOWN_FACTOR * 100
    assert clocked.live(1, seconds=2 * allowed) == [f"1: stuck in batch 7 for {allowed + 1:.0f} s"]


def test_time_in_which_files_are_on_their_way_counts_against_no_unit() -> None:
    clocked = Clocked()
    clocked.scheduler.join(1)
    assert clocked.live(1, seconds=1000, waits=True) == [], "for a processor"
    clocked.scheduler.ready(1)
    clocked.add([batch(7)])
    clocked.lease(1)
    assert clocked.live(1, seconds=1000, waits=True) == [], "for weights"
    allowed = UNKNOWN_FACTOR * 100
    assert clocked.live(1, seconds=allowed) == []
    assert clocked.live(1, seconds=2) == [f"1: stuck in batch 7 for {allowed + 1:.0f} s"]


def test_a_unit_whose_files_are_on_their_way_is_not_late() -> None:
    clocked, _ = measured()
    held = clocked.lease(1)
    for _ in range(60):
        assert clocked.live(1, 2, seconds=1, waits=True) == []
    quick = clocked.lease(2)
    clocked.live(2, seconds=SECONDS)
    clocked.complete(quick, SECONDS)
    assert clocked.scheduler.lease(2) is None, "no second copy"
    clocked.now += LATE_FLOOR_S + LATE_FACTOR * SECONDS
    copy = clocked.lease(2)
    assert copy.batch == held.batch


def test_the_deadline_follows_the_expected_cost_but_never_under_the_floor() -> None:
    for seconds, allowed in ((1.0, 100.0), (50.0, DEADLINE_FACTOR * 50.0)):
        batches = [batch(n) for n in range(2)]
        clocked = Clocked(costs=recorded(batches, [seconds] * 2))
        clocked.workers(1)
        clocked.add(batches)
        first = clocked.lease(1)
        clocked.live(1, seconds=seconds)
        clocked.complete(first, seconds)
        clocked.lease(1)
        began = clocked.now
        assert clocked.live(1, seconds=5000)
        assert clocked.now - began == allowed + 1


def test_a_machine_ten_times_slower_than_recorded_is_not_killed_for_it() -> None:
    batches = [batch(n) for n in range(20)]
    clocked = Clocked(costs=recorded(batches, [10.0] * 20))
    clocked.workers(1)
    clocked.add(batches)
    for _ in batches:
        unit = clocked.lease(1)
        assert clocked.live(1, seconds=100) == []
        clocked.complete(unit, 100.0)
    unit = clocked.scheduler.lease(1)
    assert unit is None
    clocked.add(batches, number=2, step=20)
    clocked.lease(1)
    began = clocked.now
    assert clocked.live(1, seconds=1e5)
    assert clocked.now - began > 10 * 100


def test_the_unit_of_a_stuck_worker_goes_to_another() -> None:
    clocked = Clocked()
    clocked.workers(1, 2)
    clocked.add([batch(0)])
    unit = clocked.lease(1)
    (overdue,) = clocked.live(1, 2, seconds=1000)
    clocked.scheduler.lose(1, overdue)
    again = clocked.lease(2)
    assert (again.batch, again.attempt, again.losses) == (unit.batch, 2, 1)


def test_a_worker_stuck_in_a_unit_nobody_waits_for_is_found_too() -> None:
    clocked = Clocked()
    clocked.workers(1)
    clocked.add([batch(0)])
    clocked.lease(1)
    clocked.scheduler.drop(1)
    assert clocked.live(1, seconds=1000) == ["1: stuck in batch 0 for 301 s"]
    assert clocked.scheduler.lose(1, "stuck") == []


def test_time_in_which_the_coordinator_stood_still_counts_against_nobody() -> None:
    """A suspended machine or a stopped process: nobody was heard, and nobody is to blame."""
    clocked = Clocked()
    clocked.workers(1)
    clocked.add([batch(0)])
    clocked.lease(1)
    assert clocked.live(1, seconds=5) == []
    clocked.now += 3600
    assert clocked.scheduler.overdue() == []
    assert clocked.live(1, seconds=250) == []
    assert clocked.live(1, seconds=100) == ["1: stuck in batch 0 for 301 s"]


def test_the_default_clock_is_a_real_one() -> None:
    scheduler = Scheduler()
    scheduler.join(1)
    assert scheduler.overdue() == []
