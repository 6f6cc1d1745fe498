"""Who worked and who waited: one row per worker, closed and open on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.store.rows import SpanKind
from ctv_tui.data import safe, words
from ctv_tui.data.balance import Part, parts_of
from ctv_tui.data.hosts import HostUse, by_host, under_heading
from ctv_tui.data.safe_text import cells, pad
from ctv_tui.data.snapshot import Lane, Timeline
from ctv_tui.theme import Role
from ctv_tui.widgets.host_line import host_line
from ctv_tui.widgets.lines import (
    Line,
    Piece,
    centred,
    first_that_fits,
    fitted,
    framed,
    joined,
    line,
    spread,
    width_of,
)
from ctv_tui.widgets.scrolled import Scrolled

_LOOKS: dict[SpanKind, tuple[str, Role]] = {
    "load": ("▒", "load"),
    "input": ("░", "input"),
    "prefill": ("▓", "prefill"),
    "decode": ("█", "decode"),
    "score": ("▪", "dim"),
}
_WAIT: Piece = ("╱", "wait")
_WAIT_WIDTH = 8
_LABEL_WIDTH = 12
_LEAST_PART = 24
_DIVIDER: Piece = (" │ ", "frame")
_LEAST_KIND_SHARE = 0.25
_NAMED_MOST = 40


class TimelineView(Scrolled):
    """Draws the time lines of one checkpoint."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._timelines: tuple[Timeline, ...] = ()
        self._hosts: tuple[HostUse, ...] = ()

    def show(self, timelines: tuple[Timeline, ...], hosts: tuple[HostUse, ...] = ()) -> None:
        """Show ``timelines``, by ``hosts`` if any; nothing is done if they are the same."""
        taking_part = {lane.host for t in timelines for lane in t.lanes}
        hosts = tuple(one for one in hosts if one.host.name in taking_part)
        if timelines is not self._timelines or hosts != self._hosts or not self._lines:
            self._timelines, self._hosts = timelines, hosts
            self.redraw()

    def rows_wanted(self, width: int) -> int:
        """Return how many rows of ``width`` cells show every lane."""
        return 2 + body_rows(self._timelines, width - 2, self._hosts)

    @property
    def overflows(self) -> bool:
        """Whether there are more lanes than rows for them."""
        return self.size.height < self.rows_wanted(self.size.width)

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed time lines."""
        timelines, hosts = self._timelines, self._hosts
        lanes = len(_workers(timelines)) + len(hosts)
        room = height - 2 - body_rows(timelines, width - 2, hosts) + lanes
        first = self.clamped(lanes, max(1, room - 1))
        body = timeline_body(timelines, width - 2, height - 2, first if room > 0 else 0, hosts)
        step = f" · checkpoint-{timelines[0].step}" if timelines else ""
        keys = line(("[ ]", "key"), (" older, newer checkpoint", "dim")) if timelines else ()
        return framed(body, width, height, title=line(("time line", "title"), step), rights=[keys])


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A part with the cells that it gets; ``column_s`` is how long one of its columns is."""

    part: Part
    width: int

    @property
    def columns(self) -> int:
        return max(1, self.width - _WAIT_WIDTH)

    @property
    def column_s(self) -> float:
        return self.part.extent_s / self.columns


def body_rows(timelines: Sequence[Timeline], width: int, hosts: Sequence[HostUse] = ()) -> int:
    """Return how many rows :func:`timeline_body` takes for every lane."""
    workers = _workers(timelines)
    if not workers:
        return 4
    drawn = _drawn(parts_of(timelines), width - _label_width(workers) - 1)
    numbers = _numbers(drawn, _full_names(timelines, hosts))
    return 2 + len(workers) + len(hosts) + len(numbers)


def timeline_body(
    timelines: Sequence[Timeline],
    width: int,
    height: int,
    first: int = 0,
    hosts: Sequence[HostUse] = (),
) -> list[Line]:
    """Return heads, lanes from the ``first`` on, numbers and legend for an area.

    Lanes stand under their ``hosts`` if there are any.
    """
    workers = _workers(timelines)
    if not workers:
        return centred("waiting for the first batch of a checkpoint…", width, height)
    label_width = _label_width(workers)
    drawn = _drawn(parts_of(timelines), width - label_width - 1)
    numbers = _numbers(drawn, _full_names(timelines, hosts))
    room = max(1, height - 2 - len(numbers))
    lanes = _lanes_by_worker(timelines)
    every = by_host(hosts, [lanes[worker][0][1] for worker in workers])
    shown = under_heading(every, first)[: room if len(every) <= room else room - 1]
    rows = [_row("", label_width, [_head(one) for one in drawn])]
    for entry in shown:
        if isinstance(entry, HostUse):
            rows.append(host_line(entry, width, brief=True))
            continue
        row = [_lane(one, entry.worker_id, lanes[entry.worker_id]) for one in drawn]
        rows.append(_row(workers[entry.worker_id], label_width, row))
    if len(shown) < len(every):
        above = _lanes_in(every[:first])
        more = _lanes_in(every[first + len(shown) :])
        rows.append(line((f" … {f'{above} above, ' if above else ''}{more} more workers", "dim")))
    rows += [_row("", label_width, parts) for parts in numbers]
    rows.append(_legend(drawn, width))
    return rows[:height]


def _workers(timelines: Sequence[Timeline]) -> dict[int, str]:
    """Return every worker's name by its id."""
    found = {lane.worker_id: safe(lane.device) for t in timelines for lane in t.lanes}
    return dict(sorted(found.items()))


def _full_names(timelines: Sequence[Timeline], hosts: Sequence[HostUse]) -> dict[int, str]:
    """Return every worker's name by its id, with its machine's where there are several."""
    if not hosts:
        return _workers(timelines)
    every = [lane for timeline in timelines for lane in timeline.lanes]
    return {lane.worker_id: f"{safe(lane.host)} {safe(lane.device)}" for lane in every}


def _lanes_in(entries: Sequence[HostUse | Lane]) -> int:
    return sum(isinstance(entry, Lane) for entry in entries)


def _label_width(workers: dict[int, str]) -> int:
    return min(_LABEL_WIDTH, max(cells(name) for name in workers.values()) + 2)


def _lanes_by_worker(timelines: Sequence[Timeline]) -> dict[int, list[tuple[float, Lane]]]:
    """Return each worker's lanes with the instants at which their time lines begin."""
    found: dict[int, list[tuple[float, Lane]]] = {}
    for timeline in timelines:
        for lane in timeline.lanes:
            found.setdefault(lane.worker_id, []).append((timeline.began_at, lane))
    return found


def _drawn(parts: Sequence[Part], width: int) -> list[_Drawn]:
    """Share out the width: in proportion to time, but none so narrow that it shows nothing."""
    width -= cells(_DIVIDER[0]) * (len(parts) - 1)
    if len(parts) < 2:
        return [_Drawn(part, width) for part in parts]
    columns = width - _WAIT_WIDTH * len(parts)
    whole = sum(part.extent_s for part in parts)
    least = min(_LEAST_PART, width // len(parts))
    first = round(columns * parts[0].extent_s / whole) + _WAIT_WIDTH
    first = max(least, min(width - least, first))
    return [_Drawn(parts[0], first), _Drawn(parts[1], width - first)]


def _row(label: str, label_width: int, parts: Sequence[Line]) -> Line:
    row = line((pad(f" {label}", label_width), ""))
    for number, part in enumerate(parts):
        row = (*row, _DIVIDER, *part) if number else (*row, *part)
    return row


def _head(drawn: _Drawn) -> Line:
    part = drawn.part
    names = joined([line((mode, mode)) for mode in part.modes], (" and ", "dim"))
    long = line(*names, (" together", "dim")) if len(part.modes) > 1 else names
    left = line(*long, f" {words.small_seconds(part.extent_s)}")
    if part.finished:
        right = line((f"idle {words.per_cent(part.idle_fraction)}", "wait"))
    else:
        right = line(("running", "dim"))
    if width_of(left) + width_of(right) + 1 > drawn.width:
        return first_that_fits(drawn.width, (left, names))
    return spread(left, right, drawn.width)


def _numbers(drawn: Sequence[_Drawn], workers: dict[int, str]) -> list[list[Line]]:
    """Return makespan/ideal and imbalance of every part, in one row if they fit side by side."""
    ratios = [_ratio(one.part) for one in drawn]
    busiest = [_imbalance(one.part, workers, one.width) for one in drawn]
    wide = [joined(pair, (" · ", "dim")) for pair in zip(ratios, busiest, strict=True)]
    if all(width_of(row) <= one.width for row, one in zip(wide, drawn, strict=True)):
        rows = [wide]
    else:
        rows = [ratios, busiest] if any(busiest) else [ratios]
    return [[fitted(text, one.width) for text, one in zip(row, drawn, strict=True)] for row in rows]


def _ratio(part: Part) -> Line:
    return line((f"makespan/ideal {part.ratio:.3f}", "dim")) if part.ratio else ()


def _imbalance(part: Part, workers: dict[int, str], width: int) -> Line:
    """Return the imbalance with the busiest worker's name where there is room for it."""
    if part.imbalance is None or len(part.busy_s) < 2:
        return ()
    text = f"max/mean busy {part.imbalance:.2f}"
    name = f" {workers.get(part.busiest or 0, '')}" if part.imbalance >= 1.005 else ""
    return line((text + name if cells(text + name) <= min(width, _NAMED_MOST) else text, "dim"))


def _lane(drawn: _Drawn, worker: int, lanes: Sequence[tuple[float, Lane]]) -> Line:
    pieces = lane_pieces(lanes, drawn.part, worker, drawn.columns)
    waits = drawn.part.waits_s
    wait = waits.get(worker) if waits is not None else None
    seconds = words.small_seconds(wait) if wait is not None else ""
    return (*pieces, (pad(seconds, _WAIT_WIDTH, right=True), "wait" if wait else "dim"))


def lane_pieces(lanes: Sequence[tuple[float, Lane]], part: Part, worker: int, columns: int) -> Line:
    """Return a worker's part as one cell per column: what filled most of it, a blank or a wait.

    ``lanes`` may be of several evaluations, each with the instant at which its time line begins.
    """
    column_s = part.extent_s / columns
    filled: list[dict[SpanKind, float]] = [{} for _ in range(columns)]
    for began_at, lane in lanes:
        shift = began_at - part.start_at
        for segment in lane.segments:
            start, end = (segment.start_s + shift) / column_s, (segment.end_s + shift) / column_s
            for column in range(max(0, int(start)), min(columns, int(end) + 1)):
                share = min(end, column + 1.0) - max(start, float(column))
                if share > 0:
                    filled[column][segment.kind] = filled[column].get(segment.kind, 0.0) + share
    waits = part.waits_s is not None and part.waits_s.get(worker, 0.0) > 0
    own_end = part.last_ends.get(worker, part.start_at) - part.start_at
    row: list[Piece] = []
    for column, kinds in enumerate(filled):
        most = max(kinds, key=lambda kind: kinds[kind], default=None)
        if most is not None and kinds[most] > _LEAST_KIND_SHARE:
            row.append(_LOOKS[most])
        elif waits and (column + 0.5) * column_s >= own_end:
            row.append(_WAIT)
        else:
            row.append((" ", ""))
    return _joined(row)


def _joined(row: Sequence[Piece]) -> Line:
    pieces: list[Piece] = []
    for text, role in row:
        if pieces and pieces[-1][1] == role:
            pieces[-1] = (pieces[-1][0] + text, role)
        else:
            pieces.append((text, role))
    return tuple(pieces)


def _legend(drawn: Sequence[_Drawn], width: int) -> Line:
    marks: list[Piece | str] = [" "]
    for kind in ("load", "input", "prefill", "decode"):
        look = _LOOKS[kind]
        marks += [look, (f" {kind}  ", "dim")]
    marks += [_WAIT, (" wait", "dim")]
    lengths = [one.column_s for one in drawn]
    if max(lengths) < 1.1 * min(lengths):
        scale = f"   a column is {words.small_seconds(max(lengths))}"
    else:
        each = (f"{o.part.modes[0]} {words.small_seconds(o.column_s)}" for o in drawn)
        scale = f"   a column is {', '.join(each)}"
    note = "   wait: own last batch … last batch of all"
    return first_that_fits(
        width,
        (
            line(*marks, (scale, "dim"), (note, "dim")),
            line(*marks, (scale, "dim")),
            line(*marks),
        ),
    )
