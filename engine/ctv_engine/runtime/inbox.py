"""Where a pool's threads put what workers say, and the coordinator takes it from."""

from __future__ import annotations

import queue

from ctv_engine.runtime.messages import FromWorker


class Inbox:
    """Messages with the numbers of their workers, in the order in which they came."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[tuple[int, FromWorker]] = queue.SimpleQueue()

    def put(self, worker_id: int, message: FromWorker) -> None:
        """Add a message."""
        self._messages.put((worker_id, message))

    def take(self, timeout_s: float) -> list[tuple[int, FromWorker]]:
        """Wait for a message; return all that are there, none if the time is over."""
        messages: list[tuple[int, FromWorker]] = []
        try:
            messages.append(self._messages.get(timeout=timeout_s))
            while True:
                messages.append(self._messages.get_nowait())
        except queue.Empty:
            return messages
