"""The help screen, made from the table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.screen import ModalScreen

from ctv_tui.data.safe_text import pad
from ctv_tui.screens.actions import ACTIONS
from ctv_tui.widgets.lines import Line, framed, line
from ctv_tui.widgets.painted import Painted

_NOTES = (
    "closed: the option letter's probability after one prefill",
    "open: a generated answer, scored by the dataset's metric",
    "gold: the full open evaluation on the held-out suite",
)


class Help(ModalScreen[None]):
    """Lists every action with its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,enter,space,q", "dismiss", "close", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Show one box."""
        yield _HelpBox(id="help-box")

    def on_click(self, event: Click) -> None:
        """Close."""
        self.dismiss()


class _HelpBox(Painted):
    def get_content_height(self, *_: object) -> int:
        """Return the height of all lines with the frame."""
        return len(_lines()) + 2

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the table in a frame."""
        right = line(("esc", "key"), (" close", "dim"))
        return framed(_lines(), width, height, title=line(("keys", "title")), rights=[right])


def _lines() -> list[Line]:
    rows = [
        line(" ", (pad(action.shown_keys, 12), "key"), action.description) for action in ACTIONS
    ]
    return [*rows, (), *(line(" ", (note, "dim")) for note in _NOTES)]
