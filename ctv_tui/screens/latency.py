"""Where do the seconds go? Prefill against decode, and how long open answers are."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.events import Resize

from ctv_tui.screens.actions import Action, pane_action
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.bars import LatencyBars, LengthHistogram
from ctv_tui.widgets.savings import SavingLines
from ctv_tui.widgets.work_table import WorkTable

_LEAST_HISTOGRAM_ROWS = 6


class LatencyPane(Pane):
    """Two sentences, the bars, the histogram, the table of work; one part alone on demand."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        pane_action(
            "large",
            ("enter",),
            "enter",
            "one part alone, then the next",
            tab="latency",
            footer="one part",
        ),
        pane_action("back", ("escape",), "esc", "back to all parts", tab="latency"),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._saving = SavingLines(id="saving")
        self._bars = LatencyBars(id="latency-bars")
        self._lengths = LengthHistogram(id="lengths")
        self._work = WorkTable(id="work")
        self._alone = 0

    def compose(self) -> ComposeResult:
        """Stack the four."""
        yield self._saving
        yield self._bars
        yield self._lengths
        yield self._work

    def on_resize(self, event: Resize) -> None:
        """Share the rows anew."""
        self._share_rows()

    def update_view(self) -> None:
        """Hand each widget the report."""
        if self._snapshot is None:
            return
        report = self._snapshot.latency
        self._saving.show(self._snapshot)
        self._bars.show(report)
        self._lengths.show(report)
        self._work.show(report)
        self._share_rows()

    def _share_rows(self) -> None:
        """Give the bars what they want, as far as something is left for the others."""
        if not self.size.height:
            return
        self._saving.styles.height = self._saving.rows_wanted
        parts = (self._bars, self._lengths, self._work)
        for number, part in enumerate(parts, 1):
            part.display = self._alone in (0, number)
            part.styles.height = "1fr"
        if self._alone:
            return
        self._work.styles.height = WorkTable.ROWS
        fixed = self._saving.rows_wanted + WorkTable.ROWS + _LEAST_HISTOGRAM_ROWS
        room = self.size.height - fixed
        self._work.display = room >= _LEAST_HISTOGRAM_ROWS
        if not self._work.display:
            room += WorkTable.ROWS
        wanted = self._bars.rows_wanted
        # Closed and open of a dataset stand together, so an odd row would stay empty.
        self._bars.styles.height = wanted if room >= wanted else max(3, room - (room - 3) % 2)

    def move(self, by: int) -> None:
        """Scroll the bars."""
        self._bars.scroll_rows(by)

    def do_large(self) -> None:
        """Show one part alone, then the next, then all of them."""
        self._alone = (self._alone + 1) % 4
        self._share_rows()

    def do_back(self) -> None:
        """Show all parts."""
        self._alone = 0
        self._share_rows()
