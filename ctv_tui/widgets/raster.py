"""Charts in braille: series in, lines with roles out. For what changes several times a second.

A cell has one colour, so a later series owns the cells that it touches outright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ctv_tui.theme import Role
from ctv_tui.widgets.axes import Range, score_label, step_label, ticks
from ctv_tui.widgets.lines import Line, Piece
from ctv_tui.widgets.pen import Pen, Settled
from ctv_tui.widgets.series import (
    MARKS,
    Dot,
    Series,
    along,
    clipped,
    decimated,
    inside,
    is_known,
    pieces,
    spaced,
    within,
)

Label = Callable[[float], str]

LEAST_WIDTH, LEAST_HEIGHT = 14, 4
LABEL_WIDTH = 4
_BRAILLE = 0x2800


def draw(
    series: Sequence[Series],
    x: Range,
    y: Range,
    width: int,
    height: int,
    *,
    x_label: Label | None = step_label,
    y_label: Label = score_label,
    label_width: int = LABEL_WIDTH,
    cursor: float | None = None,
    zero: bool = False,
    settled: Settled | None = None,
) -> list[Line]:
    """Return ``height`` lines of ``width`` cells: axes, tick labels and the series in their order.

    Without an ``x_label`` there is no x axis. ``cursor`` is a vertical, ``zero`` a horizontal line
    behind the series. A chart that is drawn again and again keeps a ``settled`` for it. Too small
    an area gives blank lines.
    """
    if width < LEAST_WIDTH or height < LEAST_HEIGHT - (0 if x_label else 2):
        return [()] * height
    rows = height - 2 if x_label else height
    canvas = Canvas(width - label_width - 1, rows, x, y, settled)
    for number, one in enumerate(series):
        canvas.add(one, number)
    if cursor is not None and x[0] <= cursor <= x[1]:
        canvas.vertical(cursor)
    if zero:
        canvas.horizontal(0.0)
    marked = {canvas.row(t): y_label(t) for t in ticks(y, max(2, height // 3))}
    lines: list[Line] = []
    for row, cells in enumerate(canvas.lines()):
        edge = marked[row].rjust(label_width) + "┤" if row in marked else " " * label_width + "│"
        lines.append(((edge, "dim"), *cells))
    if x_label:
        lines += _x_axis(canvas, x, x_label, label_width, width)
    return lines


def _x_axis(canvas: Canvas, x: Range, label: Label, label_width: int, width: int) -> list[Line]:
    rule = ["─"] * canvas.columns
    labels = [" "] * width
    free = 0
    for tick in ticks(x, max(2, width // 10)):
        column = canvas.column(tick)
        rule[column] = "┬"
        text = label(tick)
        start = min(label_width + 1 + column - len(text) // 2, width - len(text))
        if start >= free:
            labels[start : start + len(text)] = text
            free = start + len(text) + 1
    edge = " " * label_width + "└"
    return [((edge + "".join(rule), "dim"),), (("".join(labels), "dim"),)]


class Canvas:
    """The cells inside the axes: a sign and a role each."""

    def __init__(
        self, columns: int, rows: int, x: Range, y: Range, settled: Settled | None = None
    ) -> None:
        self.columns, self.rows = columns, rows
        self._x, self._y = x, y
        self._settled = settled or Settled()
        self._x_scale = (columns - 1) / ((x[1] - x[0]) or 1.0)
        self._y_scale = (rows - 1) / ((y[1] - y[0]) or 1.0)
        self._signs = [[" "] * columns for _ in range(rows)]
        self._roles: list[list[Role]] = [[""] * columns for _ in range(rows)]

    def column(self, x: float) -> int:
        """Return the column of a value within the axis."""
        return round((x - self._x[0]) * self._x_scale)

    def row(self, y: float) -> int:
        """Return the row of a value within the axis, 0 on top."""
        return round((self._y[1] - y) * self._y_scale)

    def _dot_at(self, dot: Dot) -> tuple[int, int]:
        """Return column and row of a point in dots, of which a cell has two by four."""
        y = inside(dot.y, self._y)
        return (
            round((dot.x - self._x[0]) * self._x_scale * 2 + 0.5),
            round((self._y[1] - y) * self._y_scale * 4 + 1.5),
        )

    def add(self, series: Series, number: int = 0) -> None:
        """Draw a series, the ``number``-th of its chart, over what is there."""
        columns = self.columns
        if series.shape == "band":
            self._band(decimated(clipped(series.dots, self._x), self._x, columns), series.role)
            return
        joined = series.shape in ("solid", "dotted", "dashed") or series.line is not None
        drawn = series.dots if series.line is None else series.line
        if joined:
            self._line(tuple(clipped(drawn, self._x)), series, number)
        shown: Sequence[Dot] = within(series.dots, self._x)
        if joined and len(shown) * 3 > columns:
            if series.line is not None:
                self._points(decimated(shown, self._x, columns), series.role)
            shown = [d for d in shown if d.hollow][-1:]
        shown = [d for d in shown if is_known(d)]
        if series.shape in ("diamonds", "plus"):
            shown = spaced(shown, self._x, columns)
        if series.shape in MARKS:
            full, hollow = MARKS[series.shape]
            for dot in shown:
                sign = hollow if dot.hollow else full
                self._set(self.column(dot.x), self.row(inside(dot.y, self._y)), sign, series.role)

    def vertical(self, x: float) -> None:
        """Draw a line from top to bottom behind everything."""
        column = self.column(x)
        for row in range(self.rows):
            if self._signs[row][column] in " ░":
                self._set(column, row, "│", "strong")

    def horizontal(self, y: float) -> None:
        """Draw a line from left to right behind everything."""
        row = self.row(y)
        for column in range(self.columns):
            if self._signs[row][column] == " ":
                self._set(column, row, "┄", "frame")

    def lines(self) -> list[Line]:
        """Return every row as pieces of one role.

        A blank has no colour, so it goes with the piece before it: fewer changes of colour are
        fewer bytes for the terminal.
        """
        rows: list[Line] = []
        for signs, roles in zip(self._signs, self._roles, strict=True):
            row: list[Piece] = []
            start, role = 0, roles[0]
            for column, one in enumerate(roles):
                if one != role and signs[column] != " ":
                    if column > start:
                        row.append(("".join(signs[start:column]), role))
                    start, role = column, one
            row.append(("".join(signs[start:]), role))
            rows.append(tuple(row))
        return rows

    def _set(self, column: int, row: int, sign: str, role: Role) -> None:
        self._signs[row][column] = sign
        self._roles[row][column] = role

    def _line(self, dots: tuple[Dot, ...], series: Series, number: int) -> None:
        name, size = (number, series.role), (self.columns, self.rows)
        pen = self._settled.draw(name, dots, series.shape, self._x, self._y, size, self._dot_at)
        self._paint(pen.masks, series.role)

    def _points(self, dots: Sequence[Dot], role: Role) -> None:
        """Set one dot for every point."""
        pen = Pen(self.columns, "solid")
        for dot in filter(is_known, dots):
            pen.set(*self._dot_at(dot))
        for cell, mask in pen.masks.items():
            row, column = divmod(cell, self.columns)
            if self._signs[row][column] in " ░":
                self._set(column, row, chr(_BRAILLE + mask), role)

    def _paint(self, masks: dict[int, int], role: Role) -> None:
        for cell, mask in masks.items():
            row, column = divmod(cell, self.columns)
            self._set(column, row, chr(_BRAILLE + mask), role)

    def _band(self, edges: Sequence[Dot], role: Role) -> None:
        """Shade the cells between ``low`` and ``y``."""
        distance = (self._x[1] - self._x[0]) / max(1, self.columns - 1)
        for piece in pieces(edges):
            stems = list(along(piece, distance)) if len(piece) > 1 else [_stem(piece[0])]
            for x, high, low in stems:
                column = self.column(x)
                top, bottom = (self.row(inside(edge, self._y)) for edge in (high, low))
                for row in range(top, bottom + 1):
                    self._set(column, row, "░", role)


def _stem(dot: Dot) -> tuple[float, float, float]:
    assert dot.y is not None
    return dot.x, dot.y, dot.y if dot.low is None else dot.low
