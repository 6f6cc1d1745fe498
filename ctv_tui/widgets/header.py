"""The two lines on top of every tab: is it alive, what is it doing, how old is this?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from textual.events import Click
from textual.message import Message

from ctv_tui.data import words
from ctv_tui.data.pace import remaining_s, waiting_phrase
from ctv_tui.data.safe_text import cells, safe, shorten
from ctv_tui.data.snapshot import Snapshot
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, bar, fitted, joined, line, spread, width_of
from ctv_tui.widgets.painted import Painted

_ENGINE_MARKS: dict[words.EngineWord, tuple[str, Role]] = {
    "starting": ("◌", "warning"),
    "idle": ("○", "good"),
    "scoring": ("●", "good"),
    "paused": ("‖", "warning"),
    "stopping": ("□", "warning"),
    "stopped": ("■", "dim"),
    "dead": ("×", "error"),
    "absent": ("–", "warning"),
}
"""A mark and a colour for each state, besides its word."""


@dataclass(frozen=True, slots=True)
class StatusData:
    """What the header shows."""

    snapshot: Snapshot
    paused_since: float | None


class Status(Painted):
    """Run, engine state with the heartbeat's age, current work with progress, lag, database."""

    def __init__(self, now: Callable[[], float], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now = now
        self._data: StatusData | None = None

    def show(self, data: StatusData) -> None:
        """Show ``data``."""
        self._data = data
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the line."""
        return [status_line(self._data, self._now(), width)] if self._data else []


def status_line(data: StatusData, now: float, width: int) -> Line:
    """Return the header for a width; what matters least is left out first."""
    snapshot = data.snapshot
    name = safe(snapshot.run.name) if snapshot.run else "no run yet"
    view = words.engine_view(snapshot, now)
    mark, role = _ENGINE_MARKS[view.word]
    phrases = [view.phrase]
    if view.word == "idle":
        phrases = [waiting_phrase(snapshot, now), view.phrase]
    states = [line((f"{mark} {phrase}", role)) for phrase in phrases]
    trouble = words.source_phrase(snapshot.source, now)
    loud: Role = "dim" if snapshot.source.archived else "error"
    said = line((trouble, loud)) if trouble else ()
    lag, beat = _lag(snapshot), _heartbeat(view)
    name_of_file = line((shorten(safe(PurePath(snapshot.source.path).name), 24), "dim"))
    short_lag = line((f"lag {snapshot.lag}", "warning" if snapshot.lag > 3 else ""))
    rights = [
        joined(parts, (" · ", "dim"))
        for parts in (
            (said, lag, beat, name_of_file),
            (said, lag, beat),
            (said, short_lag, beat),
            (said, beat),
            (said,),
        )
    ]
    works = _work(snapshot, now) if view.word in ("scoring", "stopping") else [()]
    lefts = [
        [
            line((label, "dim"), (shorten(name, longest), "strong"), "  ", *state, *work)
            for label, longest in ((" ctv-tui  ", 28), (" ", 24), (" ", 12))
        ]
        for state in states
        for work in works
    ]
    tries = [(left, right) for same in lefts for right in rights[:-1] for left in same]
    tries += [(left, rights[-1]) for same in lefts for left in same]
    for left, right in tries:
        if width_of(left) + width_of(right) + 3 <= width:
            return spread(left, line(*right, " "), width)
    return fitted(tries[-1][0], width)


def _lag(snapshot: Snapshot) -> Line:
    count = snapshot.lag
    role: Role = "warning" if count > 3 else ""
    return line((f"lag {count} checkpoint{'' if count == 1 else 's'}", role))


def _heartbeat(view: words.EngineView) -> Line:
    if view.age_s is None or view.word in ("dead", "stopped"):
        return ()
    return line((f"heartbeat {words.duration(round(view.age_s))}", "dim"))


def _work(snapshot: Snapshot, now: float) -> list[Line]:
    """Return the current work in words, the most telling first."""
    running = snapshot.running
    if not running:
        return [()]
    first = running[0]
    share = f"{first.progress * 100:.0f} %"
    where = f" checkpoint-{first.step} · {first.mode} {share}"
    more = f" +{len(running) - 1}" if len(running) > 1 else ""
    gauge = line("▕", (bar(first.progress, 10), first.mode), "▏")
    left = remaining_s(first, now)
    time_left = f" {words.clock(left)} left" if left is not None else ""
    return [
        line(where, " ", *gauge, time_left, more),
        line(where, " ", *gauge, more),
        line(where, more),
        line(f" {first.step} {first.mode} {share}"),
    ]


class TabBar(Painted):
    """The tabs' names with their number keys; a click opens one."""

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, tabs: Sequence[tuple[str, str]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tabs = tuple(tabs)
        self._active = self._tabs[0][0]
        self._note: Line = ()
        self._spans: list[tuple[int, int, str]] = []

    def show(self, active: str, note: Line) -> None:
        """Mark the active tab and set the note at the right."""
        self._active, self._note = active, note
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the bar, with numbers alone where the names don't fit."""
        note = line(*self._note, " ") if self._note else ()
        for names in (self._names(" ", " "), self._names("", "  "), self._names("", " ", True)):
            bar = self._laid_out(names)
            if width_of(bar) + width_of(note) <= width:
                break
        return [spread(bar, note, width)]

    def _names(self, margin: str, gap: str, short: bool = False) -> list[tuple[str, str, str]]:
        """Return key, label and the gap after it; short: a name for the active tab only."""
        return [
            (
                key,
                f"{margin}{number}{margin}"
                if short and key != self._active
                else f"{margin}{number} {name}{margin}",
                gap,
            )
            for number, (key, name) in enumerate(self._tabs, 1)
        ]

    def _laid_out(self, names: Sequence[tuple[str, str, str]]) -> Line:
        self._spans = []
        pieces: Line = line(" ")
        at = 1
        for key, label, gap in names:
            self._spans.append((at, at + cells(label), key))
            at += cells(label) + len(gap)
            pieces = line(*pieces, (label, "selected" if key == self._active else ""), gap)
        return pieces

    def on_click(self, event: Click) -> None:
        """Open the tab that was clicked."""
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.post_message(self.Chosen(key))
