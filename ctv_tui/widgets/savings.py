"""What closed saves, in a sentence each: against this engine's open mode and against batch 1."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_tui.data import safe, words
from ctv_tui.data.snapshot import LatencyReport, Saving, Snapshot
from ctv_tui.data.text import saving_words
from ctv_tui.widgets.lines import Line, first_that_fits, fitted, line
from ctv_tui.widgets.painted import Painted

HOW_TO_MEASURE = (
    "ctv-tui eval CHECKPOINT --suite SUITE --db b1.db --batch-size 1 --no-pairing",
    "ctv-tui --compare b1.db",
)
"""What gives the baseline: a second file, then both files in one dashboard."""


class SavingLines(Painted):
    """Two savings; where the baseline was not measured, how to measure it."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._report: LatencyReport | None = None
        self._savings: tuple[Saving, ...] = ()
        self._partial = ""

    def show(self, snapshot: Snapshot) -> None:
        """Show the savings of the snapshot."""
        self._report, self._savings = snapshot.latency, snapshot.savings
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

    @property
    def rows_wanted(self) -> int:
        """How many rows the sentences take."""
        if self._report is None or self._report.saving is None:
            return 1
        return 2 if self._saving("baseline").share is not None else 3

    def _saving(self, against: str) -> Saving:
        found = (one for one in self._savings if one.against == against)
        return next(found, Saving("own" if against == "own" else "baseline"))

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the sentences, shorter where there is little room."""
        if self._report is None or self._report.saving is None:
            return [line(" ", ("no checkpoint has closed and open answers yet", "dim"))]
        partial = line((f" · so far: {self._partial}", "warning")) if self._partial else ()
        own = own_sentence(self._saving("own"), self._report, partial, width)
        return [own, *baseline_sentences(self._saving("baseline"), width)]


def own_sentence(saving: Saving, report: LatencyReport, partial: Line, width: int) -> Line:
    """Return the saving against this engine's own best open mode."""
    share = report.saving if saving.share is None else saving.share
    assert share is not None
    closed, opened = report.row("closed"), report.row("open")
    closed_s = closed.total_s if closed else None
    open_s = saving.open_s or (opened.total_s if opened else None)
    by = f"{safe(saving.run)}'s open" if saving.run else "open"
    head = line(" ", (f"closed is {saving_words(share)} than {by}", "strong"))
    numbers = _seconds(closed_s, open_s)
    long = line((f", this engine's own best open mode{_noted(saving)}", "dim"))
    notes = line((f"; both batched{_noted(saving)}", "dim"))
    return first_that_fits(
        width,
        (
            (*head, *numbers, *long, *partial),
            (*head, *numbers, *notes, *partial),
            (*head, *numbers, *partial),
            (*head, *numbers[:-1], *partial),
            (*head, *partial),
            *(() if partial else ((*head, *numbers), head)),
        ),
    )


def baseline_sentences(saving: Saving, width: int) -> list[Line]:
    """Return the saving against one open answer at a time, or how to measure it."""
    if saving.share is None:
        first, second = HOW_TO_MEASURE
        missing = line(" against batch-1 eager open: ", ("not measured", "warning"))
        then = line("; run this, then ", (second, "key"), ":")
        short = line("; run this, then add ", ("--compare b1.db", "key"), ":")
        return [
            first_that_fits(width, ((*missing, *then), (*missing, *short), missing)),
            fitted(line("   ", (first, "key")), width),
        ]
    where = f" at checkpoint-{saving.step}" + (f", {safe(saving.run)}" if saving.run else "")
    head = line(" against batch-1 eager open: ", (saving_words(saving.share), "strong"))
    numbers = _seconds(saving.closed_s, saving.open_s)
    full = line((where + _noted(saving), "dim"))
    short = line((where, "dim"))
    return [
        first_that_fits(
            width, ((*head, *numbers, *full), (*head, *numbers, *short), (*head, *numbers), head)
        )
    ]


def _seconds(closed_s: float | None, open_s: float | None) -> Line:
    return line(
        ": ",
        (words.small_seconds(closed_s), "closed"),
        " against ",
        (words.small_seconds(open_s), "open"),
        " per item",
    )


def _noted(saving: Saving) -> str:
    return "".join(f"; {safe(note)}" for note in saving.notes)
