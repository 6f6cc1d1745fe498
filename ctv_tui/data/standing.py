"""Where a run stands: the best checkpoint so far, the last change, the straggler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.store.rows import Mode, RankRow
from ctv_tui.data.snapshot import Point, Timeline

_LEAST_STRAGGLE = 0.02


@dataclass(frozen=True, slots=True)
class Best:
    """The highest score, its 95 % interval, and the steps that can't be told apart from it.

    ``tied`` holds the best step itself, and is None where it is not known, as of imported scores;
    ``of`` is how many checkpoints have a complete score.
    """

    step: int
    value: float
    low: float | None
    high: float | None
    tied: tuple[int, ...] | None
    of: int


def best(ranked: Sequence[RankRow]) -> Best | None:
    """Return the best of a mode's ranking; the earlier one of two that are equal."""
    if not ranked:
        return None
    top = ranked[0]
    tied = tuple(sorted(row.step for row in ranked if row.may_be_best))
    return Best(top.step, top.value, top.low, top.high, tied or None, len(ranked))


@dataclass(frozen=True, slots=True)
class Change:
    """The last score minus the one before.

    ``is_noise``: the engine's 95 % interval of the change, on the same items, holds zero. None:
    that is not known yet.
    """

    value: float
    since_step: int
    is_noise: bool | None


def change(points: Sequence[Point], ranked: Sequence[RankRow] = ()) -> Change | None:
    """Return how the last score differs from the one before, if both are known."""
    known = [p for p in points if p.value is not None and math.isfinite(p.value)]
    if len(known) < 2:
        return None
    before, last = known[-2:]
    assert before.value is not None and last.value is not None
    row = next((row for row in ranked if row.step == last.step and last.complete), None)
    if row is None or row.change is None or row.change_low is None or row.change_high is None:
        return Change(last.value - before.value, before.step, None)
    return Change(row.change, before.step, row.change_low <= 0 <= row.change_high)


@dataclass(frozen=True, slots=True)
class Straggler:
    """The worker that the others waited for, and how long the first of them waited."""

    device: str
    host: str
    step: int
    mode: Mode
    waited_s: float


def straggler(timelines: Sequence[Timeline]) -> Straggler | None:
    """Return the straggler of the newest evaluation that has ended.

    None where nobody waited for more than 2 % of it: then there is no straggler.
    """
    for timeline in reversed(timelines):
        lanes = [lane for lane in timeline.lanes if lane.wait_s is not None]
        if timeline.state != "done" or not lanes:
            continue
        last = max(lanes, key=lambda lane: lane.last_end_s)
        waited_s = max(lane.wait_s or 0.0 for lane in lanes)
        if len(lanes) > 1 and waited_s > _LEAST_STRAGGLE * timeline.extent_s:
            return Straggler(last.device, last.host, timeline.step, timeline.mode, waited_s)
        return None
    return None


def waits(timelines: Sequence[Timeline]) -> dict[tuple[str, str], float]:
    """Return by host and device the share of waiting in the newest evaluation that has ended."""
    for timeline in reversed(timelines):
        if timeline.state == "done" and timeline.extent_s > 0:
            return {
                (lane.host, lane.device): min(1.0, lane.wait_s / timeline.extent_s)
                for lane in timeline.lanes
                if lane.wait_s is not None
            }
    return {}
