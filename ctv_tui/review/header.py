"""The first line of a review: what is left, kept and dropped."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_tui.data import safe
from ctv_tui.data.safe_text import shorten
from ctv_tui.review.queue import Queue
from ctv_tui.widgets.lines import Line, bar, line, spread, width_of
from ctv_tui.widgets.painted import Painted

_BAR_WIDTH = 20
_NAME_MOST = 40


class ReviewHeader(Painted):
    """Draws the progress of a :class:`Queue`, of the dataset that is chosen."""

    def __init__(self, queue: Queue, *, id: str) -> None:
        super().__init__(id=id)
        self._queue = queue

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the line."""
        queue = self._queue
        progress = queue.progress()
        name = shorten(safe(queue.journal.directory.resolve().name), min(_NAME_MOST, width // 4))
        what = "" if queue.dataset is None else f" · {shorten(safe(queue.dataset[:200]), 20)}"
        left = line((f" review {name}", "title"), what)
        right = line(
            (f"{progress.left:,} left", "warning" if progress.left else "good"),
            f" of {progress.total:,}   ",
            ("✓ ", "good"),
            f"{progress.kept:,} kept   ",
            ("✗ ", "error"),
            f"{progress.dropped:,} dropped ",
        )
        done = 1 - progress.left / progress.total if progress.total else 1.0
        if width_of(left) + width_of(right) + _BAR_WIDTH + 6 < width:
            right = line((bar(done, _BAR_WIDTH), "gold"), "  ", *right)
        return [spread(left, right, width)]
