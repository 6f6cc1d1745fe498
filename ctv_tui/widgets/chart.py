"""A framed chart: one thin widget over :mod:`ctv_tui.widgets.raster`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ctv_tui.widgets.axes import Range, step_label
from ctv_tui.widgets.lines import Line, centred, framed
from ctv_tui.widgets.painted import Painted
from ctv_tui.widgets.pen import Settled
from ctv_tui.widgets.raster import Label, draw
from ctv_tui.widgets.series import Series, has_points


@dataclass(frozen=True, slots=True)
class ChartData:
    """Everything a chart shows. Without a known point it says ``empty`` instead.

    ``counts`` are x and n of the points, for charts that say n under them, ``foot`` a line for
    those that say something else.
    """

    title: Line
    rights: tuple[Line, ...] = ()
    series: tuple[Series, ...] = ()
    x: Range = (0.0, 1.0)
    y: Range = (0.0, 1.0)
    empty: str = "nothing yet"
    x_label: Label = step_label
    cursor: float | None = None
    counts: tuple[tuple[float, int], ...] = ()
    foot: Line = ()

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return any(map(has_points, self.series))


class Chart(Painted):
    """Draws a :class:`ChartData`; does nothing if it is shown the same one again."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._data: ChartData | None = None
        self._selected = False
        self._plotted: tuple[ChartData, int, int] | None = None
        self._body: list[Line] = []
        self._settled = Settled()

    def show(self, data: ChartData, *, selected: bool = False) -> None:
        """Show ``data``."""
        if data != self._data or selected != self._selected:
            self._data, self._selected = data, selected
            self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the frame and the plot, which is built anew only if its own part changed."""
        if self._data is None:
            return []
        wanted = (replace(self._data, title=(), rights=()), width, height)
        if wanted != self._plotted:
            self._plotted = wanted
            self._body = self.body(self._data, width - 2, height - 2)
        return framed(
            self._body,
            width,
            height,
            title=self._data.title,
            rights=self._data.rights,
            selected=self._selected,
        )

    def body(self, data: ChartData, width: int, height: int) -> list[Line]:
        """Return what stands in the frame."""
        return chart_body(data, width, height, self._settled)


def chart_body(
    data: ChartData, width: int, height: int, settled: Settled | None = None
) -> list[Line]:
    """Return the plot without its frame, or the sentence that stands for it."""
    if not data.has_points:
        return centred(data.empty, width, height)
    return draw(
        data.series,
        data.x,
        data.y,
        width,
        height,
        x_label=data.x_label,
        cursor=data.cursor,
        settled=settled,
    )
