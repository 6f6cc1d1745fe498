"""The thread that reads: it owns the connection, touches no widget, and posts frozen snapshots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from textual.message import Message

from ctv_tui.data import Snapshot

Feed = Callable[[threading.Event], Iterator[Snapshot]]
"""Yields snapshots until the event is set; runs in the reader's thread."""


class SnapshotRead(Message):
    """The reader has a newer snapshot. A burst collapses into its last one."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """Take the place of an older snapshot that was not handled yet."""
        return isinstance(message, SnapshotRead)


class ReaderFailed(Message):
    """The reader's thread ended with an error: a fault of ours, so the dashboard ends as well."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Reader:
    """Runs a feed in a thread of its own and hands on what it yields with ``post``."""

    def __init__(self, feed: Feed, post: Callable[[Message], object]) -> None:
        self._feed = feed
        self._post = post
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="ctv-reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; does not wait for it."""
        self._stop.set()

    def _read(self) -> None:
        try:
            for snapshot in self._feed(self._stop):
                if self._stop.is_set():
                    break
                self._post(SnapshotRead(snapshot))
        except Exception as error:
            self._post(ReaderFailed(error))
