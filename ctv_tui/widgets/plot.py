"""The one place that talks to plotext: series in, lines with roles out.

plotext 6 has a single figure for the whole process, so every call sets it up from nothing, builds
it and takes the text away; nothing is left behind for the next chart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import plotext

from ctv_tui.theme import Role
from ctv_tui.widgets.axes import Range, score_label, step_label, ticks
from ctv_tui.widgets.lines import Line, Piece

Shape = Literal["solid", "dotted", "diamonds", "band"]


@dataclass(frozen=True, slots=True)
class Dot:
    """A point: ``y`` None is a gap; hollow means not to be trusted yet. ``low``: a band's edge."""

    x: float
    y: float | None
    hollow: bool = False
    low: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, ordered by x, and how they are drawn."""

    role: Role
    shape: Shape
    dots: tuple[Dot, ...]


_MARKS: dict[Shape, tuple[str, str]] = {"solid": ("●", "○"), "dotted": ("•", "○")}
_DIAMONDS = ("◆", "◇")
_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")
_LEAST_WIDTH, _LEAST_HEIGHT = 14, 4


def plot(series: Sequence[Series], x: Range, y: Range, width: int, height: int) -> list[Line]:
    """Return ``height`` lines of ``width`` cells: axes, tick labels and the series in their order.

    A later series covers an earlier one. Too small an area gives blank lines.
    """
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return [()] * height
    figure = _empty_figure(width, height, x, y)
    columns = width - 5
    roles: list[Role] = []
    for one in series:
        roles.append(one.role)
        pixel = plotext.pixel(foreground=(len(roles), 0, 0))
        for signal in _signals(figure, one, x, y, columns, pixel):
            figure.draw(signal)
    built: str = figure.build().string()
    figure.clear.data()
    return [_with_roles(row, roles) for row in built.splitlines()[:height]]


def _empty_figure(width: int, height: int, x: Range, y: Range) -> Any:
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear.data()
    figure.clear.settings()
    figure.theme("colorless")
    figure.canvas("default")
    figure.legend(False)
    figure.plot_size(width, height)
    figure.axes(False, side=1)
    x_ticks = ticks(x, max(2, width // 10))
    y_ticks = ticks(y, max(2, height // 3))
    figure.ruler("x").lim(*x).ticks(x_ticks, [step_label(t) for t in x_ticks])
    figure.ruler("y").lim(*y).ticks(y_ticks, [score_label(t).rjust(4) for t in y_ticks])
    return figure


def _signals(
    figure: Any, series: Series, x: Range, y: Range, columns: int, pixel: Any
) -> Iterator[Any]:
    dots = decimated(series.dots, x, columns)
    if series.shape == "band":
        for piece in _pieces(dots):
            yield from _band(figure, piece, x, columns, pixel)
        return
    if series.shape == "diamonds":
        known = _spaced([d for d in dots if _is_known(d)], x, columns)
    else:
        marker = plotext.marker("braille" if series.shape == "solid" else "·", pixel)
        for piece in _pieces(dots):
            if series.shape == "dotted":
                piece = _dotted(piece, x, columns)
            signal = figure.signal(
                [d.x for d in piece], [_inside(d.y, y) for d in piece], marker=marker
            )
            yield signal.lines() if series.shape == "solid" else signal
        known = [d for d in dots if _is_known(d)]
        if len(known) * 3 > columns:
            known = [d for d in known if d.hollow][-1:]
    full, hollow = _MARKS.get(series.shape, _DIAMONDS)
    for shown, symbol in (
        ([d for d in known if not d.hollow], full),
        ([d for d in known if d.hollow], hollow),
    ):
        if shown:
            marker = plotext.marker(symbol, pixel)
            yield figure.signal(
                [d.x for d in shown], [_inside(d.y, y) for d in shown], marker=marker
            )


def _is_known(dot: Dot) -> bool:
    return dot.y is not None and math.isfinite(dot.y)


def _inside(value: float | None, span: Range) -> float:
    """Return a value moved to the nearest edge if it lies outside."""
    assert value is not None
    return max(span[0], min(span[1], value))


def _pieces(dots: Sequence[Dot]) -> Iterator[list[Dot]]:
    """Yield the stretches between gaps."""
    piece: list[Dot] = []
    for dot in dots:
        if not _is_known(dot):
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
            known = [d for d in group if _is_known(d)]
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


def _spaced(dots: Sequence[Dot], x: Range, columns: int) -> list[Dot]:
    """Return dots at least three columns apart; the last one always stays."""
    least = 3 * (x[1] - x[0]) / columns
    kept: list[Dot] = []
    for dot in reversed(dots):
        if not kept or kept[-1].x - dot.x >= least:
            kept.append(dot)
    return kept[::-1]


def _dotted(piece: Sequence[Dot], x: Range, columns: int) -> list[Dot]:
    """Return dots every two columns along the lines through ``piece``."""
    if len(piece) < 2:
        return list(piece)
    distance = 2 * (x[1] - x[0]) / columns
    return [Dot(at, value) for at, value, _ in _along(piece, distance)]


def _along(piece: Sequence[Dot], distance: float) -> Iterator[tuple[float, float, float]]:
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


def _band(figure: Any, piece: Sequence[Dot], x: Range, columns: int, pixel: Any) -> Iterator[Any]:
    """Yield a shaded area between ``low`` and ``y``, one stem a column."""
    distance = (x[1] - x[0]) / columns
    stems = (
        list(_along(piece, distance))
        if len(piece) > 1
        else [(d.x, d.y or 0.0, d.y or 0.0 if d.low is None else d.low) for d in piece]
    )
    marker = plotext.marker("░", pixel)
    highs = figure.signal([s[0] for s in stems], [s[1] for s in stems], marker=marker)
    lows = figure.signal([s[0] for s in stems], [s[2] for s in stems], marker=marker)
    yield highs.fill(lows)


def _with_roles(row: str, roles: Sequence[Role]) -> Line:
    """Turn plotext's colour codes back into roles; what has none is part of the axes."""
    pieces: list[Piece] = []
    role: Role = "dim"
    at = 0
    for found in _COLOUR.finditer(row):
        if found.start() > at:
            pieces.append((row[at : found.start()], role))
        at = found.end()
        codes = found.group(1).split(";")
        if codes[:2] == ["38", "2"] and 1 <= int(codes[2]) <= len(roles):
            role = roles[int(codes[2]) - 1]
        else:
            role = "dim"
    if at < len(row):
        pieces.append((row[at:], role))
    return tuple(pieces)
