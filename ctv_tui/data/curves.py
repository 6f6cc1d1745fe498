"""Trajectories as they are drawn: smoothed, compared with gold, on a time axis. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctv_tui.data.snapshot import Checkpoint, Point

Z_95 = 1.959963984540054
"""A normal variable lies within so many standard deviations of its mean with 95 % probability."""


def is_known(point: Point) -> bool:
    """Whether a point has a number."""
    return point.value is not None and math.isfinite(point.value)


def smoothed(points: Sequence[Point], span: int) -> list[float | None]:
    """Return the exponential moving average at every point; a point without a number has none.

    The weight of a point falls by 1 − 2 / (span + 1) with every later one. The weights are divided
    by their sum, so that the first points are not drawn towards zero. Points count, not steps.
    """
    keep = 1.0 - 2.0 / (span + 1)
    weighted = weight = 0.0
    means: list[float | None] = []
    for point in points:
        if point.value is None or not math.isfinite(point.value):
            means.append(None)
            continue
        weighted = keep * weighted + (1.0 - keep) * point.value
        weight = keep * weight + (1.0 - keep)
        means.append(weighted / weight)
    return means


def differences(proxy: Sequence[Point], gold: Sequence[Point]) -> tuple[Point, ...]:
    """Return proxy − gold at every step that both have a number for.

    The standard error takes the two as independent: they are scores on different items.
    """
    by_step = {point.step: point for point in gold}
    found = []
    for one in proxy:
        other = by_step.get(one.step)
        if other is None or one.value is None or other.value is None:
            continue
        if not (is_known(one) and is_known(other)):
            continue
        stderr = None
        if one.stderr is not None and other.stderr is not None:
            stderr = math.hypot(one.stderr, other.stderr)
        complete = one.complete and other.complete
        found.append(
            Point(one.step, one.value - other.value, stderr, min(one.n, other.n), complete)
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """When each checkpoint was whole, in seconds since the first of its run.

    A clock that went back would draw a line backwards: a checkpoint counts as no earlier than the
    ones before it, and ``went_back`` says by how much the worst one had to be moved.
    """

    since_first_s: Mapping[int, float]
    went_back_s: float = 0.0


def time_axis(ready_at: Mapping[int, float]) -> TimeAxis:
    """Return the time axis for the instants at which each step's checkpoint was whole."""
    latest = first = None
    since: dict[int, float] = {}
    went_back = 0.0
    for step in sorted(ready_at):
        at = ready_at[step]
        if not math.isfinite(at):
            continue
        first = at if first is None else first
        latest = at if latest is None else latest
        went_back = max(went_back, latest - at)
        latest = max(latest, at)
        since[step] = latest - first
    return TimeAxis(since, went_back)


def ready_times(checkpoints: Sequence[Checkpoint]) -> dict[int, float]:
    """Return when each step's latest checkpoint was whole (or found, if that is not known)."""
    times: dict[int, float] = {}
    for checkpoint in sorted(checkpoints, key=lambda one: one.id):
        times[checkpoint.step] = checkpoint.ready_at or checkpoint.found_at
    return times
