"""Every dataset with its latest values; one of them is selected."""

from __future__ import annotations

from collections.abc import Sequence

from textual.events import Click
from textual.message import Message

from ctv_engine.store.rows import MODES
from ctv_tui.data import Snapshot
from ctv_tui.data.curves import is_known
from ctv_tui.data.safe_text import pad, shorten
from ctv_tui.data.snapshot import Point
from ctv_tui.widgets.curves import name_of
from ctv_tui.widgets.lines import Line, framed, line
from ctv_tui.widgets.painted import Painted


class DatasetList(Painted):
    """Every dataset with its latest values; the selected one is on the chart."""

    class Chosen(Message):
        """A dataset was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: list[tuple[str, tuple[str, ...]]] = []
        self._selected = 0
        self._first = 0

    def show(self, snapshot: Snapshot, names: Sequence[str], selected: int) -> None:
        """Show the latest values of ``names``."""
        rows = []
        for name in names:
            last = [snapshot.points(mode, name)[-1:] for mode in MODES]
            values = tuple(_tiny(points[0]) if points else "–" for points in last)
            rows.append((name_of(name), values))
        self._rows, self._selected = rows, selected
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the list, scrolled so that the selected row is in view."""
        inner, room = width - 2, max(1, height - 3)
        column = 5
        name_width = inner - 3 * column - 2
        if self._selected < self._first:
            self._first = self._selected
        elif self._selected >= self._first + room:
            self._first = self._selected - room + 1
        self._first = max(0, min(self._first, len(self._rows) - room))
        head = line(
            " " * (name_width + 2),
            *((pad(mode[0].upper(), column, right=True), mode) for mode in MODES),
        )
        body = [head]
        for index, (name, values) in enumerate(self._rows[self._first :], self._first):
            if index == self._selected:
                text = "▸ " + pad(name, name_width) + "".join(v.rjust(column) for v in values)
                body.append(line((text, "selected")))
                continue
            shown = shorten(name, name_width)
            body.append(
                line(
                    "  ",
                    pad(shown, name_width),
                    *((v.rjust(column), m) for v, m in zip(values, MODES, strict=True)),
                )
            )
        return framed(body, width, height, title=line(("datasets", "title")))

    def on_click(self, event: Click) -> None:
        """Select the row that was clicked."""
        index = self._first + event.y - 2
        if event.y >= 2 and index < len(self._rows):
            self.post_message(self.Chosen(index))


def _tiny(point: Point) -> str:
    if point.value is None or not is_known(point):
        return "–"
    text = f"{point.value:.2f}".replace("0.", ".", 1) if 0 <= point.value < 1 else "1.0"
    if point.value < 0 or point.value > 1:
        text = f"{point.value:.1f}"
    return text if point.complete else f"~{text}"
