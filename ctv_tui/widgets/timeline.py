"""Who worked and who waited: one row per worker, closed and open side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.store.rows import SpanKind
from ctv_tui.data import safe, words
from ctv_tui.data.safe_text import pad
from ctv_tui.data.snapshot import Lane, Timeline
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import (
    Line,
    Piece,
    centred,
    first_that_fits,
    fitted,
    framed,
    line,
    spread,
)
from ctv_tui.widgets.painted import Painted

_LOOKS: dict[SpanKind, tuple[str, Role]] = {
    "load": ("▒", "load"),
    "input": ("░", "input"),
    "prefill": ("▓", "prefill"),
    "decode": ("█", "decode"),
    "score": ("▪", "dim"),
}
_WAIT: Piece = ("╱", "wait")
_WAIT_WIDTH = 8
_FINISHED = ("done", "failed")
FIXED_ROWS = 5
"""Rows besides the lanes: frame, heads, ratio, legend."""


class TimelineView(Painted):
    """Draws the time lines of the latest checkpoint."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._timelines: tuple[Timeline, ...] = ()

    def show(self, timelines: tuple[Timeline, ...]) -> None:
        """Show ``timelines``; nothing is done if they are the same."""
        if timelines is not self._timelines or not self._lines:
            self._timelines = timelines
            self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every lane."""
        return FIXED_ROWS + max(1, len(_workers(self._timelines)))

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed time lines."""
        body = timeline_body(self._timelines, width - 2, height - 2)
        step = f" · checkpoint-{self._timelines[0].step}" if self._timelines else ""
        return framed(body, width, height, title=line(("time line", "title"), step))


def timeline_body(timelines: Sequence[Timeline], width: int, height: int) -> list[Line]:
    """Return head, lanes, ratio and legend for an area."""
    if not any(t.lanes for t in timelines):
        return centred("waiting for the first batch of a checkpoint…", width, height)
    workers = _workers(timelines)
    label_width = min(12, max(len(name) for name in workers.values()) + 2)
    half = (width - label_width - 3 * (len(timelines) - 1)) // len(timelines)
    room = max(1, height - 3)
    shown = list(workers)[: room if len(workers) <= room else room - 1]
    rows = [_row("", label_width, [_head(t, half) for t in timelines])]
    for worker in shown:
        lanes = [_lane(t, worker, half) for t in timelines]
        rows.append(_row(workers[worker], label_width, lanes))
    if len(shown) < len(workers):
        rows.append(line("", (f" … {len(workers) - len(shown)} more workers", "dim")))
    rows.append(_row("", label_width, [_ratio(t, half) for t in timelines]))
    rows.append(_legend(width))
    return rows[:height]


def _workers(timelines: Sequence[Timeline]) -> dict[int, str]:
    """Return every worker's name by its id."""
    return {lane.worker_id: safe(lane.device) for timeline in timelines for lane in timeline.lanes}


def _row(label: str, label_width: int, parts: Sequence[Line]) -> Line:
    row = line((pad(f" {label}", label_width), ""))
    for number, part in enumerate(parts):
        row = (*row, (" │ ", "frame"), *part) if number else (*row, *part)
    return row


def _head(timeline: Timeline, width: int) -> Line:
    long = f"{timeline.mode} {words.small_seconds(timeline.extent_s)}"
    if timeline.state == "running":
        return spread(line((long, timeline.mode)), line(("running", "dim")), width)
    idle = f"idle {words.per_cent(timeline.idle_fraction)}"
    return spread(line((long, timeline.mode)), line((idle, "wait")), width)


def _ratio(timeline: Timeline, width: int) -> Line:
    if not timeline.makespan_s or not timeline.ideal_s:
        return fitted((), width)
    ratio = timeline.makespan_s / timeline.ideal_s
    return first_that_fits(
        width, (line((f"makespan/ideal {ratio:.3f}", "dim")), line((f"{ratio:.3f}", "dim")))
    )


def _lane(timeline: Timeline, worker_id: int, width: int) -> Line:
    lane = next((one for one in timeline.lanes if one.worker_id == worker_id), None)
    if lane is None or timeline.extent_s <= 0:
        return fitted((), width)
    columns = max(1, width - _WAIT_WIDTH)
    waits = timeline.state in _FINISHED and bool(lane.wait_s)
    pieces = lane_pieces(lane, timeline.extent_s, columns, waits=waits)
    seconds = words.small_seconds(lane.wait_s) if lane.wait_s is not None else ""
    role: Role = "wait" if waits else "dim"
    return (*pieces, (pad(seconds, _WAIT_WIDTH, right=True), role))


def lane_pieces(lane: Lane, extent_s: float, columns: int, *, waits: bool) -> Line:
    """Return a lane as one cell per column: the kind that fills most of it, a blank or a wait."""
    column_s = extent_s / columns
    cells: list[Piece] = []
    at = 0
    for column in range(columns):
        start, end = column * column_s, (column + 1) * column_s
        while at < len(lane.segments) and lane.segments[at].end_s <= start:
            at += 1
        best: tuple[float, SpanKind | None] = (0.25 * column_s, None)
        for segment in lane.segments[at:]:
            if segment.start_s >= end:
                break
            overlap = min(end, segment.end_s) - max(start, segment.start_s)
            if overlap > best[0]:
                best = (overlap, segment.kind)
        if best[1] is not None:
            cells.append(_LOOKS[best[1]])
        elif waits and start + column_s / 2 >= lane.last_end_s:
            cells.append(_WAIT)
        else:
            cells.append((" ", ""))
    return _joined(cells)


def _joined(cells: Sequence[Piece]) -> Line:
    pieces: list[Piece] = []
    for text, role in cells:
        if pieces and pieces[-1][1] == role:
            pieces[-1] = (pieces[-1][0] + text, role)
        else:
            pieces.append((text, role))
    return tuple(pieces)


def _legend(width: int) -> Line:
    marks: list[Piece | str] = [" "]
    for kind in ("load", "input", "prefill", "decode"):
        look = _LOOKS[kind]
        marks += [look, (f" {kind}  ", "dim")]
    marks += [_WAIT, (" wait", "dim")]
    note = "  from the engine's time stamps: own last batch … last batch of all"
    return first_that_fits(width, (line(*marks, (note, "dim")), line(*marks)))
