"""Calls that may never return, on threads that nobody waits for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Caller(Generic[T]):
    """A daemon thread that makes one call at a time.

    A call that is stuck in the driver can't be ended; it costs this thread and nothing else. An
    answer that comes late is handed over late.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()
        self._asked_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def waiting_s(self) -> float | None:
        """How long the call under way has taken, or None if there is none."""
        return None if self._asked_at is None else time.monotonic() - self._asked_at

    def ask(self, call: Callable[[], T]) -> None:
        """Begin a call, unless one is under way."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            if not self._thread.is_alive():
                self._thread.start()
            self._calls.put(call)

    def answer(self, timeout_s: float = 0.0) -> T | None:
        """Return the call's result, or None if it has not come within ``timeout_s``.

        Raises:
            Exception: whatever the call raised.
        """
        if self._asked_at is None:
            return None
        try:
            found = (
                self._answers.get(timeout=timeout_s) if timeout_s else self._answers.get_nowait()
            )
        except queue.Empty:
            return None
        self._asked_at = None
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self) -> None:
        while True:
            try:
                self._answers.put(self._calls.get()())
            except Exception as error:
                self._answers.put(error)
