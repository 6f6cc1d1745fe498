"""What a chart draws: points, how they are drawn, and how many are enough for a width."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Literal, NamedTuple

from ctv_tui.theme import Role
from ctv_tui.widgets.axes import Range

Shape = Literal[
    "solid", "dotted", "diamonds", "band", "dashed", "plus", "discs", "crosses", "last disc",
    "last cross",
]  # fmt: skip
"""``dashed`` and ``plus`` are another run's lines and gold; what comes after them is not joined."""


class Dot(NamedTuple):
    """A point: ``y`` None is a gap; hollow means not to be trusted yet. ``low``: a band's edge.

    A tuple, since thousands are made and compared at every update.
    """

    x: float
    y: float | None
    hollow: bool = False
    low: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, ordered by x, and how they are drawn.

    Where there is a ``line``, that is what is drawn through, and ``dots`` are left as marks.
    """

    role: Role
    shape: Shape
    dots: tuple[Dot, ...]
    line: tuple[Dot, ...] | None = None


MARKS: dict[Shape, tuple[str, str]] = {
    "solid": ("●", "○"),
    "dotted": ("•", "○"),
    "discs": ("●", "○"),
    "crosses": ("×", "×"),
    "last disc": ("◉", "◉"),
    "last cross": ("⊗", "⊗"),
    "diamonds": ("◆", "◇"),
    "plus": ("+", "+"),
}
"""The sign of a point, and of one that is hollow."""

UNJOINED: frozenset[Shape] = frozenset({"discs", "crosses", "last disc", "last cross"})


def is_known(dot: Dot) -> bool:
    """Whether a point has a number to draw."""
    return dot.y is not None and math.isfinite(dot.y)


def inside(value: float | None, span: Range) -> float:
    """Return a value moved to the nearest edge if it lies outside."""
    assert value is not None
    return max(span[0], min(span[1], value))


def pieces(dots: Sequence[Dot]) -> Iterator[list[Dot]]:
    """Yield the stretches between gaps."""
    piece: list[Dot] = []
    for dot in dots:
        if not is_known(dot):
            if piece:
                yield piece
            piece = []
        else:
            piece.append(dot)
    if piece:
        yield piece


def has_points(series: Series) -> bool:
    """Whether a series has any number to draw."""
    return any(dot.y is not None and math.isfinite(dot.y) for dot in series.dots)


def within(dots: Sequence[Dot], x: Range) -> Sequence[Dot]:
    """Return the dots that lie in ``x``; dots are ordered by x."""
    start = bisect_left(dots, x[0], key=_x)
    return dots[start : bisect_right(dots, x[1], key=_x)]


_x = attrgetter("x")


def decimated(dots: Sequence[Dot], x: Range, columns: int) -> Sequence[Dot]:
    """Return the dots, or the lowest, highest and last of every column if there are too many."""
    return thin(dots, x, columns) if is_crowded(dots, columns) else dots


def is_crowded(dots: Sequence[Dot], columns: int) -> bool:
    """Whether there are more dots than a chart of that width can show."""
    return len(dots) > 2 * columns


def column_of(dot: Dot, x: Range, columns: int) -> int:
    """Return the column into which a dot falls."""
    return int((dot.x - x[0]) / ((x[1] - x[0]) / columns or 1.0))


def thin(dots: Sequence[Dot], x: Range, columns: int) -> list[Dot]:
    """Return the lowest, highest and last dot of every column.

    Of a column without a number its first dot stays, as the gap that it is.
    """
    start, width = x[0], (x[1] - x[0]) / columns or 1.0
    kept: list[Dot] = []
    here: list[Dot] = []
    column = None
    # Some thousand dots come by at every update, hence no call for each.
    for dot in dots:
        at = int((dot[0] - start) / width)
        if at != column:
            kept += here if len(here) <= _FEW_IN_COLUMN else _telling(here)
            here, column = [], at
        here.append(dot)
    kept += here if len(here) <= _FEW_IN_COLUMN else _telling(here)
    return kept


_FEW_IN_COLUMN = 3


def _telling(dots: Sequence[Dot]) -> list[Dot]:
    """Return a column's lowest, highest and last dot in their order, or one gap."""
    lowest = highest = last = -1
    low = high = 0.0
    for place, (_, y, _, _) in enumerate(dots):
        if y is None or not math.isfinite(y):
            continue
        if last < 0 or y < low:
            lowest, low = place, y
        if last < 0 or y > high:
            highest, high = place, y
        last = place
    if last < 0:
        return [dots[0]]
    return [dots[place] for place in sorted({lowest, highest, last})]


def spaced(dots: Sequence[Dot], x: Range, columns: int) -> list[Dot]:
    """Return dots at least three columns apart; the last one always stays.

    From the first one on, so that a new dot at the end moves none of the others.
    """
    least = 3 * (x[1] - x[0]) / columns
    kept: list[Dot] = []
    for dot in dots:
        if not kept or dot.x - kept[-1].x >= least:
            kept.append(dot)
    if kept and kept[-1] is not dots[-1]:
        kept[-1] = dots[-1]
    return kept


def along(piece: Sequence[Dot], distance: float) -> Iterator[tuple[float, float, float]]:
    """Yield x, y and low at equal distances along straight lines between dots."""
    at = piece[0].x
    for one, two in pairwise(piece):
        assert one.y is not None and two.y is not None
        low_one = one.y if one.low is None else one.low
        low_two = two.y if two.low is None else two.low
        while at <= two.x:
            share = (at - one.x) / (two.x - one.x) if two.x > one.x else 0.0
            yield at, one.y + share * (two.y - one.y), low_one + share * (low_two - low_one)
            at += distance


def clipped(dots: Sequence[Dot], x: Range) -> Sequence[Dot]:
    """Return the part of a line that lies in ``x``, with its ends on the edges."""
    if not dots or (dots[0].x >= x[0] and dots[-1].x <= x[1]):
        return dots
    kept: list[Dot] = []
    before: Dot | None = None
    for dot in dots:
        if before is not None and is_known(before) and is_known(dot):
            kept += [_between(before, dot, edge) for edge in x if before.x < edge < dot.x]
        if x[0] <= dot.x <= x[1]:
            kept.append(dot)
        before = dot
    return kept


def _between(one: Dot, two: Dot, at: float) -> Dot:
    assert one.y is not None and two.y is not None
    share = (at - one.x) / (two.x - one.x)
    low = None
    if one.low is not None and two.low is not None:
        low = one.low + share * (two.low - one.low)
    return Dot(at, one.y + share * (two.y - one.y), low=low)
