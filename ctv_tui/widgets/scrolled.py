"""A painted list that is longer than its room: keys and the mouse wheel move what is in view."""

from __future__ import annotations

from textual.events import MouseScrollDown, MouseScrollUp

from ctv_tui.widgets.painted import Painted

_WHEEL_ROWS = 3


class Scrolled(Painted):
    """Base of lists that scroll: :meth:`clamped` says which row comes first."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._first = 0

    def clamped(self, rows: int, room: int) -> int:
        """Return the first row to show of ``rows`` where there is room for ``room``."""
        self._first = max(0, min(self._first, rows - room))
        return self._first

    def scroll_rows(self, by: int) -> None:
        """Move by rows."""
        self._first = max(0, self._first + by)
        self.redraw()

    def show_row(self, row: int, room: int) -> None:
        """Move just as far as is needed to bring a row into view."""
        self._first = max(row - room + 1, min(self._first, row))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Move down."""
        event.stop()
        self.scroll_rows(_WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Move up."""
        event.stop()
        self.scroll_rows(-_WHEEL_ROWS)
