"""Where a run stands: the best checkpoint so far, the last change, the straggler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.store.rows import Mode
from ctv_tui.data.snapshot import Point, Timeline

Z_95 = 1.96
"""Standard errors on each side of a 95 % interval of the normal distribution."""

_LEAST_STRAGGLE = 0.02


@dataclass(frozen=True, slots=True)
class Best:
    """The highest score, its 95 % interval, and the steps that can't be told apart from it.

    ``tied`` holds the best step itself; ``of`` is how many checkpoints have a complete score.
    """

    step: int
    value: float
    low: float | None
    high: float | None
    tied: tuple[int, ...]
    of: int


def best(points: Sequence[Point]) -> Best | None:
    """Return the best of the complete points; the earlier one of two that are equal.

    Two scores are tied if their difference is within 1.96 standard errors of a difference of
    independent means. The checkpoints answer the same items, so this counts too many as tied
    rather than too few.
    """
    known = [p for p in points if p.complete and p.value is not None and math.isfinite(p.value)]
    if not known:
        return None
    top = max(known, key=lambda p: (p.value or 0.0, -p.step))
    assert top.value is not None
    half = None if top.stderr is None else Z_95 * top.stderr
    return Best(
        step=top.step,
        value=top.value,
        low=None if half is None else top.value - half,
        high=None if half is None else top.value + half,
        tied=tuple(p.step for p in known if not _differ(top, p)),
        of=len(known),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """The last score minus the one before; ``is_noise``: it is within the 95 % interval of none."""

    value: float
    since_step: int
    is_noise: bool


def change(points: Sequence[Point]) -> Change | None:
    """Return how the last score differs from the one before, if both are known."""
    known = [p for p in points if p.value is not None and math.isfinite(p.value)]
    if len(known) < 2:
        return None
    before, last = known[-2:]
    assert before.value is not None and last.value is not None
    return Change(last.value - before.value, before.step, not _differ(before, last))


def _differ(one: Point, two: Point) -> bool:
    assert one.value is not None and two.value is not None
    error = math.hypot(one.stderr or 0.0, two.stderr or 0.0)
    return abs(one.value - two.value) > Z_95 * error


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
