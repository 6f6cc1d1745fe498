"""The line in which a search is typed; it is there only while there is one."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class SearchLine(Input):
    """A filter that works while it is typed: enter keeps it, escape takes it away.

    Tell what was typed from ``Input.Changed``; an empty value means no filter.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "no filter", show=False),
        Binding("enter", "keep", "keep the filter", show=False),
    ]
    LONGEST = 200

    def __init__(self, placeholder: str, *, id: str) -> None:
        super().__init__(
            placeholder=placeholder, id=id, compact=True, max_length=self.LONGEST, classes="search"
        )
        self.display = False
        self.cursor_blink = False

    def open(self) -> None:
        """Let the user type."""
        self.display = True
        self.focus()

    def action_keep(self) -> None:
        """Give the keys back; the filter stays."""
        if not self.value:
            self.display = False
        self.screen.set_focus(None)

    def action_clear(self) -> None:
        """Take the filter away."""
        self.value = ""
        self.action_keep()
