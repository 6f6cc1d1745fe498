"""The help screen, made from the table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.screen import ModalScreen

from ctv_tui.data.safe_text import pad
from ctv_tui.screens.actions import Action
from ctv_tui.widgets.lines import Line, framed, line, more_below
from ctv_tui.widgets.painted import Painted

NOTES = (
    "closed: the option letter's probability after one prefill",
    "open: a generated answer, scored by the dataset's metric",
    "gold: the full open evaluation on the held-out suite",
)


_KEYS_WIDTH = 13


class Help(ModalScreen[None]):
    """Lists what can be done on the visible tab with its keys, the tab's own actions first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,enter,space,q", "dismiss", "close", show=False),
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
    ]

    def __init__(
        self, tab: str, actions: Sequence[Action], keymap: str, *, notes: Sequence[str] = NOTES
    ) -> None:
        super().__init__()
        self._box = _HelpBox(_lines(tab, actions, keymap, notes), id="help-box")

    def compose(self) -> ComposeResult:
        """Show one box."""
        yield self._box

    def action_scroll(self, by: int) -> None:
        """Move the list where it does not fit."""
        self._box.scroll_rows(by)

    def on_click(self, event: Click) -> None:
        """Close."""
        self.dismiss()


class _HelpBox(Painted):
    def __init__(self, rows: Sequence[Line], *, id: str) -> None:
        super().__init__(id=id)
        self._rows = rows
        self._first = 0

    def get_content_height(self, *_: object) -> int:
        """Return the height of all lines with the frame."""
        return len(self._rows) + 2

    def scroll_rows(self, by: int) -> None:
        """Move by rows."""
        self._first += by
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the table in a frame."""
        room = height - 2
        self._first = max(0, min(self._first, len(self._rows) - room))
        right = line(("esc", "key"), (" close", "dim"))
        more = more_below(len(self._rows) - self._first, room)
        return framed(
            self._rows[self._first :],
            width,
            height,
            title=line(("keys", "title")),
            rights=[line(*more, "  ", *right) if more else right],
        )


def _lines(tab: str, actions: Sequence[Action], keymap: str, notes: Sequence[str]) -> list[Line]:
    own = [_row(action) for action in actions if action.tab]
    rows = [_row(action) for action in actions if not action.tab]
    if own:
        rows = [line(" ", (tab, "strong")), *own, line(" ", ("every tab", "strong")), *rows]
    return [*rows, (), *(line(" ", (note, "dim")) for note in (*notes, f"your keys: {keymap}"))]


def _row(action: Action) -> Line:
    return line(" ", (pad(action.shown_keys, _KEYS_WIDTH), "key"), action.description)
