"""One trajectory chart with room to read: bands, a cursor, differences to gold, and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ctv_tui.widgets.axes import Range, difference_label
from ctv_tui.widgets.chart import Chart, ChartData
from ctv_tui.widgets.lines import Line, centred, first_that_fits, joined, line
from ctv_tui.widgets.raster import draw
from ctv_tui.widgets.series import Series

_LABEL_WIDTH = 5
_STRIP_ROWS = 5
_LEAST_PLOT_ROWS = 8


@dataclass(frozen=True, slots=True)
class LargeData(ChartData):
    """A chart with a strip of differences under it and rows of values under that.

    Of each row of ``readout`` the first form that fits is shown.
    """

    strip: tuple[Series, ...] = ()
    strip_y: Range = (-0.1, 0.1)
    readout: tuple[tuple[Line, ...], ...] = ()


class LargeChart(Chart):
    """Draws a :class:`LargeData`; what there is no room for is left out from below."""

    def body(self, data: ChartData, width: int, height: int) -> list[Line]:
        """Return plot, strip and values."""
        assert isinstance(data, LargeData)
        return large_body(data, width, height)


def large_body(data: LargeData, width: int, height: int) -> list[Line]:
    """Return the rows inside the frame."""
    if not data.has_points:
        return centred(data.empty, width, height)
    readout = [first_that_fits(width, row) for row in data.readout]
    if height - len(readout) < _LEAST_PLOT_ROWS:
        readout = readout[: max(0, height - _LEAST_PLOT_ROWS)]
    rows = height - len(readout)
    strip: list[Line] = []
    if data.strip and rows >= 2 * _LEAST_PLOT_ROWS:
        strip = _strip(data, width, _STRIP_ROWS if rows < 4 * _LEAST_PLOT_ROWS else 2 + _STRIP_ROWS)
        rows -= len(strip)
    plot = draw(
        data.series,
        data.x,
        data.y,
        width,
        rows,
        x_label=data.x_label,
        label_width=_LABEL_WIDTH,
        cursor=data.cursor,
    )
    return [*plot, *strip, *readout]


def _strip(data: LargeData, width: int, height: int) -> list[Line]:
    parts = [line((f"{one.role} − gold", one.role)) for one in reversed(data.strip)]
    head = line(" " * (_LABEL_WIDTH + 1), *joined(parts, "  "))
    rows = draw(
        data.strip,
        data.x,
        data.strip_y,
        width,
        height,
        x_label=None,
        y_label=difference_label,
        label_width=_LABEL_WIDTH,
        cursor=data.cursor,
        zero=True,
    )
    return [head, *rows]
