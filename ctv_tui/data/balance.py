"""Who waited for whom: the closed and the open evaluation of a checkpoint on one time axis.

Evaluated one after the other they are two parts, each with its own numbers. Evaluated together
(one prefill for both forms of an item) their spans interleave, and only the numbers of both
together say something about balance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctv_engine.store.rows import Mode
from ctv_tui.data.snapshot import Device, Timeline

TOGETHER_SHARE = 0.25
"""Two evaluations that share more than this of the shorter one's time were evaluated together."""

_FINISHED = ("done", "failed")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the axis with the numbers of what was evaluated in it. Times are epoch seconds.

    Each worker's own end is in ``last_ends``, its busy seconds in ``busy_s``; ``waits_s`` is None
    while the part runs. ``ideal_s`` is the work shared out evenly.
    """

    modes: tuple[Mode, ...]
    finished: bool
    start_at: float
    end_at: float
    idle_fraction: float | None
    makespan_s: float | None
    ideal_s: float | None
    busy_s: Mapping[int, float]
    last_ends: Mapping[int, float]
    waits_s: Mapping[int, float] | None

    @property
    def extent_s(self) -> float:
        """From the first span to the last one."""
        return self.end_at - self.start_at

    @property
    def imbalance(self) -> float | None:
        """The busiest worker's seconds over the mean worker's; 1 is perfect balance."""
        busy = self.busy_s.values()
        whole = math.fsum(busy)
        return max(busy) * len(busy) / whole if whole > 0 else None

    @property
    def ratio(self) -> float | None:
        """Makespan over ideal, which is 1 if nobody ever waits."""
        return self.makespan_s / self.ideal_s if self.makespan_s and self.ideal_s else None

    @property
    def busiest(self) -> int | None:
        """The worker with most to do."""
        return max(self.busy_s, key=lambda worker: self.busy_s[worker], default=None)


def parts_of(timelines: Sequence[Timeline]) -> tuple[Part, ...]:
    """Return the parts in their order of time; an evaluation without spans has none."""
    known = [t for t in timelines if t.lanes and t.extent_s > 0]
    known.sort(key=lambda timeline: timeline.began_at)
    if len(known) == 2 and are_together(known[0], known[1]):
        return (_both(known),)
    return tuple(map(_part, known))


def are_together(one: Timeline, two: Timeline) -> bool:
    """Whether two evaluations ran at the same time."""
    start = max(one.began_at, two.began_at)
    end = min(one.began_at + one.extent_s, two.began_at + two.extent_s)
    return end - start > TOGETHER_SHARE * min(one.extent_s, two.extent_s)


def _part(timeline: Timeline) -> Part:
    finished = timeline.state in _FINISHED
    return Part(
        modes=(timeline.mode,),
        finished=finished,
        start_at=timeline.began_at,
        end_at=timeline.began_at + timeline.extent_s,
        idle_fraction=timeline.idle_fraction,
        makespan_s=timeline.makespan_s,
        ideal_s=timeline.ideal_s,
        busy_s={lane.worker_id: lane.busy_s for lane in timeline.lanes},
        last_ends={lane.worker_id: timeline.began_at + lane.last_end_s for lane in timeline.lanes},
        waits_s={lane.worker_id: lane.wait_s or 0.0 for lane in timeline.lanes}
        if finished
        else None,
    )


def _both(timelines: Sequence[Timeline]) -> Part:
    """Join two evaluations: wait is the time from a worker's last span of either to the end."""
    parts = [_part(timeline) for timeline in timelines]
    finished = all(part.finished for part in parts)
    start, end = min(p.start_at for p in parts), max(p.end_at for p in parts)
    workers = sorted({worker for part in parts for worker in part.busy_s})
    busy = {w: math.fsum(part.busy_s.get(w, 0.0) for part in parts) for w in workers}
    ends = {w: max(p.last_ends[w] for p in parts if w in p.last_ends) for w in workers}
    waits = {w: max(0.0, end - ends[w]) for w in workers}
    worked, waited = math.fsum(busy.values()), math.fsum(waits.values())
    return Part(
        modes=tuple(timeline.mode for timeline in timelines),
        finished=finished,
        start_at=start,
        end_at=end,
        idle_fraction=waited / (worked + waited) if finished and worked + waited > 0 else None,
        makespan_s=end - start if finished else None,
        ideal_s=worked / len(workers) if finished else None,
        busy_s=busy,
        last_ends=ends,
        waits_s=waits if finished else None,
    )


def wait_share(device: Device, parts: Sequence[Part]) -> float | None:
    """Return which share of its time a device waited in the finished parts, or None."""
    busy = waited = 0.0
    for part in parts:
        for worker in device.worker_ids:
            if part.waits_s is not None and worker in part.waits_s:
                busy += part.busy_s[worker]
                waited += part.waits_s[worker]
    return waited / (busy + waited) if busy + waited > 0 else None
