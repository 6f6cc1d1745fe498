"""What did the engine say, and when?"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.events import Click, Resize
from textual.widgets import Input

from ctv_engine.store.rows import EventLevel
from ctv_tui.data import safe
from ctv_tui.data.snapshot import Event
from ctv_tui.screens.actions import Action, pane_action
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.event_list import EventTable, EventText, event_message, event_time
from ctv_tui.widgets.lines import line
from ctv_tui.widgets.search import SearchLine

_FILTERS: tuple[tuple[str, tuple[EventLevel, ...]], ...] = (
    ("all levels", ("info", "warning", "error")),
    ("warnings and errors", ("warning", "error")),
    ("errors", ("error",)),
)
_TEXT_ROWS = 6
_LEAST_HEIGHT = 16


class Events(Pane):
    """The list, the whole text of the selected event, and a line to search in."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        pane_action(
            "level",
            ("l",),
            "l",
            "level: all, warnings and errors, errors",
            tab="events",
            footer="level",
        ),
        pane_action(
            "order",
            ("f",),
            "f",
            "newest first, or oldest first and follow",
            tab="events",
            footer="follow",
        ),
    )

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._table = EventTable(id="event-table")
        self._text = EventText(id="event-text")
        self._search = SearchLine("text in kind, message or step", id="event-search")
        self._level = 0
        self._follows = False
        self._chosen: int | None = None
        self._shown: list[Event] = []

    def compose(self) -> ComposeResult:
        """Stack the three."""
        yield self._search
        yield self._table
        yield self._text

    def on_resize(self, event: Resize) -> None:
        """Leave the whole text out where there is no room."""
        self._text.display = event.size.height >= _LEAST_HEIGHT
        self._text.styles.height = _TEXT_ROWS

    # --- actions ------------------------------------------------------------------------------

    def do_level(self) -> None:
        """Show all levels, then fewer."""
        self._level = (self._level + 1) % len(_FILTERS)
        self.update_view()

    def do_order(self) -> None:
        """Change between newest first and follow; either way the newest is selected."""
        self._follows = not self._follows
        self._chosen = None
        self.update_view()

    def do_search(self) -> None:
        """Open the search line."""
        self._search.open()

    @on(Input.Changed)
    def _typed(self) -> None:
        self.update_view()

    def move(self, by: int) -> None:
        """Select another event; at the newest one the selection stays with whatever comes next."""
        if not self._shown:
            return
        index = max(0, min(len(self._shown) - 1, self._index() + by))
        newest = len(self._shown) - 1 if self._follows else 0
        self._chosen = None if index == newest else self._shown[index].id
        self.update_view()

    def on_click(self, event: Click) -> None:
        """Select the event that was clicked."""
        if event.widget is self._table:
            index = self._table.index_at(event.y)
            if index is not None:
                self.move(index - self._index())

    def selected_text(self) -> str:
        """Return the selected event, whole."""
        if not self._shown:
            return ""
        event = self._shown[self._index()]
        step = "" if event.step is None else f" checkpoint-{event.step}"
        when = event_time(event.at, 0.0)
        return f"{when} {event.level} {safe(event.kind)}{step}: {safe(event.message)}"

    # --- view ---------------------------------------------------------------------------------

    def update_view(self) -> None:
        """Filter, order, and hand the rows on."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        name, levels = _FILTERS[self._level]
        needle = self._search.value.casefold().strip()
        kept = [
            event
            for event in snapshot.events
            if event.level in levels and (not needle or _holds(event, needle))
        ]
        self._shown = kept if self._follows else kept[::-1]
        order = "follow" if self._follows else "newest first"
        count = f"{len(kept)} of {len(snapshot.events)}"
        wanted = line((f"{name} · {order} · {count}", "dim"))
        found = f" · “{safe(self._search.value)}”" if needle else ""
        self._table.show(
            self._shown,
            self._index(),
            snapshot.read_at,
            title=line(("events", "title"), found),
            rights=[wanted, line((f"{order} · {count}", "dim"))],
            empty="no event fits the filter" if snapshot.events else "nothing has happened yet",
        )
        self._text.show(self._shown[self._index()] if self._shown else None)

    def _index(self) -> int:
        """Return where the selected event is now: new ones may have come, or a filter."""
        for index, event in enumerate(self._shown):
            if event.id == self._chosen:
                return index
        return max(0, len(self._shown) - 1) if self._follows else 0


def _holds(event: Event, needle: str) -> bool:
    text = f"{event.kind} {event_message(event)} {'' if event.step is None else event.step}"
    return needle in text.casefold()
