"""What a schedule makes of known costs: a replay through the very same scheduler, clock included.

Nothing is modelled here but time: workers ask the :class:`Scheduler` as real ones do, a unit takes
the seconds that its items are known to take, and the clock jumps from one end to the next.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctv_engine.runtime.costs import CostModel, Name
from ctv_engine.runtime.messages import Batch, Checkpoint, Task, Unit
from ctv_engine.runtime.schedule import Scheduler
from ctv_engine.runtime.simulated_nodes import Nodes, NodeShare, shares
from ctv_engine.runtime.waiting import Schedule
from ctv_engine.suite import Dataset, Item

ONE_NODE = Nodes()
_CHECKPOINT = Checkpoint(1, 1, Path(), "simulated")


@dataclass(frozen=True, slots=True)
class Workload:
    """One evaluation with known costs.

    ``seconds`` are the device seconds of every item, its share of its batch; ``earlier`` those of
    the checkpoint before, which is all that the scheduler is told.
    """

    mode: str
    task: Task
    batches: tuple[Batch, ...]
    seconds: Mapping[Name, float]
    earlier: Mapping[Name, float] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """How many items are evaluated."""
        return sum(len(batch.items) for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Replay:
    """How one workload went on one number of devices.

    ``ideal_s`` is the work shared out evenly, reading the weights included, ``idle_fraction`` =
    1 - ideal / makespan, ``tail_s`` the time from the first worker without further work to the end.
    After a loss both are those of the workers that were there, for as long as each was.
    ``timeline`` has, per worker, (began, ended, batch id).
    """

    mode: str
    gpus: int
    schedule: Schedule
    items: int
    units: int
    makespan_s: float
    ideal_s: float
    idle_fraction: float
    tail_s: float
    longest_unit_s: float
    timeline: tuple[tuple[tuple[float, float, int], ...], ...]
    nodes: tuple[NodeShare, ...] = ()


def stand_in(batch_id: int, names: Sequence[Name], tokens: Sequence[int], cap: int) -> Batch:
    """Return a batch that has what the scheduler looks at, and no questions."""
    items = tuple(Item(dataset, key, "", "", "", (), None, ()) for dataset, key in names)
    return Batch(
        batch_id=batch_id,
        items=items,
        datasets=tuple(Dataset(dataset, "exact_match", cap) for dataset, _ in names),
        suite_directory=Path(),
        tokens=tuple(tokens),
    )


def replay(
    workload: Workload,
    gpus: int,
    schedule: Schedule = "queue",
    speed: Callable[[int], float] = lambda worker: 1.0,
    nodes: Nodes = ONE_NODE,
) -> Replay:
    """Run a workload on ``gpus`` simulated devices.

    Args:
        workload: what to do and what it costs.
        gpus: number of workers.
        schedule: which order.
        speed: how fast worker n of 0 .. gpus - 1 is; 0.7 is 30 % slower than the costs say.
        nodes: the machines that the devices are spread over.

    Raises:
        ValueError: there is no batch, no device, too few of them for the nodes, or every node is
            lost.
    """
    if gpus < 1 or not workload.batches:
        raise ValueError("a replay needs at least one device and one batch")
    if nodes.lost and nodes.count < 2:
        raise ValueError("the only node can't be lost")
    run = _Run(workload, gpus, schedule, speed, nodes)
    run.go()
    return _measured(workload, schedule, run.timeline, run.now, nodes)


class _Run:
    """The clock, the scheduler and what comes next."""

    def __init__(
        self,
        workload: Workload,
        gpus: int,
        schedule: Schedule,
        speed: Callable[[int], float],
        nodes: Nodes,
    ) -> None:
        self.now = 0.0
        self.timeline: list[list[tuple[float, float, int]]] = [[] for _ in range(gpus)]
        self._workload = workload
        recorded = {(workload.task, name): seconds for name, seconds in workload.earlier.items()}
        costs = CostModel(recorded)
        self._scheduler = Scheduler(schedule, costs=costs, clock=lambda: self.now)
        self._pace: dict[int, float] = {}
        self._under_way: list[tuple[float, int, Unit]] = []
        self._starts: list[tuple[float, int]] = []
        self._lost_at, self._lost = math.inf, range(0)
        for node, own in enumerate(nodes.of(gpus), start=1):
            for worker in own:
                self._scheduler.join(worker)
                self._pace[worker] = speed(worker) / nodes.factor(node)
                heapq.heappush(self._starts, (nodes.ready_s(node), worker))
            if nodes.gone_s(node) < math.inf:
                self._lost_at, self._lost = nodes.gone_s(node), own
        self._scheduler.add(1, _CHECKPOINT, workload.task, workload.batches)

    def go(self) -> None:
        """Run to the last result."""
        free: list[int] = []
        while True:
            waiting = [worker for worker in free if not self._begin(worker)]
            ends_at = self._under_way[0][0] if self._under_way else math.inf
            starts_at = self._starts[0][0] if self._starts else math.inf
            late_at = self._scheduler.next_late_at() if waiting else None
            if late_at is not None and self.now < late_at < min(ends_at, starts_at, self._lost_at):
                self.now, free = late_at, waiting
            elif self._lost_at < min(ends_at, starts_at):
                free = self._lose(waiting)
            elif starts_at <= ends_at and starts_at < math.inf:
                free = self._start(waiting)
            elif self._under_way:
                free = sorted([*waiting, self._end()])
            else:
                return
            if self._scheduler.is_finished(1):
                return

    def _begin(self, worker: int) -> bool:
        """Give a worker its next unit; return whether there was one."""
        unit = self._scheduler.lease(worker)
        if unit is None:
            return False
        spent = math.fsum(self._seconds(worker, unit).values())
        self.timeline[worker].append((self.now, self.now + spent, unit.batch.batch_id))
        heapq.heappush(self._under_way, (self.now + spent, worker, unit))
        return True

    def _end(self) -> int:
        """Take the next result; return whose it was."""
        self.now, worker, unit = heapq.heappop(self._under_way)
        wanted = self._scheduler.unit(unit.unit_id) is not None
        self._scheduler.complete(unit.unit_id, self._seconds(worker, unit) if wanted else None)
        return worker

    def _start(self, waiting: list[int]) -> list[int]:
        """Let the workers begin whose machine has read the weights."""
        self.now = self._starts[0][0]
        ready = []
        while self._starts and self._starts[0][0] == self.now:
            ready.append(heapq.heappop(self._starts)[1])
        for worker in ready:
            self._scheduler.ready(worker)
        return sorted([*waiting, *ready])

    def _lose(self, waiting: list[int]) -> list[int]:
        """Take a machine away; what its workers held goes to others."""
        self.now, self._lost_at = self._lost_at, math.inf
        for worker in self._lost:
            self._scheduler.lose(worker, "its node was lost")
            lane = self.timeline[worker]
            if lane and lane[-1][1] > self.now:
                began, _, batch_id = lane.pop()
                lane += [(began, self.now, batch_id)] if began < self.now else []
        self._under_way = [one for one in self._under_way if one[1] not in self._lost]
        self._starts = [one for one in self._starts if one[1] not in self._lost]
        heapq.heapify(self._under_way)
        heapq.heapify(self._starts)
        return [worker for worker in waiting if worker not in self._lost]

    def _seconds(self, worker: int, unit: Unit) -> dict[Name, float]:
        names = [(item.dataset, item.key) for item in unit.batch.items]
        return {name: self._workload.seconds[name] / self._pace[worker] for name in names}


def _measured(
    workload: Workload,
    schedule: Schedule,
    timeline: Sequence[Sequence[tuple[float, float, int]]],
    end: float,
    nodes: Nodes,
) -> Replay:
    """Sum up; a copy that was still running at the end is cut there."""
    cut = [[(a, min(b, end), batch_id) for a, b, batch_id in lane] for lane in timeline]
    spans = [span for lane in cut for span in lane]
    gpus = len(timeline)
    by_node = shares(nodes, gpus, cut, end)
    there = math.fsum(one.gpus * (one.there_s / end if end else 1.0) for one in by_node)
    ideal_s = math.fsum(one.busy_s for one in by_node) / there
    last = [
        lane[-1][1] if lane else min(one.read_s, end)
        for one, own in zip(by_node, nodes.of(gpus), strict=True)
        for lane in (cut[gpu] for gpu in own)
        if one.lost_at_s is None
    ]
    return Replay(
        mode=workload.mode,
        gpus=gpus,
        schedule=schedule,
        items=workload.items,
        units=len(workload.batches),
        makespan_s=end,
        ideal_s=ideal_s,
        idle_fraction=max(0.0, 1 - ideal_s / end) if end else 0.0,
        tail_s=end - min(last),
        longest_unit_s=max(b - a for a, b, _ in spans),
        timeline=tuple(map(tuple, cut)),
        nodes=by_node,
    )
