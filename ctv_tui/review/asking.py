"""The two dialogs of the review: pick one of a few by a key, and write a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input

from ctv_tui.data import safe
from ctv_tui.data.safe_text import whole_words
from ctv_tui.review.editing import LONGEST
from ctv_tui.widgets.lines import Line, framed, line
from ctv_tui.widgets.painted import Painted


class Pick(ModalScreen[str | None]):
    """Answers the key that was pressed, or None for escape. ``rows`` are (key, text)."""

    def __init__(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = {key.lower(): key for key, _ in rows}
        self._box = _Rows(title, rows, id="pick-box")

    def compose(self) -> ComposeResult:
        """Show one box."""
        yield self._box

    def on_key(self, event: Key) -> None:
        """Answer; a letter counts in either case."""
        event.stop()
        pressed = (event.character or "").lower()
        if pressed in self._keys:
            self.dismiss(self._keys[pressed])
        elif event.key in ("escape", "q"):
            self.dismiss(None)


class _Rows(Painted):
    def __init__(self, title: str, rows: Sequence[tuple[str, str]], *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._rows = title, rows

    def get_content_height(self, *_: object) -> int:
        """Return the height of the rows with the frame."""
        return len(self._rows) + 2

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the rows in a frame."""
        body = [
            line("  ", (key, "key"), "  ", whole_words(safe(text[:300]), width - 8))
            for key, text in self._rows
        ]
        close = line(("esc", "key"), (" leave it", "dim"))
        return framed(body, width, height, title=line((self._title, "title")), rights=[close])


class Write(ModalScreen[str | None]):
    """Answers a line that ``fault`` finds nothing wrong with, or None for escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it", show=False, priority=True)
    ]

    def __init__(self, title: str, text: str, fault: Callable[[str], str | None]) -> None:
        super().__init__()
        self._head = Words(line(" ", (title, "title")), id="write-head")
        self._said = Words(_KEYS, id="write-said")
        self._input = Input(
            text, compact=True, max_length=LONGEST, id="write-line", select_on_focus=False
        )
        self._input.cursor_blink = False
        self._fault = fault

    def compose(self) -> ComposeResult:
        """Show the title, the line, and what is wrong with it."""
        yield Vertical(self._head, self._input, self._said, id="write-box")

    def on_mount(self) -> None:
        """Let the user type."""
        self._input.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        wrong = self._fault(event.value)
        if wrong is None:
            self.dismiss(event.value)
        else:
            self._said.say(line(" ", (wrong, "error")))

    @on(Input.Changed)
    def _changed(self) -> None:
        self._said.say(_KEYS)

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


_KEYS = line(" ", ("enter", "key"), (" save   ", "dim"), ("esc", "key"), (" leave it", "dim"))


class Words(Painted):
    """Shows one line."""

    def __init__(self, words: Line, *, id: str) -> None:
        super().__init__(id=id)
        self._words = words

    def say(self, words: Line) -> None:
        """Show other words."""
        self._words = words
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the words."""
        return [self._words]
