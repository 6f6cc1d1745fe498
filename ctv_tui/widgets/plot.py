"""The one place that talks to plotext: series in, lines with roles out.

For charts that change now and then; six that change twice a second cost too much this way (see
:mod:`ctv_tui.widgets.raster`, which takes the same series). plotext is imported by the first chart
that needs it, since that takes longer than everything else before the first paint.

plotext 6 has a single figure for the whole process, so every call sets it up from nothing, builds
it and takes the text away; nothing is left behind for the next chart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from ctv_tui.theme import Role
from ctv_tui.widgets.axes import Range, score_label, step_label, ticks
from ctv_tui.widgets.lines import Line, Piece
from ctv_tui.widgets.series import (
    MARKS,
    UNJOINED,
    Dot,
    Series,
    along,
    decimated,
    inside,
    is_known,
    pieces,
    spaced,
)

__all__ = ["Dot", "Series", "decimated", "plot"]

_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")
_LEAST_WIDTH, _LEAST_HEIGHT = 14, 4


@cache
def _plotext() -> Any:
    import plotext

    return plotext


def plot(
    series: Sequence[Series],
    x: Range,
    y: Range,
    width: int,
    height: int,
    *,
    x_label: Callable[[float], str] = step_label,
) -> list[Line]:
    """Return ``height`` lines of ``width`` cells: axes, tick labels and the series in their order.

    A later series covers an earlier one. Too small an area gives blank lines.
    """
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return [()] * height
    figure = _empty_figure(width, height, x, y, x_label)
    columns = width - 5
    roles: list[Role] = []
    for one in series:
        roles.append(one.role)
        pixel = _plotext().pixel(foreground=(len(roles), 0, 0))
        for signal in _signals(figure, one, x, y, columns, pixel):
            figure.draw(signal)
    built: str = figure.build().string()
    figure.clear.data()
    return [_with_roles(row, roles) for row in built.splitlines()[:height]]


def _empty_figure(
    width: int, height: int, x: Range, y: Range, x_label: Callable[[float], str]
) -> Any:
    plotext = _plotext()
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
    figure.ruler("x").lim(*x).ticks(x_ticks, [x_label(t) for t in x_ticks])
    figure.ruler("y").lim(*y).ticks(y_ticks, [score_label(t).rjust(4) for t in y_ticks])
    return figure


def _signals(
    figure: Any, series: Series, x: Range, y: Range, columns: int, pixel: Any
) -> Iterator[Any]:
    dots = decimated(series.dots, x, columns)
    if series.shape == "band":
        for piece in pieces(dots):
            yield from _band(figure, piece, x, columns, pixel)
        return
    if series.shape == "diamonds":
        known = spaced([d for d in dots if is_known(d)], x, columns)
    elif series.shape in UNJOINED:
        known = [d for d in dots if is_known(d)]
    else:
        marker = _plotext().marker("braille" if series.shape == "solid" else "·", pixel)
        for piece in pieces(dots):
            if series.shape == "dotted":
                piece = _dotted(piece, x, columns)
            signal = figure.signal(
                [d.x for d in piece], [inside(d.y, y) for d in piece], marker=marker
            )
            yield signal.lines() if series.shape == "solid" else signal
        known = [d for d in dots if is_known(d)]
        if len(known) * 3 > columns:
            known = [d for d in known if d.hollow][-1:]
    full, hollow = MARKS[series.shape]
    for shown, symbol in (
        ([d for d in known if not d.hollow], full),
        ([d for d in known if d.hollow], hollow),
    ):
        if shown:
            marker = _plotext().marker(symbol, pixel)
            yield figure.signal(
                [d.x for d in shown], [inside(d.y, y) for d in shown], marker=marker
            )


def _dotted(piece: Sequence[Dot], x: Range, columns: int) -> list[Dot]:
    """Return dots every two columns along the lines through ``piece``."""
    if len(piece) < 2:
        return list(piece)
    distance = 2 * (x[1] - x[0]) / columns
    return [Dot(at, value) for at, value, _ in along(piece, distance)]


def _band(figure: Any, piece: Sequence[Dot], x: Range, columns: int, pixel: Any) -> Iterator[Any]:
    """Yield a shaded area between ``low`` and ``y``, one stem a column."""
    distance = (x[1] - x[0]) / columns
    stems = (
        list(along(piece, distance))
        if len(piece) > 1
        else [(d.x, d.y or 0.0, d.y or 0.0 if d.low is None else d.low) for d in piece]
    )
    marker = _plotext().marker("░", pixel)
    highs = figure.signal([s[0] for s in stems], [s[1] for s in stems], marker=marker)
    lows = figure.signal([s[0] for s in stems], [s[2] for s in stems], marker=marker)
    yield highs.fill(lows)


def _with_roles(row: str, roles: Sequence[Role]) -> Line:
    """Turn plotext's colour codes back into roles; what has none is part of the axes."""
    coloured: list[Piece] = []
    role: Role = "dim"
    at = 0
    for found in _COLOUR.finditer(row):
        if found.start() > at:
            coloured.append((row[at : found.start()], role))
        at = found.end()
        codes = found.group(1).split(";")
        if codes[:2] == ["38", "2"] and 1 <= int(codes[2]) <= len(roles):
            role = roles[int(codes[2]) - 1]
        else:
            role = "dim"
    if at < len(row):
        coloured.append((row[at:], role))
    return tuple(coloured)
