"""Replays on several machines, against arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ctv_engine.runtime.simulate import Workload, replay, stand_in
from ctv_engine.runtime.simulated_nodes import Nodes
from ctv_engine.runtime.stated_costs import stated_workload


def workload(seconds: Sequence[float]) -> Workload:
    """One item per batch, whose seconds are known from the checkpoint before."""
    costs = {("d", str(n)): one for n, one in enumerate(seconds)}
    batches = tuple(stand_in(n, [name], [100], 8) for n, name in enumerate(costs))
    return Workload("closed", "closed", batches, costs, costs)


@pytest.mark.parametrize(
    ("nodes", "gpus", "sizes"), [(1, 3, [3]), (2, 4, [2, 2]), (3, 8, [3, 3, 2]), (4, 4, [1] * 4)]
)
def test_gpus_are_spread_evenly(nodes: int, gpus: int, sizes: list[int]) -> None:
    found = Nodes(nodes).of(gpus)
    assert [len(own) for own in found] == sizes
    assert [gpu for own in found for gpu in own] == list(range(gpus))


@pytest.mark.parametrize(
    ("nodes", "gpus"),
    [(Nodes(0), 4), (Nodes(5), 4), (Nodes(2, slow={3: 2.0}), 4), (Nodes(2, lost=(0, 1.0)), 4),
     (Nodes(1, lost=(1, 1.0)), 4)],
)  # fmt: skip
def test_machines_that_do_not_exist_are_refused(nodes: Nodes, gpus: int) -> None:
    with pytest.raises(ValueError, match="node"):
        replay(workload([1.0]), gpus, nodes=nodes)


def test_nodes_alone_change_nothing() -> None:
    one = replay(stated_workload("open", "queue"), 16)
    four = replay(stated_workload("open", "queue"), 16, nodes=Nodes(4))
    assert four.timeline == one.timeline and four.makespan_s == one.makespan_s
    assert sum(node.busy_s for node in four.nodes) == pytest.approx(16 * four.ideal_s)
    assert len(one.nodes) == 1 and one.nodes[0].idle_fraction == pytest.approx(one.idle_fraction)


def test_weights_are_read_once_by_each_node() -> None:
    """Read 3 s; then 4 + 1 against 3 + 2 s on either node's GPUs."""
    done = replay(workload([4.0, 3.0, 2.0, 1.0] * 2), 4, nodes=Nodes(2, read_s=3.0))
    assert done.makespan_s == 8.0
    assert {lane[0][0] for lane in done.timeline} == {3.0}
    assert (done.ideal_s, done.idle_fraction) == (8.0, 0.0)
    assert [(n.gpus, n.read_s, n.busy_s) for n in done.nodes] == [(2, 3.0, 16.0)] * 2


def test_a_slow_node_reads_and_works_longer() -> None:
    """Reads 2 and 6 s. The first answers seven units of 1 s until the second has one of 3 s."""
    done = replay(workload([1.0] * 8), 2, nodes=Nodes(2, 2.0, {2: 3.0}))
    assert [len(lane) for lane in done.timeline] == [7, 1]
    assert done.timeline[0][-1][1] == 9.0 and done.timeline[1][0][:2] == (6.0, 9.0)
    assert [n.read_s for n in done.nodes] == [2.0, 6.0]
    assert [n.busy_s for n in done.nodes] == [9.0, 9.0]
    assert done.makespan_s == 9.0 and done.idle_fraction == 0.0


def test_static_shards_wait_for_the_slow_node() -> None:
    """Two units of 1 s each: 2 s on one, 6 s on the other, which the first waits for."""
    done = replay(workload([1.0] * 4), 2, "static", nodes=Nodes(2, slow={2: 3.0}))
    assert done.makespan_s == 6.0
    assert [n.idle_fraction for n in done.nodes] == pytest.approx([4 / 6, 0.0])
    assert done.idle_fraction == pytest.approx(4 / 12)


def test_what_a_lost_node_had_begun_is_begun_anew() -> None:
    """Units of 2 s: the second node is lost in the middle of its second one."""
    done = replay(workload([2.0] * 5), 2, nodes=Nodes(2, lost=(2, 3.0)))
    lost = done.timeline[1]
    assert [span[:2] for span in lost] == [(0.0, 2.0), (2.0, 3.0)]
    assert lost[1][2] in [batch for _, _, batch in done.timeline[0]], "the other node answers it"
    assert len(done.timeline[0]) == 4 and done.makespan_s == 8.0
    first, second = done.nodes
    assert (first.busy_s, first.idle_fraction, first.lost_at_s) == (8.0, 0.0, None)
    assert (second.busy_s, second.there_s, second.idle_fraction) == (3.0, 3.0, 0.0)
    assert second.lost_at_s == 3.0
    assert (done.idle_fraction, done.tail_s) == (0.0, 0.0)
    assert done.ideal_s == pytest.approx(8.0), "11 s of work by GPUs that were there for 8 and 3 s"


def test_a_node_that_waits_when_it_is_lost_was_idle_until_then() -> None:
    """One long unit; the second node has nothing to do and is lost after 4 of 10 s."""
    done = replay(workload([10.0]), 2, nodes=Nodes(2, lost=(2, 4.0)))
    assert [n.idle_fraction for n in done.nodes] == [0.0, 1.0]
    assert done.idle_fraction == pytest.approx(4 / 14)


@pytest.mark.parametrize("at_s", [0.0, 1.0])
def test_a_node_that_is_lost_before_it_has_read_does_nothing(at_s: float) -> None:
    done = replay(workload([1.0] * 4), 2, nodes=Nodes(2, 2.0, lost=(1, at_s)))
    assert [len(lane) for lane in done.timeline] == [0, 4]
    assert done.makespan_s == 6.0
    assert done.nodes[0].idle_fraction == (0.0 if at_s else None)


def test_a_loss_after_the_end_changes_nothing() -> None:
    work = workload([2.0] * 4)
    late = replay(work, 2, nodes=Nodes(2, lost=(1, 4.0)))
    assert late == replay(work, 2, nodes=Nodes(2))


@pytest.mark.parametrize("schedule", ["queue", "static"])
def test_every_unit_is_answered_whenever_a_node_is_lost(schedule: str) -> None:
    work = stated_workload("closed", schedule)  # type: ignore[arg-type]
    for at_s in (1.0, 7.5, 19.0):
        done = replay(work, 16, schedule, nodes=Nodes(4, 2.0, {3: 1.5}, (2, at_s)))  # type: ignore[arg-type]
        whole = [
            batch
            for lane in done.timeline
            for began, ended, batch in lane
            if ended > began and ended != at_s
        ]
        assert set(whole) == {batch.batch_id for batch in work.batches}
        assert all(span[1] <= at_s for lane in done.timeline[4:8] for span in lane)
