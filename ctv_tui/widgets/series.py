"""What a chart draws: points, how they are drawn, and how many are enough for a width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
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


def decimated(dots: Sequence[Dot], x: Range, columns: int) -> Sequence[Dot]:
    """Return the dots, or the lowest, highest and last of every column if there are too many."""
    if len(dots) <= 2 * columns:
        return dots
    width = (x[1] - x[0]) / columns or 1.0
    kept: list[Dot] = []
    group: list[Dot] = []
    column = None
    for dot in [*dots, None]:
        here = None if dot is None else int((dot.x - x[0]) / width)
        if here != column or dot is None:
            known = [d for d in group if is_known(d)]
            chosen = (
                {
                    id(min(known, key=_height)),
                    id(max(known, key=_height)),
                    id(known[-1]),
                }
                if known
                else set()
            )
            kept += [d for d in group if id(d) in chosen or (not known and d is group[0])]
            group, column = [], here
        if dot is not None:
            group.append(dot)
    return kept


def _height(dot: Dot) -> float:
    return dot.y if dot.y is not None else -math.inf


def spaced(dots: Sequence[Dot], x: Range, columns: int) -> list[Dot]:
    """Return dots at least three columns apart; the last one always stays."""
    least = 3 * (x[1] - x[0]) / columns
    kept: list[Dot] = []
    for dot in reversed(dots):
        if not kept or kept[-1].x - dot.x >= least:
            kept.append(dot)
    return kept[::-1]


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
