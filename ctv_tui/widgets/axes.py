"""Axis ranges that stay put while data grow, and round numbers along them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

Range = tuple[float, float]

_ROUND = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_TICK_STEPS = (1.0, 2.0, 5.0)
_LEAST_SHARE = 0.35
_LATE_START_NEEDS = 3


def score_range(values: Sequence[float], before: Range | None = None) -> Range:
    """Return a range in tenths around ``values``; 0…1 is never left by scores that lie in it.

    ``before`` is kept as long as the values fit in it and fill a third of it, so that a chart is
    not redrawn, and a reader not misled, by every new point.
    """
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return before or (0.0, 1.0)
    low, high = min(known), max(known)
    if before and before[0] <= low and high <= before[1]:
        span = before[1] - before[0]
        if span <= 0.3 or high - low >= _LEAST_SHARE * span:
            return before
    bottom = math.floor(low * 10 - 0.2) / 10
    top = math.ceil(high * 10 + 0.2) / 10
    if low >= 0.0:
        bottom = max(0.0, bottom)
    if high <= 1.0:
        top = min(1.0, top)
    while top - bottom < 0.3 - 1e-9:
        if bottom > 0.0 and (top >= 1.0 or low - bottom < top - high):
            bottom -= 0.1
        else:
            top += 0.1
    return round(bottom, 6), round(top, 6)


def step_range(steps: Sequence[float], before: Range | None = None) -> Range:
    """Return 0 … a round number past the last step; a run that started late does not begin at 0."""
    if not steps:
        return before or (0.0, 1.0)
    first, last = min(steps), max(steps)
    if before and before[0] <= first and last <= before[1] <= 2.5 * max(last, 1):
        return before
    if first > 0.5 * last and len(set(steps)) >= _LATE_START_NEEDS:
        start = _round_down(first - 0.2 * max(1, last - first))
        return start, start + _round_up(max(1.0, last - start))
    return 0.0, _round_up(max(1.0, float(last)))


def difference_range(values: Sequence[float], before: Range | None = None) -> Range:
    """Return a range around zero that reaches as far down as up; kept while a third is filled."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if before and _LEAST_SHARE * before[1] <= largest <= before[1]:
        return before
    edge = next((e for e in _DIFFERENCES if e >= largest), None) or _round_up(largest)
    return -edge, edge


_DIFFERENCES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def time_unit_s(longest_s: float) -> float:
    """Return the seconds of the unit in which a time axis of this length is read."""
    return next((unit for unit, most, _ in _UNITS if longest_s < most), _UNITS[-1][0])


_UNITS = (
    (1.0, 180.0, "s"),
    (60.0, 180.0 * 60, "min"),
    (3600.0, 72.0 * 3600, "h"),
    (86400.0, math.inf, "d"),
)


@cache
def time_label(unit_s: float) -> Callable[[float], str]:
    """Return the function that labels a time axis in this unit: ``0``, ``12 h``."""
    name = next(name for unit, _, name in _UNITS if unit == unit_s)
    return lambda value: f"{value:g} {name}" if value else "0"


def _round_up(value: float) -> float:
    scale = 10.0 ** math.floor(math.log10(value))
    return next(r * scale for r in _ROUND if r * scale >= value * (1 - 1e-9))


def _round_down(value: float) -> float:
    if value <= 0:
        return 0.0
    scale = 10.0 ** max(0, math.floor(math.log10(value)) - 1)
    return math.floor(value / scale) * scale


def ticks(span: Range, most: int) -> list[float]:
    """Return at most ``most`` (but two or more) round positions in ``span``."""
    low, high = span
    if high <= low:
        return [low]
    raw = (high - low) / max(1, most - 1)
    scale = 10.0 ** (math.floor(math.log10(raw)) - 1)
    steps = [factor * scale * tens for tens in (1, 10, 100) for factor in _TICK_STEPS]
    wanted = next(n for n, step in enumerate(steps) if step >= raw * (1 - 1e-9))
    for step in reversed(steps[: wanted + 1]):
        found = _multiples(span, step)
        if len(found) >= 2:
            return found
    return [low, high]


def _multiples(span: Range, step: float) -> list[float]:
    first = math.ceil(span[0] / step - 1e-9)
    last = math.floor(span[1] / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def step_label(value: float) -> str:
    """Return a training step short: ``1500``, ``12.5k``, ``1.2M``."""
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * factor or (unit == "M" and abs(value) >= factor):
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def score_label(value: float) -> str:
    """Return a score or a correlation with as few digits as tell it apart: ``0.5``, ``-1.0``."""
    return f"{value:.2f}".removesuffix("0") if value != round(value, 1) else f"{value:.1f}"


def difference_label(value: float) -> str:
    """Return a difference of two scores with its sign: ``+0.05``, ``0``."""
    return f"{value:+.2f}".removesuffix("0") if value else "0"
