"""Where do the seconds go? Prefill against decode, and how long open answers are."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.events import Resize

from ctv_tui.data import words
from ctv_tui.data.snapshot import LatencyReport, Snapshot
from ctv_tui.data.text import saving_words
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.bars import LatencyBars, LengthHistogram
from ctv_tui.widgets.lines import Line, first_that_fits, line
from ctv_tui.widgets.painted import Painted

_LEAST_HISTOGRAM_ROWS = 6


class LatencyPane(Pane):
    """A sentence, the bars, the histogram."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._saving = Saving(id="saving")
        self._bars = LatencyBars(id="latency-bars")
        self._lengths = LengthHistogram(id="lengths")

    def compose(self) -> ComposeResult:
        """Stack the three."""
        yield self._saving
        yield self._bars
        yield self._lengths

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
        self._share_rows()

    def _share_rows(self) -> None:
        room = self.size.height - 1 - _LEAST_HISTOGRAM_ROWS
        if room > 0:
            self._bars.styles.height = min(room, self._bars.rows_wanted)

    def move(self, by: int) -> None:
        """Scroll the bars."""
        self._bars.scroll_rows(by)


class Saving(Painted):
    """Says in one sentence what closed saves."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._report: LatencyReport | None = None
        self._partial = ""

    def show(self, snapshot: Snapshot) -> None:
        """Show the saving of the snapshot's report."""
        self._report = snapshot.latency
        self._partial = ""
        if self._report is not None:
            step = self._report.step
            unfinished = [
                e
                for e in snapshot.evaluations
                if e.step == step and e.mode != "gold" and e.state == "running"
            ]
            self._partial = ", ".join(f"{e.mode} {e.progress * 100:.0f} % done" for e in unfinished)
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the sentence, shorter where there is little room."""
        report = self._report
        if report is None or report.saving is None:
            return [line(" ", ("no checkpoint has closed and open answers yet", "dim"))]
        closed, opened = report.row("closed"), report.row("open")
        closed_s = words.small_seconds(closed.total_s if closed else None)
        open_s = words.small_seconds(opened.total_s if opened else None)
        saving = saving_words(report.saving)
        partial = line((f" · so far: {self._partial}", "warning")) if self._partial else ()
        head = line(" ", (f"closed is {saving} than open", "strong"))
        numbers = line(": ", (closed_s, "closed"), " against ", (open_s, "open"), " per item")
        note = line((", both batched by this engine", "dim"))
        return [
            first_that_fits(
                width,
                (
                    (*head, *numbers, *note, *partial),
                    (*head, *numbers, *partial),
                    (*head, *numbers),
                ),
            )
        ]
