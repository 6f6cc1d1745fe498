"""Which dataset moves, which is noise? One chart per dataset and the macro mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Grid, Horizontal
from textual.events import Resize

from ctv_engine.store.rows import MACRO, MODES, Mode
from ctv_tui.data import Snapshot
from ctv_tui.screens.actions import Action, pane_action
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.chart import Chart
from ctv_tui.widgets.curves import Curves, View, followed, zoomed
from ctv_tui.widgets.dataset_list import DatasetList
from ctv_tui.widgets.large_chart import LargeChart
from ctv_tui.widgets.legend import SMOOTHINGS, Legend, LegendData

__all__ = ["DatasetList", "Trajectories"]

GRID_CHARTS = 6
GRID_COLUMNS = 3
_GRID_LEAST = (100, 27)
_LIST_LEAST_WIDTH = 72


def _action(name: str, keys: tuple[str, ...], shown: str, description: str) -> Action:
    return pane_action(name, keys, shown, description, tab="trajectories")


class Trajectories(Pane):
    """A grid of charts, or one large chart beside a list."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        _action("large", ("enter",), "enter", "one large chart, and back"),
        _action("back", ("escape",), "esc", "back to all charts"),
        _action("right", ("right", "l"), "→ l", "cursor to the next checkpoint; next chart"),
        _action("left", ("left", "h"), "← h", "cursor to the one before; previous chart"),
        _action("axis", ("x",), "x", "axis: training step or time"),
        _action("smooth", ("tilde",), "~", "smoothing: none, or an average of 5 or 15"),
        _action("hide_closed", ("c",), "c", "hide or show closed"),
        _action("hide_open", ("o",), "o", "hide or show open"),
        _action("hide_gold", ("d",), "d", "hide or show gold"),
        _action("only_closed", ("C",), "C", "closed alone, or all"),
        _action("only_open", ("O",), "O", "open alone, or all"),
        _action("only_gold", ("D",), "D", "gold alone, or all"),
        _action("overlay", ("r",), "r", "lay another run over this one"),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._macro = Chart(id="macro-chart")
        self._charts = [Chart(classes="dataset-chart") for _ in range(GRID_CHARTS)]
        self._single = LargeChart(id="single-chart")
        self._list = DatasetList(id="dataset-list")
        self._legend = Legend(id="legend")
        self._grid = Grid(*self._charts, id="dataset-grid")
        self._beside = Horizontal(self._list, self._single, id="beside")
        self._curves = Curves()
        self._view = View()
        self._selected = 0
        self._large = False
        self._cursor: int | None = None
        self._overlay = 0
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out both arrangements; one of them is displayed."""
        yield self._macro
        yield self._grid
        yield self._beside
        yield self._legend

    def on_resize(self, event: Resize) -> None:
        """Choose the arrangement."""
        self._arrange()
        self.update_view()

    @property
    def _roomy(self) -> bool:
        return self.size.width >= _GRID_LEAST[0] and self.size.height >= _GRID_LEAST[1]

    def _arrange(self) -> None:
        """Show the grid where there is room for it; ``enter`` gives one chart all of the room."""
        grid = self._roomy and not self._large
        self._macro.display = self._grid.display = grid
        self._beside.display = not grid
        fits = self.size.width >= _LIST_LEAST_WIDTH
        self._list.display = fits and (self._roomy or not self._large)

    # --- what is shown ------------------------------------------------------------------------

    def update_view(self) -> None:
        """Hand each chart its series."""
        snapshot = self._snapshot
        if snapshot is None or not self.size.width:
            return
        names = self._names(snapshot)
        self._selected = min(self._selected, len(names) - 1)
        self._choose_overlay(snapshot)
        shown = (
            snapshot.trajectories,
            snapshot.datasets,
            snapshot.checkpoints,
            snapshot.source.health,
            bool(snapshot.running),
            (self._view, self._selected, self._cursor, self._large, self.size),
        )
        if self._is_shown(shown):
            return
        self._shown = shown
        self._curves.prepare(snapshot, self._view)
        place = ""
        if self._beside.display:
            self._list.show(snapshot, names, self._selected)
            dataset = names[self._selected]
            self._single.show(self._curves.large(dataset, self._cursor_step(dataset)))
        else:
            place = self._show_grid(names)
        self._legend.show(
            LegendData(
                view=self._view,
                large=self._beside.display,
                enter="large" if not self._large else "all charts" if self._roomy else "list",
                place=place,
                went_back_s=self._curves.went_back_s,
                runs_to_overlay=bool(snapshot.other_runs),
            )
        )

    def _is_shown(self, wanted: tuple[object, ...]) -> bool:
        before = self._shown
        same = len(before) == len(wanted) and all(
            one is two or (not isinstance(one, tuple) and one == two)
            for one, two in zip(before[:-1], wanted[:-1], strict=True)
        )
        return same and before[-1] == wanted[-1]

    def _show_grid(self, names: Sequence[str]) -> str:
        """Fill the grid with the page of the selected dataset; return which datasets these are."""
        self._macro.show(self._curves.chart(MACRO, long=True), selected=self._selected == 0)
        first = 1 + max(0, self._selected - 1) // GRID_CHARTS * GRID_CHARTS
        shown = names[first : first + GRID_CHARTS]
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
                chart.show(self._curves.chart(shown[number]), selected=selected)
        if len(names) - 1 <= GRID_CHARTS:
            return ""
        return f"datasets {first}–{first + len(shown) - 1} of {len(names) - 1}"

    def _names(self, snapshot: Snapshot) -> list[str]:
        scored = [t.dataset for t in snapshot.trajectories]
        return list(dict.fromkeys([MACRO, *snapshot.datasets, *scored]))

    def _cursor_step(self, dataset: str) -> int | None:
        """Return the step under the cursor: the newest until it was moved."""
        steps = self._curves.steps(dataset)
        if not steps:
            return None
        wanted = steps[-1] if self._cursor is None else self._cursor
        return min(steps, key=lambda step: abs(step - wanted))

    # --- actions ------------------------------------------------------------------------------

    def move(self, by: int) -> None:
        """Select another dataset."""
        self.select(self._selected + by)

    def select(self, index: int) -> None:
        """Select a dataset by its place in the list; 0 is the macro mean."""
        if self._snapshot is not None:
            last = len(self._names(self._snapshot)) - 1
            self._selected = max(0, min(last, index))
            self.update_view()

    def on_dataset_list_chosen(self, message: DatasetList.Chosen) -> None:
        """Select the dataset that was clicked."""
        message.stop()
        self.select(message.index)

    def _set(self, view: View) -> None:
        self._view = view
        self.update_view()

    def do_large(self) -> None:
        """Give the selected chart all of the room, or take it back."""
        self._large = not self._large
        self._arrange()
        self.update_view()

    def do_back(self) -> None:
        """Go back to all charts."""
        if self._large:
            self.do_large()

    def do_right(self) -> None:
        """Move the cursor to the next checkpoint, or select the next chart."""
        self._move_cursor(1)

    def do_left(self) -> None:
        """Move the cursor to the checkpoint before, or select the chart before."""
        self._move_cursor(-1)

    def _move_cursor(self, by: int) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        if not self._beside.display:
            self.move(by)
            return
        dataset = self._names(snapshot)[self._selected]
        steps, here = self._curves.steps(dataset), self._cursor_step(dataset)
        if here is None:
            return
        place = max(0, min(len(steps) - 1, steps.index(here) + by))
        self._cursor = None if place == len(steps) - 1 else steps[place]
        at = self._curves.x_of(steps[place])
        if self._view.zoom and at is not None:
            self._view = replace(self._view, zoom=followed(self._view.zoom, at))
        self.update_view()

    def do_axis(self) -> None:
        """Change between step and time."""
        axis = self._view.axis
        self._set(replace(self._view, axis="time" if axis == "step" else "step", zoom=None))

    def do_smooth(self) -> None:
        """Take the next smoothing."""
        at = SMOOTHINGS.index(self._view.span)
        self._set(replace(self._view, span=SMOOTHINGS[(at + 1) % len(SMOOTHINGS)]))

    def do_hide_closed(self) -> None:
        """Hide or show closed."""
        self._set(replace(self._view, hidden=self._view.hidden ^ {"closed"}))

    def do_hide_open(self) -> None:
        """Hide or show open."""
        self._set(replace(self._view, hidden=self._view.hidden ^ {"open"}))

    def do_hide_gold(self) -> None:
        """Hide or show gold."""
        self._set(replace(self._view, hidden=self._view.hidden ^ {"gold"}))

    def do_only_closed(self) -> None:
        """Show closed alone, or everything."""
        self._only("closed")

    def do_only_open(self) -> None:
        """Show open alone, or everything."""
        self._only("open")

    def do_only_gold(self) -> None:
        """Show gold alone, or everything."""
        self._only("gold")

    def _only(self, mode: Mode) -> None:
        others = frozenset(MODES) - {mode}
        hidden: frozenset[Mode] = frozenset() if self._view.hidden == others else others
        self._set(replace(self._view, hidden=hidden))

    def do_overlay(self) -> None:
        """Lay the next other run over this one; after the last of them all, then none."""
        if self._snapshot is not None:
            count = len(self._snapshot.other_runs)
            choices = 1 + count + (count > 1)
            self._overlay = (self._overlay + 1) % choices
            self.update_view()

    def _choose_overlay(self, snapshot: Snapshot) -> None:
        runs = snapshot.other_runs
        if self._overlay > len(runs):
            chosen = runs
        else:
            chosen = runs[self._overlay - 1 : self._overlay] if self._overlay else ()
        if chosen != self._view.others:
            self._view = replace(self._view, others=chosen)

    def do_zoom_in(self) -> None:
        """Halve the range of steps around the cursor."""
        self._zoom(0.5)

    def do_zoom_out(self) -> None:
        """Double the range of steps."""
        self._zoom(2.0)

    def do_zoom_reset(self) -> None:
        """Show all steps."""
        self._set(replace(self._view, zoom=None))

    def _zoom(self, factor: float) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        step = self._cursor_step(self._names(snapshot)[self._selected])
        at = None if step is None else self._curves.x_of(step)
        if at is not None:
            zoom = zoomed(self._curves.x, self._curves.whole_x, at, factor)
            self._set(replace(self._view, zoom=zoom))
