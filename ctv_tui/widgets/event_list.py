"""What the engine said: a list of events, newest first or in order, with a selection."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ctv_engine.store.rows import EventLevel
from ctv_tui.data.safe_text import cells, pad, safe, shorten
from ctv_tui.data.snapshot import Event
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, Piece, centred, framed, line, more_below
from ctv_tui.widgets.painted import Painted

_LEVELS: dict[EventLevel, tuple[str, Role]] = {
    "info": ("·", "dim"),
    "warning": ("▲", "warning"),
    "error": ("×", "error"),
}
_KIND_WIDTH = 11
_STEP_WIDTH = 9
_LONGEST_MESSAGE = 2_000


def event_time(at: float, now: float) -> str:
    """Return the local time of day, with the date in front if it is another day than ``now``'s.

    A time that no calendar has is a row of question marks.
    """
    try:
        then, today = time.localtime(at), time.localtime(now)
    except (OverflowError, ValueError, OSError):
        return "??:??:??"
    same = then[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same else "%m-%d %H:%M:%S", then)


def event_message(event: Event) -> str:
    """Return an event's message in one safe line of bounded length."""
    return safe(event.message[:_LONGEST_MESSAGE].strip())


class LatestEvents(Painted):
    """The newest events, newest on top."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._events: tuple[Event, ...] = ()
        self._now = 0.0

    def show(self, events: tuple[Event, ...], now: float) -> None:
        """Show the last of ``events``."""
        if events is not self._events or not self._lines:
            self._events, self._now = events, now
            self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed rows."""
        newest = self._events[::-1][: max(0, height - 2)]
        body = [_short_row(event, self._now) for event in newest]
        if not body:
            body = centred("nothing has happened yet", width - 2, height - 2)
        loud = sum(1 for event in self._events if event.level != "info")
        rights = [line((f"{loud} warnings and errors", "warning"))] if loud else []
        return framed(body, width, height, title=line(("latest events", "title")), rights=rights)


def _short_row(event: Event, now: float) -> Line:
    mark, role = _LEVELS[event.level]
    return line(
        (f" {event_time(event.at, now)} ", "dim"),
        (f"{mark} ", role),
        (event_message(event), role if event.level != "info" else ""),
    )


class EventTable(Painted):
    """Every kept event with level, time, kind, checkpoint and message; one is selected."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._events: Sequence[Event] = ()
        self._now = 0.0
        self._first = 0
        self._selected = 0
        self._title: Line = ()
        self._rights: Sequence[Line] = ()
        self._empty = ""

    def show(
        self,
        events: Sequence[Event],
        selected: int,
        now: float,
        *,
        title: Line,
        rights: Sequence[Line],
        empty: str,
    ) -> None:
        """Show ``events`` in the order given; ``empty`` is said where there are none."""
        self._events, self._selected, self._now = events, selected, now
        self._title, self._rights, self._empty = title, rights, empty
        self.redraw()

    def index_at(self, y: int) -> int | None:
        """Return which event stands on a row of the widget."""
        index = self._first + y - 2
        return index if y >= 2 and index < len(self._events) else None

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table, scrolled so that the selected event is in view."""
        room = max(1, height - 3)
        if self._selected < self._first:
            self._first = self._selected
        elif self._selected >= self._first + room:
            self._first = self._selected - room + 1
        self._first = max(0, min(self._first, len(self._events) - room))
        shown = self._events[self._first : self._first + room]
        more = more_below(len(self._events) - self._first, room)
        rights = [*(line(*r, ("  ", ""), *more) for r in self._rights if more), *self._rights]
        if not shown:
            body = centred(self._empty, width - 2, height - 2)
        else:
            body = event_rows(shown, self._selected - self._first, self._now, width - 2)
        return framed(body, width, height, title=self._title, rights=rights)


def event_rows(events: Sequence[Event], selected: int, now: float, width: int) -> list[Line]:
    """Return a head and one row per event."""
    times = [event_time(event.at, now) for event in events]
    time_width = max(map(len, times)) + 2
    wide = width >= 70
    head = pad("   time", time_width + 2) + pad("level", 9)
    head += (pad("kind", _KIND_WIDTH) if wide else "") + pad("step", _STEP_WIDTH, right=True)
    rows = [line((head + "  message", "dim"))]
    for index, (event, at) in enumerate(zip(events, times, strict=True)):
        mark, role = _LEVELS[event.level]
        step = "" if event.step is None else str(event.step)
        pieces: list[Piece] = [
            (f" {mark} ", role),
            (pad(at, time_width - 1), "dim"),
            (pad(event.level, 9), role),
        ]
        if wide:
            pieces.append((pad(safe(event.kind), _KIND_WIDTH), ""))
        pieces.append((pad(step, _STEP_WIDTH, right=True), "dim"))
        taken = sum(cells(text) for text, _ in pieces)
        pieces.append((f"  {shorten(event_message(event), max(1, width - taken - 2))}", ""))
        if index == selected:
            text = "".join(text for text, _ in pieces)
            pieces = [(pad(f" ▸{text[2:]}", width), "selected")]
        rows.append(line(*pieces))
    return rows


class EventText(Painted):
    """The whole message of one event."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._event: Event | None = None

    def show(self, event: Event | None) -> None:
        """Show ``event``."""
        if event != self._event or not self._lines:
            self._event = event
            self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed message, broken into lines."""
        event = self._event
        if event is None:
            return framed([], width, height)
        _, role = _LEVELS[event.level]
        title = line((f"{event.level} · {safe(event.kind)}", role))
        if event.step is not None:
            title = line(*title, f" · checkpoint-{event.step}")
        text = event_message(event)
        body = [line(f" {part}") for part in wrapped(text, width - 4)]
        if len(body) > height - 2 and height > 2:
            body = [*body[: height - 3], line((" … y copies the whole message", "dim"))]
        return framed(body, width, height, title=title)


def wrapped(text: str, width: int) -> list[str]:
    """Return a safe text in lines of at most ``width`` cells, broken at blanks where possible."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += f" {word}"
            continue
        while cells(word) > width:
            part = word[: max(1, width // 2)]
            while cells(part) < width - 1 and len(part) < len(word):
                part = word[: len(part) + 1]
            lines.append(part)
            word = word[len(part) :]
        lines.append(word)
    return lines
