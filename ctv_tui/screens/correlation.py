"""How far can I trust the proxy? Rolling and whole-run agreement with gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize

from ctv_engine.store.rows import MACRO
from ctv_tui.data import Snapshot
from ctv_tui.data.snapshot import FEW
from ctv_tui.data.text import scope_name
from ctv_tui.screens.actions import Action, pane_action
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.axes import Range, step_range
from ctv_tui.widgets.chart import ChartData
from ctv_tui.widgets.lines import Line, first_that_fits, joined, line
from ctv_tui.widgets.painted import Painted
from ctv_tui.widgets.scope_table import ScopeRow, ScopeTable, scope_rows_of
from ctv_tui.widgets.tracking import (
    PROXIES,
    PlotextChart,
    empty_sentence,
    rolling_chart,
    scatter_chart,
)

_SIDE_BY_SIDE = 100
_OLDER = "the engine that wrote this counted no pairs: see ctv-tui report"


def _action(
    name: str, keys: tuple[str, ...], shown: str, description: str, footer: str = ""
) -> Action:
    return pane_action(name, keys, shown, description, tab="correlation", footer=footer)


class CorrelationPane(Pane):
    """A verdict in words, three charts of the selected scope, a table of all scopes."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        _action("right", ("right", "l"), "→ l", "next chart", "chart"),
        _action("left", ("left", "h"), "← h", "previous chart"),
        _action("large", ("enter",), "enter", "the chart alone, and back", "alone"),
        _action("back", ("escape",), "esc", "back to charts and table"),
        _action("turn", ("v",), "v", "the table's other columns", "columns"),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._verdict = Verdict(id="verdict")
        self._rolling = [PlotextChart(id=f"rolling-{proxy}") for proxy in PROXIES]
        self._scatter = PlotextChart(id="scatter")
        self._charts = [*self._rolling, self._scatter]
        self._row = Horizontal(*self._charts, id="rolling")
        self._table = ScopeTable(id="scopes")
        self._rows: tuple[ScopeRow, ...] = ()
        self._steps: Range | None = None
        self._ranges: dict[str, tuple[Range, Range]] = {}
        self._selected = 0
        self._chart = 0
        self._alone = False

    def compose(self) -> ComposeResult:
        """Stack the three."""
        yield self._verdict
        yield self._row
        yield self._table

    def on_resize(self, event: Resize) -> None:
        """Share the room anew."""
        self.update_view()

    def update_view(self) -> None:
        """Hand each widget its part."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        self._rows = scope_rows_of(snapshot)
        self._selected = max(0, min(self._selected, len(self._rows) - 1))
        scope = self._rows[self._selected].scope if self._rows else MACRO
        self._verdict.show(snapshot, scope)
        self._steps = step_range(
            [p.step for t in snapshot.trajectories for p in t.points], self._steps
        )
        for number, (proxy, chart) in enumerate(zip(PROXIES, self._rolling, strict=True)):
            data = rolling_chart(snapshot, scope, proxy, self._steps)
            chart.show(self._numbered(data, number), selected=self._chart == number)
        scatter = scatter_chart(snapshot, scope, self._ranges.get(scope))
        self._ranges[scope] = scatter.x, scatter.y
        self._scatter.show(self._numbered(scatter, 2), selected=self._chart == 2)
        self._table.show(snapshot, self._rows, self._selected)
        self._share_room()

    @property
    def _one(self) -> bool:
        return self._alone or self.size.width < _SIDE_BY_SIDE

    def _numbered(self, data: ChartData, number: int) -> ChartData:
        """Say in a chart's title that there are more, where it is the only one to be seen."""
        if not self._one:
            return data
        place = f" {number + 1}/{len(self._charts)} "
        return replace(data, title=line(*data.title, (place, "dim"), ("← →", "key")))

    def _share_room(self) -> None:
        """Show three charts side by side, or the chosen one where they would be too narrow."""
        for number, chart in enumerate(self._charts):
            chart.display = not self._one or number == self._chart
        self._table.display = not self._alone
        room = (self.size.height - 1) // 2
        if room > 0:
            self._table.styles.height = min(room, self._table.rows_wanted)

    def move(self, by: int) -> None:
        """Select another scope."""
        self.select(self._selected + by)

    def select(self, index: int) -> None:
        """Select a scope by its place in the table."""
        self._selected = max(0, min(len(self._rows) - 1, index))
        self.update_view()

    def on_scope_table_chosen(self, message: ScopeTable.Chosen) -> None:
        """Select the row that was clicked."""
        message.stop()
        self.select(message.index)

    def do_right(self) -> None:
        """Choose the next chart."""
        self._choose(1)

    def do_left(self) -> None:
        """Choose the previous chart."""
        self._choose(-1)

    def _choose(self, by: int) -> None:
        self._chart = (self._chart + by) % len(self._charts)
        self.update_view()

    def do_large(self) -> None:
        """Show the chosen chart alone, or everything again."""
        self._alone = not self._alone
        self.update_view()

    def do_back(self) -> None:
        """Show everything."""
        self._alone = False
        self.update_view()

    def do_turn(self) -> None:
        """Show the table's other columns."""
        self._table.turn()


class Verdict(Painted):
    """One plain sentence, and a warning where there are too few checkpoints."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._sentences: tuple[tuple[Line, ...], tuple[Line, ...]] = ((), ())

    def show(self, snapshot: Snapshot, scope: str) -> None:
        """Say how well each proxy orders checkpoints as gold does."""
        self._sentences = verdict(snapshot, scope), _warning(snapshot, scope)
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the sentence and the warning."""
        return [first_that_fits(width, choices) for choices in self._sentences]


def verdict(snapshot: Snapshot, scope: str) -> tuple[Line, ...]:
    """Return the sentence in its long and its short form."""
    counted = []
    for proxy in PROXIES:
        found = snapshot.track(proxy, scope)
        if found is not None and found.pairs:
            counted.append((proxy, f"{found.agreeing} of {found.pairs}"))
    if not counted:
        older = not snapshot.evidence and any(c.r is not None for c in snapshot.whole)
        return (line(" ", (_OLDER if older else empty_sentence(snapshot), "dim")),)
    where = "" if scope == MACRO else f"{scope_name(scope)}: "
    (first, count), *rest = counted
    sentence = line(
        f" {where}", (first, first), " orders ", (count, "strong"),
        " checkpoint pairs as gold does",
    )  # fmt: skip
    others = [line((proxy, proxy), " ", (text, "strong")) for proxy, text in rest]
    short = [line((f"{proxy} {text}", proxy)) for proxy, text in counted]
    return (
        joined([sentence, *others], "; "),
        line(" pairs ordered as gold does: ", *joined(short, ", ")),
        line(" ", *joined(short, ", ")),
    )


def _warning(snapshot: Snapshot, scope: str) -> tuple[Line, ...]:
    known = [t for t in (snapshot.track(proxy, scope) for proxy in PROXIES) if t and t.n]
    if not known:
        return ((),)
    fewest = min(track.n for track in known)
    if fewest < FEW:
        count = "1 checkpoint has" if fewest == 1 else f"{fewest} checkpoints have"
        return (line(" ", (f"only {count} both scores: no verdict below {FEW}", "warning")),)
    text = f"over {fewest} checkpoints; two rising curves correlate anyway"
    return (
        line(" ", (f"{text}: look at the interval", "dim")),
        line(" ", (text, "dim")),
    )
