"""Percentiles of the seconds per item, and counts of work, which mean the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ctv_engine.store.rows import Mode
from ctv_tui.data import words
from ctv_tui.data.safe_text import pad
from ctv_tui.data.snapshot import LatencyReport, Percentiles, WorkCounts
from ctv_tui.widgets.lines import Line, centred, framed, line
from ctv_tui.widgets.painted import Painted

_EMPTY = "waiting for a checkpoint with closed and open answers…"
_MODES: tuple[Mode, ...] = ("closed", "open")
MISSING = "–"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column; the one with the highest rank goes first where there is no room."""

    head: str
    width: int
    rank: int
    text: Callable[[Mode, Percentiles | None, WorkCounts | None], str]


def _percentile(name: str) -> Callable[[Mode, Percentiles | None, WorkCounts | None], str]:
    return lambda mode, found, work: words.small_seconds(getattr(found, name) if found else None)


def _count(name: str) -> Callable[[Mode, Percentiles | None, WorkCounts | None], str]:
    return lambda mode, found, work: MISSING if work is None else f"{getattr(work, name):,}"


def _padding(mode: Mode, found: Percentiles | None, work: WorkCounts | None) -> str:
    if work is not None and work.padding_share is None:
        return "paired" if mode == "open" and work.forwards else MISSING
    return words.per_cent(work.padding_share if work else None)


def _row_steps(mode: Mode, found: Percentiles | None, work: WorkCounts | None) -> str:
    return "none" if mode == "closed" and work else _count("row_steps")(mode, found, work)


def _written(mode: Mode, found: Percentiles | None, work: WorkCounts | None) -> str:
    if mode == "closed":
        return "1 each"
    return MISSING if work is None or work.output_tokens is None else f"{work.output_tokens:,}"


_COLUMNS = (
    _Column("p50", 10, 0, _percentile("p50_s")),
    _Column("p95", 10, 0, _percentile("p95_s")),
    _Column("p99", 10, 0, _percentile("p99_s")),
    _Column("padding", 10, 1, _padding),
    _Column("row-steps", 11, 2, _row_steps),
    _Column("tokens", 10, 3, _written),
    _Column("decoded", 10, 4, _count("images_decoded")),
    _Column("reused", 9, 5, _count("images_reused")),
    _Column("forwards", 11, 6, _count("forwards")),
    _Column("shared tokens", 15, 7, _count("shared_tokens")),
)


class WorkTable(Painted):
    """One row for closed, one for open."""

    ROWS = 5

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._report: LatencyReport | None = None

    def show(self, report: LatencyReport | None) -> None:
        """Show ``report``."""
        if report is not self._report or not self._lines:
            self._report = report
            self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table."""
        title = line(("seconds per item, and work", "title"))
        if self._report is None:
            body = centred(_EMPTY, width - 2, height - 2)
            return framed(body, width, height, title=title)
        body = work_rows(self._report, width - 2)
        long = line(("decoded, reused: pictures · tokens: written · padding of prefills", "dim"))
        short = line(("tokens: written · padding of prefills", "dim"))
        rights = [long, short] if len(columns_for(width - 2)) == len(_COLUMNS) else [short]
        if not self._report.work:
            rights = [line(("work was not counted", "dim"))]
        return framed(body, width, height, title=title, rights=rights)


def columns_for(width: int) -> list[_Column]:
    """Return the columns that there is room for."""
    columns = list(_COLUMNS)
    while columns and sum(column.width for column in columns) > width - 9:
        columns.remove(max(columns, key=lambda column: column.rank))
    return columns


def work_rows(report: LatencyReport, width: int) -> list[Line]:
    """Return the table's head and a row per mode, with the columns that there is room for."""
    columns = columns_for(width)
    head = line(" " * 8, *((pad(c.head, c.width, right=True), "dim") for c in columns))
    rows = [head]
    for mode in _MODES:
        found = next((one for one in report.percentiles if one.mode == mode), None)
        work = next((one for one in report.work if one.mode == mode), None)
        texts = [(column.text(mode, found, work), column.width) for column in columns]
        rows.append(
            line(
                (f" {mode:<7}", mode),
                *(
                    (pad(text, room, right=True), "" if text[:1].isdigit() else "dim")
                    for text, room in texts
                ),
            )
        )
    return rows
