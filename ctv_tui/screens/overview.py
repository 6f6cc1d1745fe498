"""Is training going well, and is validation keeping up?"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize

from ctv_engine.store.rows import MODES, Mode
from ctv_tui.data import Snapshot, safe, words
from ctv_tui.data.hosts import grouped
from ctv_tui.data.pace import pace
from ctv_tui.data.snapshot import Point
from ctv_tui.screens.pane import Pane
from ctv_tui.screens.zoom import Zoom
from ctv_tui.widgets.axes import Range, score_range, step_range
from ctv_tui.widgets.chart import Chart, ChartData
from ctv_tui.widgets.event_list import LatestEvents
from ctv_tui.widgets.facts import Facts
from ctv_tui.widgets.lines import Line, joined, line
from ctv_tui.widgets.series import Dot, Series, Shape
from ctv_tui.widgets.strip import DeviceStrip

_FACTS_WIDTH, _FACTS_WIDE = 43, 60
_CHART_LEAST = 34
_SIDE_BY_SIDE = 100
_LEAST_BELOW = 4
_DRAWN: tuple[tuple[Mode, Shape], ...] = (
    ("open", "dotted"),
    ("closed", "solid"),
    ("gold", "diamonds"),
)
_MARKS: dict[Mode, str] = {"closed": "─●─", "open": "·•·", "gold": "◆"}


class Overview(Pane):
    """The macro mean's chart beside the numbers of now, above the machine and the latest events."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._chart = Chart(id="overview-chart")
        self._facts = Facts(id="facts")
        self._strip = DeviceStrip(id="strip", more=" on the tab GPUs")
        self._events = LatestEvents(id="latest-events")
        self._above = Horizontal(self._chart, self._facts, id="overview-above")
        self._below = Horizontal(self._strip, self._events, id="overview-below")
        self._steps: Range | None = None
        self._scores: Range | None = None
        self._zoom = Zoom()

    def compose(self) -> ComposeResult:
        """Stack the two halves."""
        yield self._above
        yield self._below

    def on_resize(self, event: Resize) -> None:
        """Share the room anew."""
        self._arrange()

    def do_zoom_in(self) -> None:
        """Show fewer steps."""
        self._zoom.zoom_in()
        self._draw()

    def do_zoom_out(self) -> None:
        """Show more steps."""
        self._zoom.zoom_out()
        self._draw()

    def do_zoom_reset(self) -> None:
        """Show all steps."""
        self._zoom.reset()
        self._draw()

    def _draw(self) -> None:
        if self._snapshot is not None:
            self._chart.show(self._chart_data(self._snapshot))

    def update_view(self) -> None:
        """Hand each widget its part."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        now = snapshot.read_at
        self._draw()
        self._facts.show(snapshot, pace(snapshot, now), now)
        hosts = grouped(snapshot.hosts, snapshot.devices, snapshot.timelines)
        self._strip.show(snapshot.devices, snapshot.timelines, hosts)
        self._events.show(snapshot.events, now)
        self._arrange()

    def _arrange(self) -> None:
        """Facts get what they want; the chart shrinks, and goes where it would say nothing."""
        width, height = self.size
        if not width or not height:
            return
        charted = width >= _FACTS_WIDTH + _CHART_LEAST
        self._chart.display = charted
        beside = width >= _SIDE_BY_SIDE
        facts = _FACTS_WIDE if width - _FACTS_WIDE >= 2 * _CHART_LEAST else _FACTS_WIDTH
        self._facts.styles.width = facts if charted else "1fr"
        devices = self._strip.rows_wanted
        wanted = max(devices, 8) if beside else devices + _LEAST_BELOW
        below = max(_LEAST_BELOW, min(wanted, height - self._facts.rows_wanted, height // 2))
        self._below.styles.height = below
        self._below.styles.layout = "horizontal" if beside else "vertical"
        both = beside or below >= 2 * _LEAST_BELOW - 1
        self._strip.display = both
        strip = min(devices, below - _LEAST_BELOW) if not beside else below
        self._strip.styles.height = max(3, strip)
        self._strip.styles.width = "2fr" if beside else "1fr"
        self._events.styles.width = "3fr" if beside else "1fr"

    def _chart_data(self, snapshot: Snapshot) -> ChartData:
        by_mode = {mode: snapshot.points(mode) for mode in MODES}
        points = [point for mode in MODES for point in by_mode[mode]]
        self._scores = score_range([p.value for p in points if p.value is not None], self._scores)
        self._steps = step_range([p.step for p in points], self._steps)
        x = self._zoom.shown(self._steps, max((p.step for p in points), default=0))
        zoomed = line((f" · from step {x[0]:.0f}", "dim")) if self._zoom.power else ()
        return ChartData(
            title=line(("macro mean", "title"), *zoomed),
            rights=legends(by_mode),
            series=tuple(Series(mode, shape, _dots(by_mode[mode], x)) for mode, shape in _DRAWN),
            x=x,
            y=self._scores,
            empty=_waiting(snapshot),
        )


def _dots(points: tuple[Point, ...], x: Range) -> tuple[Dot, ...]:
    return tuple(
        Dot(float(p.step), p.value, hollow=not p.complete) for p in points if x[0] <= p.step <= x[1]
    )


def legends(by_mode: dict[Mode, tuple[Point, ...]]) -> tuple[Line, ...]:
    """Return each mode's letter, mark, name and last value; shorter ones leave some of them out."""
    long, marked, short = [], [], []
    for mode in MODES:
        last = words.score(by_mode[mode][-1]) if by_mode[mode] else "–"
        letter, mark = mode[0].upper(), _MARKS[mode]
        long.append(line((f"{letter} {mark} {mode} {last}", mode)))
        marked.append(line((f"{letter} {mark} {last}", mode)))
        short.append(line((f"{letter} {mark}", mode)))
    return tuple(joined(parts, "  ") for parts in (long, marked, short))


def _waiting(snapshot: Snapshot) -> str:
    if snapshot.source.health == "waiting":
        return f"waiting for the engine to create {safe(snapshot.source.path)}"
    if any(e.done for e in snapshot.evaluations):
        return "waiting until every dataset has a score…"
    return "waiting for the first score…" if snapshot.running else "waiting for a checkpoint…"
