"""What a person looks at decides what must be read: the widgets ask, the reader's thread answers.

A widget never touches the database. It changes the wish; the reader sees the new wish at its next
step, reads what it names and puts the answer into the next snapshot.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

from ctv_tui.data.item_rows import ItemQuery


@dataclass(frozen=True, slots=True)
class Wish:
    """What is looked at now, besides what every snapshot holds.

    ``checkpoint_id`` None is the newest checkpoint; ``items`` None: nobody looks at the list;
    ``item_id`` None: no item is open.
    """

    checkpoint_id: int | None = None
    items: ItemQuery | None = None
    item_id: int | None = None


class Wishes:
    """The one wish that holds now. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._wish = Wish()

    @property
    def now(self) -> Wish:
        """The wish that holds now."""
        return self._wish

    def change(self, **fields: Any) -> None:
        """Replace fields of the wish; the reader is woken if that changed it.

        Raises:
            TypeError: a wish has no such field.
        """
        with self._lock:
            new = replace(self._wish, **fields)
            if new != self._wish:
                self._wish = new
                self._changed.set()

    def wait(self, timeout_s: float) -> bool:
        """Return at once if the wish changed since the last call, else after ``timeout_s``."""
        changed = self._changed.wait(timeout_s)
        self._changed.clear()
        return changed
