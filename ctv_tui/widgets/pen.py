"""A line in braille, dot by dot, and the part of it that an update leaves as it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from ctv_tui.widgets.axes import Range
from ctv_tui.widgets.series import Dot, Shape, column_of, is_crowded, is_known, thin

_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of a dot in a cell, by its column and row."""

_DOTTED_GAP = 4
_DASH = 6
_LONG_END = 32


@dataclass(slots=True)
class Pen:
    """Draws through points given in dots, of which a cell has two by four.

    ``masks`` are the braille bits of the cells so far; the cell of column c and row r is
    ``r * columns + c``.
    """

    columns: int
    shape: Shape
    masks: dict[int, int] = field(default_factory=dict)
    _at: tuple[int, int] | None = None
    _before: int = 0
    _left: int = 0

    def copy(self) -> Pen:
        """Return a pen that goes on from here on a copy of what was drawn."""
        return Pen(self.columns, self.shape, dict(self.masks), self._at, self._before, self._left)

    def set(self, x: int, y: int) -> None:
        """Set one dot."""
        cell = (y >> 2) * self.columns + (x >> 1)
        self.masks[cell] = self.masks.get(cell, 0) | _BITS[x & 1][y & 3]

    def lift(self) -> None:
        """Leave a gap before the next point."""
        self._at = None

    def to(self, x: int, y: int) -> None:
        """Draw from where the pen stands, or begin there."""
        at, self._at = self._at, (x, y)
        if at is None:
            self.set(x, y)
            self._before, self._left = y, 0
        elif self.shape == "dotted":
            self._dotted(*at, x, y)
        else:
            self._solid(*at, x, y, dash=_DASH if self.shape == "dashed" else 0)

    def _solid(self, x1: int, y1: int, x2: int, y2: int, *, dash: int) -> None:
        """Set every dot on the way; with ``dash``, of half of the stretches."""
        columns, masks, before = self.columns, self.masks, self._before
        for x in range(x1 + (x2 > x1), x2 + 1):
            y = y2 if x == x2 else round(y1 + (y2 - y1) * (x - x1) / (x2 - x1))
            # A step down or up is filled half-way from both sides, which leaves no hole.
            low, high = (before + 1, y) if y > before + 1 else (y, before - 1)
            low, high = (y, y) if abs(y - before) <= 1 else (low, high)
            before = y
            if dash and x // dash % 2:
                continue
            bits = _BITS[x & 1]
            for filled in range(low, high + 1):
                cell = (filled >> 2) * columns + (x >> 1)
                masks[cell] = masks.get(cell, 0) | bits[filled & 3]
        self._before = before

    def _dotted(self, x1: int, y1: int, x2: int, y2: int) -> None:
        """Set a dot every few dots' distance on the way."""
        length, left = max(x2 - x1, abs(y2 - y1)), self._left
        while left <= length:
            share = left / length if length else 0.0
            self.set(round(x1 + share * (x2 - x1)), round(y1 + share * (y2 - y1)))
            left += _DOTTED_GAP
        self._left = left - length


@dataclass(frozen=True, slots=True)
class _Drawn:
    place: object
    dots: tuple[Dot, ...]
    pen: Pen


class Settled:
    """Remembers what was drawn of a chart's lines but their ends: an update moves only these."""

    def __init__(self) -> None:
        self._drawn: dict[Hashable, _Drawn] = {}

    def draw(
        self,
        name: Hashable,
        dots: tuple[Dot, ...],
        shape: Shape,
        x: Range,
        y: Range,
        size: tuple[int, int],
        dot_at: Callable[[Dot], tuple[int, int]],
    ) -> Pen:
        """Return a pen that has drawn ``dots``, all of which lie in ``x``.

        ``name`` tells the chart's lines apart, ``size`` is columns and rows, and ``dot_at`` says
        where a point comes to lie, in dots; it depends on the ranges and the size alone.
        """
        columns = size[0]
        thinned = is_crowded(dots, columns)
        place = (x, y, size, shape, thinned)
        drawn = self._drawn.get(name)
        if drawn is None or drawn.place != place or drawn.dots != dots[: len(drawn.dots)]:
            drawn = _Drawn(place, (), Pen(columns, shape))
        if len(dots) - len(drawn.dots) > _LONG_END:
            settled = dots[: _column_start(dots, len(dots) - _LONG_END // 2, x, columns)]
            pen = drawn.pen.copy()
            _follow(pen, settled[len(drawn.dots) :], x, thinned, dot_at)
            drawn = self._drawn[name] = _Drawn(place, settled, pen)
        pen = drawn.pen.copy()
        _follow(pen, dots[len(drawn.dots) :], x, thinned, dot_at)
        return pen


def _column_start(dots: Sequence[Dot], end: int, x: Range, columns: int) -> int:
    """Return the nearest place up to ``end`` where a column's first dot is."""
    while end and column_of(dots[end - 1], x, columns) == column_of(dots[end], x, columns):
        end -= 1
    return end


def _follow(
    pen: Pen,
    dots: Sequence[Dot],
    x: Range,
    thinned: bool,
    dot_at: Callable[[Dot], tuple[int, int]],
) -> None:
    for dot in thin(dots, x, pen.columns) if thinned else dots:
        if is_known(dot):
            pen.to(*dot_at(dot))
        else:
            pen.lift()
