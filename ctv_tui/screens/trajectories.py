"""Which dataset moves, which is noise? One chart per dataset and the macro mean."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Grid, Horizontal
from textual.events import Click, Resize
from textual.message import Message

from ctv_engine.store.rows import MACRO, MODES, Mode
from ctv_tui.data import Snapshot, safe, words
from ctv_tui.data.safe_text import pad, shorten
from ctv_tui.data.snapshot import Point, Trajectory
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.axes import Range, score_range, step_range
from ctv_tui.widgets.chart import Chart, ChartData
from ctv_tui.widgets.lines import Line, first_that_fits, framed, joined, line
from ctv_tui.widgets.painted import Painted
from ctv_tui.widgets.plot import Dot, Series, Shape

GRID_CHARTS = 6
GRID_COLUMNS = 3
_GRID_LEAST = (100, 27)
_DRAWN: tuple[tuple[Mode, Shape], ...] = (
    ("open", "dotted"),
    ("closed", "solid"),
    ("gold", "diamonds"),
)
"""In drawing order: closed follows gold closely, so gold's sparse diamonds come last."""


def name_of(dataset: str) -> str:
    """Return how a dataset is called on screen."""
    return "macro mean" if dataset == MACRO else safe(dataset)


class Trajectories(Pane):
    """A grid of charts, or one chart beside a list where there is little room."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._macro = Chart(id="macro-chart")
        self._charts = [Chart(classes="dataset-chart") for _ in range(GRID_CHARTS)]
        self._single = Chart(id="single-chart")
        self._list = DatasetList(id="dataset-list")
        self._legend = Legend(id="legend")
        self._grid = Grid(*self._charts, id="dataset-grid")
        self._beside = Horizontal(self._list, self._single, id="beside")
        self._selected = 0
        self._ranges: dict[str, Range] = {}
        self._steps: Range | None = None
        self._scores: tuple[Trajectory, ...] | None = None
        self._setting: object = None

    def compose(self) -> ComposeResult:
        """Lay out both arrangements; one of them is displayed."""
        yield self._macro
        yield self._grid
        yield self._beside
        yield self._legend

    def on_resize(self, event: Resize) -> None:
        """Choose the arrangement."""
        self._arrange(event.size.width, event.size.height)
        self.update_view()

    def on_dataset_list_chosen(self, message: DatasetList.Chosen) -> None:
        """Select the dataset that was clicked."""
        self.select(message.index)

    def _arrange(self, width: int, height: int) -> None:
        roomy = width >= _GRID_LEAST[0] and height >= _GRID_LEAST[1]
        for widget in (self._macro, self._grid):
            widget.display = roomy
        self._beside.display = not roomy

    def move(self, by: int) -> None:
        """Select another dataset."""
        self.select(self._selected + by)

    def select(self, index: int) -> None:
        """Select a dataset by its place in the list; 0 is the macro mean."""
        if self._snapshot is not None:
            last = len(self._names(self._snapshot)) - 1
            self._selected = max(0, min(last, index))
            self.update_view()

    def update_view(self) -> None:
        """Hand each chart its series."""
        snapshot = self._snapshot
        if snapshot is None or not self.size.width:
            return
        setting = (self._selected, self.size)
        same_scores = self._scores is snapshot.trajectories and setting == self._setting
        if same_scores and snapshot.trajectories:
            return
        self._scores, self._setting = snapshot.trajectories, setting
        self._steps = step_range(
            [p.step for t in snapshot.trajectories for p in t.points], self._steps
        )
        names = self._names(snapshot)
        self._selected = min(self._selected, len(names) - 1)
        if self._beside.display:
            self._list.show(snapshot, names, self._selected)
            self._single.show(self._chart(snapshot, names[self._selected], long=True))
            return
        self._macro.show(self._chart(snapshot, MACRO, long=True), selected=self._selected == 0)
        shown, first = self._page(names)
        rows = max(1, -(-len(shown) // GRID_COLUMNS))
        columns = max(1, -(-len(shown) // rows))
        self._grid.styles.grid_size_columns = columns
        self._grid.styles.grid_size_rows = rows
        self._grid.display = bool(shown)
        self._grid.styles.height = f"{rows}fr"
        for number, chart in enumerate(self._charts):
            chart.display = number < len(shown)
            if chart.display:
                selected = self._selected == first + number
                chart.show(self._chart(snapshot, shown[number]), selected=selected)

    def _names(self, snapshot: Snapshot) -> list[str]:
        scored = [t.dataset for t in snapshot.trajectories]
        return list(dict.fromkeys([MACRO, *snapshot.datasets, *scored]))

    def _page(self, names: Sequence[str]) -> tuple[Sequence[str], int]:
        """Return the datasets on the selected page and the index of the first of them."""
        first = 1 + max(0, self._selected - 1) // GRID_CHARTS * GRID_CHARTS
        return names[first : first + GRID_CHARTS], first

    def _chart(self, snapshot: Snapshot, dataset: str, *, long: bool = False) -> ChartData:
        by_mode = {mode: snapshot.points(mode, dataset) for mode in MODES}
        values = [p.value for points in by_mode.values() for p in points if p.value is not None]
        self._ranges[dataset] = score_range(values, self._ranges.get(dataset))
        return ChartData(
            title=line((name_of(dataset), "title")),
            rights=(_latest(by_mode, long=True), _latest(by_mode)) if long else (_latest(by_mode),),
            series=tuple(
                Series(mode, shape, tuple(map(_dot, by_mode[mode]))) for mode, shape in _DRAWN
            ),
            x=self._steps or (0.0, 1.0),
            y=self._ranges[dataset],
            empty=_waiting(snapshot, dataset),
        )


def _dot(point: Point) -> Dot:
    return Dot(float(point.step), point.value, hollow=not point.complete)


def _waiting(snapshot: Snapshot, dataset: str) -> str:
    if snapshot.source.health == "waiting":
        return f"waiting for the engine to create {safe(snapshot.source.path)}"
    if dataset == MACRO and any(e.done for e in snapshot.evaluations):
        return "waiting until every dataset has a score…"
    if snapshot.running:
        return "waiting for the first score…"
    return "waiting for the first checkpoint…"


def _latest(by_mode: dict[Mode, tuple[Point, ...]], *, long: bool = False) -> Line:
    """Return the last value of each mode with its letter, and in words where there is room."""
    parts: list[Line] = []
    for mode in MODES:
        points = by_mode[mode]
        label = mode if long else mode[0].upper()
        if not points:
            text = f"{label} –"
        else:
            last = points[-1]
            text = f"{label} {words.score(last) if long else _short(last)}"
            if long and last.stderr is not None:
                text += f" ±{last.stderr:.3f}"
        parts.append(line((text, mode)))
    return joined(parts, "   " if long else " ")


def _short(point: Point) -> str:
    if point.value is None:
        return "–"
    return f"{point.value:.2f}" if point.complete else f"~{point.value:.2f}"


class Legend(Painted):
    """What the marks mean."""

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return one line, shorter where there is little room."""
        gap = "   "
        full = line(
            " ",
            ("C ─●─ closed (accuracy)", "closed"),
            gap,
            ("O ·•· open", "open"),
            gap,
            ("G ◆ gold standard", "gold"),
            gap,
            ("○ ◇ ~ not complete yet", "dim"),
            gap,
            ("j k", "key"),
            (" select", "dim"),
        )
        short = line(
            " ",
            ("C ─●─ closed", "closed"),
            "  ",
            ("O ·•· open", "open"),
            "  ",
            ("G ◆ gold", "gold"),
            "  ",
            ("○ ◇ ~ not complete", "dim"),
            "  ",
            ("j k", "key"),
            (" select", "dim"),
        )
        return [first_that_fits(width, (full, short))]


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
    if point.value is None:
        return "–"
    text = f"{point.value:.2f}".replace("0.", ".", 1) if 0 <= point.value < 1 else "1.0"
    if point.value < 0 or point.value > 1:
        text = f"{point.value:.1f}"
    return text if point.complete else f"~{text}"
