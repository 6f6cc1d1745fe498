"""Replays through the real scheduler: against arithmetic, and on the stated cost model."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import pytest

from ctv_engine.runtime import stated_costs
from ctv_engine.runtime.simulate import Replay, Workload, replay, stand_in
from ctv_engine.runtime.stated_costs import StatedItem, open_s, prefill_s, stated_workload
from ctv_engine.runtime.waiting import Schedule


def workload(seconds: Sequence[float], *, datasets: str = "", known: bool = True) -> Workload:
    """One item per batch; the scheduler knows the seconds from the checkpoint before, or not."""
    names = [(datasets[n] if datasets else "d", str(n)) for n in range(len(seconds))]
    costs = dict(zip(names, seconds, strict=True))
    batches = tuple(stand_in(n, [name], [100], 8) for n, name in enumerate(names))
    return Workload("closed", "closed", batches, costs, costs if known else {})


def lanes(done: Replay) -> list[list[int]]:
    return [[batch_id for _, _, batch_id in lane] for lane in done.timeline]


# --- by hand ------------------------------------------------------------------------------------


def test_longest_first_by_hand() -> None:
    done = replay(workload([2.0, 3.0, 1.0, 4.0]), 2)
    assert lanes(done) == [[3, 2], [1, 0]]
    assert (done.makespan_s, done.ideal_s, done.idle_fraction, done.tail_s) == (5.0, 5.0, 0.0, 0.0)


def test_what_is_not_known_is_taken_in_the_order_of_the_plan() -> None:
    done = replay(workload([2.0, 3.0, 1.0, 4.0], known=False), 2)
    assert lanes(done) == [[0, 2, 3], [1]]
    assert (done.makespan_s, done.ideal_s, done.tail_s) == (7.0, 5.0, 4.0)
    assert done.idle_fraction == pytest.approx(4 / 14)


def test_static_by_hand() -> None:
    """x: 4 + 1 against 1 + 1, wait 3; y: 2 against 2."""
    done = replay(workload([4.0, 1.0, 1.0, 1.0, 2.0, 2.0], datasets="xxxxyy"), 2, "static")
    assert lanes(done) == [[0, 2, 4], [1, 3, 5]]
    assert (done.makespan_s, done.ideal_s) == (7.0, 5.5)
    assert done.idle_fraction == pytest.approx(3 / 14)
    assert done.timeline[1][2] == (5.0, 7.0, 5)


def test_more_workers_than_units() -> None:
    done = replay(workload([3.0]), 4)
    assert (done.makespan_s, done.ideal_s, done.tail_s) == (3.0, 0.75, 3.0)
    assert done.idle_fraction == pytest.approx(0.75)


def test_a_unit_that_hangs_on_a_slow_worker_is_copied_at_the_end() -> None:
    """Nine quick workers predict 1 s; the tenth needs 1,000 s for its own."""
    work = workload([1.0] * 40)
    done = replay(work, 10, speed=lambda worker: 0.001 if worker == 9 else 1.0)
    assert done.makespan_s < 20
    batches = [batch for lane in lanes(done) for batch in lane]
    assert len(batches) == len(set(batches)) + 1, "one unit ran twice"
    alone = replay(work, 10, "static", speed=lambda worker: 0.001 if worker == 9 else 1.0)
    assert alone.makespan_s >= 4000


@pytest.mark.parametrize("gpus", [0, -1])
def test_nothing_to_replay(gpus: int) -> None:
    with pytest.raises(ValueError):
        replay(workload([1.0]), gpus)
    with pytest.raises(ValueError):
        replay(workload([]), 1)


@pytest.mark.parametrize("schedule", ["queue", "static"])
@pytest.mark.parametrize("gpus", [1, 3, 16])
def test_every_unit_runs_once_and_no_lane_overlaps(schedule: Schedule, gpus: int) -> None:
    work = stated_workload("closed", schedule)
    done = replay(work, gpus, schedule)
    assert sorted(b for lane in lanes(done) for b in lane) == list(range(len(work.batches)))
    for lane in done.timeline:
        for (_, ended, _), (began, _, _) in itertools.pairwise(lane):
            assert began >= ended
    assert done.ideal_s * gpus == pytest.approx(math.fsum(work.seconds.values()))
    assert done.makespan_s <= done.ideal_s + done.longest_unit_s or schedule == "static"


# --- the stated cost model ----------------------------------------------------------------------


def test_the_validation_set_is_the_papers() -> None:
    items = stated_costs.stated_items()
    assert len(items) == 2230
    lengths = sorted(item.written for item in items)
    assert statistics.mean(lengths) == pytest.approx(64, rel=0.05)
    assert statistics.median(lengths) == pytest.approx(11, abs=1)
    assert lengths[round(0.9 * len(lengths))] == pytest.approx(171, rel=0.1)
    assert stated_costs.stated_items() == items, "seeded"
    assert stated_costs.stated_items(1) != items


def test_a_prefill_costs_its_floating_point_operations() -> None:
    """25.6 TFLOP for 1,250 + 150 tokens at 55 % of 312 TFLOP/s."""
    seconds = prefill_s(StatedItem(("d", "k"), 1250, 150, 1))
    assert seconds == pytest.approx(25.6e12 / (0.55 * 312e12), rel=0.01)


def test_an_open_unit_is_as_long_as_its_rows_demand() -> None:
    items = [
        StatedItem(("d", str(n)), 1000, 100, written) for n, written in enumerate((9, 4, 3, 5))
    ]
    prefill = math.fsum(map(prefill_s, items))
    for slots, steps in ((1, 21), (2, 12), (4, 9), (32, 9)):
        assert open_s(items, slots) == pytest.approx(prefill + steps * stated_costs.STEP_S)


def test_closed_on_16_gpus_is_balanced_to_half_a_per_cent() -> None:
    done = replay(stated_workload("closed", "queue"), 16)
    assert done.idle_fraction <= 0.005
    assert done.makespan_s / done.ideal_s <= 1.005


def test_open_on_16_gpus_idles_at_most_7_per_cent() -> None:
    done = replay(stated_workload("open", "queue"), 16)
    assert done.idle_fraction <= 0.07
    assert done.makespan_s >= stated_costs.CAP * stated_costs.STEP_S, "the longest answer"


@pytest.mark.parametrize("slow", [0, 7, 15])
def test_a_worker_30_per_cent_slower_costs_at_most_1_per_cent_under_queue(slow: int) -> None:
    def speed(worker: int) -> float:
        return 0.7 if worker == slow else 1.0

    queue = replay(stated_workload("closed", "queue"), 16, speed=speed)
    static = replay(stated_workload("closed", "static"), 16, "static", speed=speed)
    assert queue.idle_fraction <= 0.01
    assert static.idle_fraction > 10 * queue.idle_fraction, "it is waited for at every barrier"


def test_the_bars_hold_on_other_draws_of_the_same_model() -> None:
    closed = [replay(stated_workload("closed", "queue", seed=n), 16) for n in range(1, 5)]
    opened = [replay(stated_workload("open", "queue", seed=n), 16) for n in range(1, 5)]
    assert max(done.idle_fraction for done in closed) <= 0.005
    assert max(done.idle_fraction for done in opened) <= 0.07


def test_one_item_at_a_time_the_baseline_shows_the_papers_stragglers() -> None:
    """Almost half of the open time is waiting; one queue for the same items ends it."""
    model: stated_costs.CostModelName = "a100-7b-batch1"
    static = replay(stated_workload("open", "static", model), 16, "static")
    queue = replay(stated_workload("open", "queue", model), 16)
    assert static.idle_fraction > 0.35
    assert queue.idle_fraction < 0.01
    assert queue.makespan_s < 0.6 * static.makespan_s
