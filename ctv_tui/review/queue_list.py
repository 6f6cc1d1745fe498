"""The list at the left: which items, and how each stands."""

from __future__ import annotations

from collections.abc import Sequence

from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from ctv_engine.construction.journal import Draft, State
from ctv_tui.data import safe
from ctv_tui.data.safe_text import cells, pad, shorten, whole_words
from ctv_tui.review.queue import Queue
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, centred, first_that_fits, framed, joined, line
from ctv_tui.widgets.scrolled import Scrolled

MARKS: dict[State, tuple[str, Role]] = {
    State.QUEUED: ("?", "warning"),
    State.KEPT: ("✓", "good"),
    State.DROPPED: ("✗", "error"),
}
_FIXED_ROWS = 4
_TEXT_MOST = 200
_DATASET_SHOWN_FROM = 34


class QueueList(Scrolled):
    """Draws a :class:`Queue`; its current item is the selected row."""

    class Chosen(Message):
        """A row was clicked, or the wheel was turned to it."""

        def __init__(self, at: int) -> None:
            super().__init__()
            self.at = at

    def __init__(self, queue: Queue, *, id: str) -> None:
        super().__init__(id=id)
        self._queue = queue

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed list."""
        queue, inner, room = self._queue, width - 2, max(1, height - _FIXED_ROWS)
        title = line(("queue", "title"))
        choices = [_filters(queue, inner), _search(queue, inner)]
        if not queue.drafts:
            body = [*choices, *centred(nothing_said(queue), inner, room)]
            return framed(body, width, height, title=title)
        self.show_row(queue.at, room)
        first = self.clamped(len(queue.drafts), room)
        shown = queue.drafts[first : first + room]
        rows = [_row(draft, first + n == queue.at, inner) for n, draft in enumerate(shown)]
        place = line((f"{queue.at + 1:,} of {len(queue.drafts):,}", "dim"))
        return framed([*choices, *rows], width, height, title=title, rights=[place])

    def on_click(self, event: Click) -> None:
        """Choose the row that was clicked."""
        at = self._first + event.y - _FIXED_ROWS + 1
        if event.y >= _FIXED_ROWS - 1 and at < len(self._queue.drafts):
            self.post_message(self.Chosen(at))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Go further down."""
        event.stop()
        self.post_message(self.Chosen(self._queue.at + 3))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Go further up."""
        event.stop()
        self.post_message(self.Chosen(self._queue.at - 3))


def nothing_said(queue: Queue) -> str:
    """Return why the list is empty."""
    if queue.search or queue.dataset or queue.filter != "queued":
        return "no item is like that"
    return "nothing is queued: every item is decided"


def _filters(queue: Queue, width: int) -> Line:
    dataset = "all" if queue.dataset is None else shorten(safe(queue.dataset), 16)
    pairs = (("f", "show", queue.filter), ("d", "dataset", dataset))
    long = [
        line((key, "key"), (f" {name} ", "dim"), (value, "strong")) for key, name, value in pairs
    ]
    short = [line((key, "key"), " ", (value, "strong")) for key, _, value in pairs]
    return first_that_fits(width, (line(" ", *joined(both, "  ")) for both in (long, short)))


def _search(queue: Queue, width: int) -> Line:
    found = whole_words(safe(queue.search), width - 12)
    return line(
        " ", ("/", "key"), (" search ", "dim"), (found or "none", "strong" if found else "dim")
    )


def _row(draft: Draft, selected: bool, width: int) -> Line:
    mark, role = MARKS.get(draft.state, ("·", "dim"))
    wide = width >= _DATASET_SHOWN_FROM
    head = f"{pad(safe(draft.dataset[:_TEXT_MOST]), 8)} " if wide else ""
    key = pad(safe(draft.key[:_TEXT_MOST]), 11)
    rest = max(0, width - cells(head) - 15)
    reason = whole_words(safe((draft.reason or str(draft.state))[:_TEXT_MOST]), rest)
    if selected:
        return line((pad(f"▸{mark} {head}{key} {reason}", width), "selected"))
    return line(" ", (mark, role), f" {head}", (f"{key} ", ""), (reason, "dim"))
