"""A question before something that others will notice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from ctv_tui.widgets.lines import Line, centred, framed, line
from ctv_tui.widgets.painted import Painted


class Confirm(ModalScreen[bool]):
    """Asks; answers True for ``y`` or enter, False for ``n``, escape or ``q``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes", show=False),
        Binding("n,escape,q", "answer(False)", "no", show=False),
    ]

    def __init__(self, title: str, question: str) -> None:
        super().__init__()
        self._box = _Question(title, question, id="confirm-box")

    def compose(self) -> ComposeResult:
        """Show one box."""
        yield self._box

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class _Question(Painted):
    def __init__(self, title: str, question: str, *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._question = title, question

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the question and what answers it."""
        body = centred(self._question, width - 4, height - 3, role="")
        keys = line(" ", ("y", "key"), (" yes   ", "dim"), ("n", "key"), (" no", "dim"))
        return framed([*body, keys], width, height, title=line((self._title, "title")))
