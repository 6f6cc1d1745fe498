"""A sentence where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_tui.widgets.lines import Line, centred
from ctv_tui.widgets.painted import Painted


class Sentence(Painted):
    """Shows one sentence in the middle of its area."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = ""

    def show(self, text: str) -> None:
        """Show ``text``."""
        self._text = text
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the sentence, centred."""
        return centred(self._text, width, height)
