"""The last line of every tab: the few most useful keys."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_tui.widgets.lines import Line, joined, line, spread, width_of
from ctv_tui.widgets.painted import Painted

Hint = tuple[str, str]
"""A key and what it does."""


class KeyLine(Painted):
    """Keys with what they do: those that matter here, and some at the right that always matter."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: tuple[Sequence[Hint], Sequence[Hint]] = ((), ())

    def show(self, hints: Sequence[Hint], always: Sequence[Hint]) -> None:
        """Show what can be done now."""
        self._hints = (hints, always)
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the line."""
        return [key_line(*self._hints, width)]


def key_line(hints: Sequence[Hint], always: Sequence[Hint], width: int) -> Line:
    """Return as many keys as fit; one that does not fit is left out whole."""
    right = line(*joined(map(_shown, always), "  "), " ")
    left: Line = line(" ")
    for hint in hints:
        more = line(*left, *_shown(hint), "  ")
        if width_of(more) + width_of(right) > width:
            break
        left = more
    return spread(left, right, width)


def _shown(hint: Hint) -> Line:
    key, label = hint
    return line((key, "key"), (f" {label}", "dim"))
