"""Where the seconds go: prefill and decode per dataset, and how long open answers are."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.store.rows import MACRO
from ctv_tui.data import safe, words
from ctv_tui.data.safe_text import cells, pad
from ctv_tui.data.snapshot import Latency, LatencyReport, LengthBin
from ctv_tui.widgets.lines import RISING, Line, Piece, centred, framed, joined, line, more_below
from ctv_tui.widgets.painted import Painted

_NUMBERS_WIDTH = 11
_MANY_CAPPED = 0.05
_EMPTY = "waiting for a checkpoint with closed and open answers…"


class LatencyBars(Painted):
    """Closed above open for every dataset, on one scale."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._report: LatencyReport | None = None
        self._first = 0

    def show(self, report: LatencyReport | None) -> None:
        """Show ``report``."""
        if report is not self._report or not self._lines:
            self._report = report
            self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every dataset."""
        return 3 + (len(self._report.rows) if self._report else 1)

    def scroll_rows(self, by: int) -> None:
        """Move by datasets."""
        self._first = max(0, self._first + 2 * by)
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed bars."""
        report = self._report
        title = line(("seconds per item", "title"))
        if report is None:
            return framed(centred(_EMPTY, width - 2, height - 2), width, height, title=title)
        title = line(*title, f" · checkpoint-{report.step}")
        room = (height - 3) // 2 * 2
        self._first = max(0, min(self._first, len(report.rows) - room))
        rows = report.rows[self._first : self._first + room]
        body = bar_rows(rows, _longest(report.rows), width - 2)
        left = len(report.rows) - self._first
        more = more_below(-(-left // 2), room // 2)
        hint = line(("enter", "key"), (" one part alone", "dim"))
        rights = [joined([more, hint], (" · ", "dim")), more or hint]
        return framed(body, width, height, title=title, rights=rights)


def _longest(rows: Sequence[Latency]) -> float:
    return max((row.total_s or 0.0 for row in rows), default=0.0) or 1.0


def bar_rows(rows: Sequence[Latency], longest_s: float, width: int) -> list[Line]:
    """Return a head and one bar per row, with prefill, decode and their sum as numbers."""
    names = [_name(row) for row in rows]
    label = min(18, max(map(cells, names), default=0)) + 2
    numbers = 3 * _NUMBERS_WIDTH if width - label - 2 - 3 * _NUMBERS_WIDTH >= 20 else _NUMBERS_WIDTH
    columns = max(1, width - label - 4 - numbers)
    wide = numbers > _NUMBERS_WIDTH
    legend = line(("▓", "prefill"), (" prefill  ", "dim"), ("█", "decode"), (" decode", "dim"))
    heads = ["prefill", "decode", "per item"] if wide else ["per item"]
    head = line(
        " " * (label + 2),
        *legend,
        " " * max(0, columns + 1 - sum(cells(t) for t, _ in legend)),
        *((pad(h, _NUMBERS_WIDTH, right=True), "dim") for h in heads),
    )
    lines = [head]
    previous = None
    for row, name in zip(rows, names, strict=True):
        prefill = round(columns * (row.prefill_s or 0.0) / longest_s)
        decode = round(columns * (row.total_s or 0.0) / longest_s) - prefill
        if row.prefill_s and not prefill:
            prefill, decode = 1, max(0, decode - 1)
        values = [row.prefill_s, row.decode_s, row.total_s] if wide else [row.total_s]
        texts = [words.small_seconds(value) for value in values]
        if wide and row.mode == "closed" and row.decode_s is None:
            texts[1] = "none"
        lines.append(
            line(
                pad(f" {name}" if row.dataset != previous else "", label),
                (row.mode[0].upper(), row.mode),
                " ",
                ("▓" * prefill, "prefill"),
                ("█" * decode, "decode"),
                " " * (columns - prefill - decode + 1),
                *(
                    (pad(t, _NUMBERS_WIDTH, right=True), "" if t[:1].isdigit() else "dim")
                    for t in texts
                ),
            )
        )
        previous = row.dataset
    return lines


def _name(row: Latency) -> str:
    return "all items" if row.dataset == MACRO else safe(row.dataset)


class LengthHistogram(Painted):
    """Output tokens of open answers in bins that double; closed has always one."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._report: LatencyReport | None = None

    def show(self, report: LatencyReport | None) -> None:
        """Show ``report``."""
        if report is not self._report or not self._lines:
            self._report = report
            self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed histogram."""
        report = self._report
        bins = report.lengths if report else ()
        body = histogram_rows(bins, width - 2, height - 2)
        note = line(("C", "closed"), (" closed: always 1 token", "dim"))
        rights = [note]
        if report is not None and report.capped is not None:
            share = f"{words.per_cent(report.capped)} at the limit"
            capped = line((share, "warning" if report.capped > _MANY_CAPPED else "dim"))
            limit = line((f" of {report.limit}", "dim")) if report.limit else ()
            rights = [
                joined([(*capped, *limit), note], (" · ", "dim")),
                joined([capped, note], (" · ", "dim")),
                capped,
            ]
        title = line(("output tokens of open answers", "title"))
        return framed(body, width, height, title=title, rights=rights)


def histogram_rows(bins: Sequence[LengthBin], width: int, height: int) -> list[Line]:
    """Return one bar per bin with its count on top and its bounds below."""
    if not bins:
        return centred("waiting for open answers…", width, height)
    if height < 3:
        return []
    step = max(6, min(12, (width - 2) // max(len(bins), 8)))
    shown = bins[: max(1, (width - 2) // step)]
    rows_high = height - 2
    most = max(b.count for b in bins) or 1
    levels = [round(b.count / most * rows_high * 8) or int(b.count > 0) for b in shown]
    tops = [rows_high - -(-level // 8) for level in levels]
    lines: list[Line] = []
    for y in range(-1, rows_high):
        row: list[Piece] = []
        for found, level, top in zip(shown, levels, tops, strict=True):
            if y == top - 1:
                row.append((pad(f"{found.count}".center(step - 1), step), ""))
                continue
            eighths = max(0, min(8, level - 8 * (rows_high - 1 - y)))
            row.append((pad(RISING[eighths] * (step - 2), step), "open"))
        lines.append(line(" ", *row))
    labels = "".join(pad(_bounds(b).center(step - 2), step) for b in shown)
    lines.append(line((f" {labels}", "dim")))
    return lines[:height]


def _bounds(found: LengthBin) -> str:
    return str(found.low) if found.low == found.high else f"{found.low}–{found.high}"
