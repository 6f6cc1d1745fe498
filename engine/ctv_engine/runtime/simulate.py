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
from ctv_engine.runtime.waiting import Schedule
from ctv_engine.suite import Dataset, Item

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

    ``ideal_s`` is the work shared out evenly, ``idle_fraction`` = 1 - ideal / makespan, ``tail_s``
    the time from the first worker without further work to the end. ``timeline`` has, per worker,
    (began, ended, batch id).
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
) -> Replay:
    """Run a workload on ``gpus`` simulated devices.

    Args:
        workload: what to do and what it costs.
        gpus: number of workers, each with the weights loaded.
        schedule: which order.
        speed: how fast worker n of 0 .. gpus - 1 is; 0.7 is 30 % slower than the costs say.

    Raises:
        ValueError: there is no batch, or no device.
    """
    if gpus < 1 or not workload.batches:
        raise ValueError("a replay needs at least one device and one batch")
    now = 0.0
    recorded = {(workload.task, name): seconds for name, seconds in workload.earlier.items()}
    scheduler = Scheduler(schedule, costs=CostModel(recorded), clock=lambda: now)
    for worker in range(gpus):
        scheduler.join(worker)
        scheduler.ready(worker)
    scheduler.add(1, _CHECKPOINT, workload.task, workload.batches)
    timeline: list[list[tuple[float, float, int]]] = [[] for _ in range(gpus)]
    under_way: list[tuple[float, int, Unit]] = []
    free = list(range(gpus))
    while True:
        waiting: list[int] = []
        for worker in free:
            unit = scheduler.lease(worker)
            if unit is None:
                waiting.append(worker)
                continue
            names = [(item.dataset, item.key) for item in unit.batch.items]
            spent = math.fsum(workload.seconds[name] for name in names) / speed(worker)
            timeline[worker].append((now, now + spent, unit.batch.batch_id))
            heapq.heappush(under_way, (now + spent, worker, unit))
        if not under_way:
            break
        late_at = scheduler.next_late_at() if waiting else None
        if late_at is not None and now < late_at < under_way[0][0]:
            now, free = late_at, waiting
            continue
        now, worker, unit = heapq.heappop(under_way)
        if scheduler.unit(unit.unit_id) is not None:
            names = [(item.dataset, item.key) for item in unit.batch.items]
            spent_s = {name: workload.seconds[name] / speed(worker) for name in names}
            scheduler.complete(unit.unit_id, spent_s)
            if scheduler.is_finished(1):
                break
        else:
            scheduler.complete(unit.unit_id)
        free = sorted([*waiting, worker])
    return _measured(workload, schedule, timeline, end=now)


def _measured(
    workload: Workload,
    schedule: Schedule,
    timeline: Sequence[Sequence[tuple[float, float, int]]],
    end: float,
) -> Replay:
    """Sum up; a copy that was still running at the end is cut there."""
    cut = [[(a, min(b, end), batch_id) for a, b, batch_id in lane] for lane in timeline]
    spans = [span for lane in cut for span in lane]
    ideal_s = math.fsum(b - a for a, b, _ in spans) / len(timeline)
    return Replay(
        mode=workload.mode,
        gpus=len(timeline),
        schedule=schedule,
        items=workload.items,
        units=len(workload.batches),
        makespan_s=end,
        ideal_s=ideal_s,
        idle_fraction=max(0.0, 1 - ideal_s / end) if end else 0.0,
        tail_s=end - min(lane[-1][1] if lane else 0.0 for lane in cut),
        longest_unit_s=max(b - a for a, b, _ in spans),
        timeline=tuple(map(tuple, cut)),
    )
