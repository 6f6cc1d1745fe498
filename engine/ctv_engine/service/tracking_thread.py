"""Correlations, evidence and ranking are computed beside the loop, which only writes them."""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ctv_engine.service.events import Tell
from ctv_engine.service.tracking import Found, Tracking
from ctv_engine.store.reader import open_read_only
from ctv_engine.store.writer import BUSY_TIMEOUT_S, Writer


class TrackingThread:
    """Looks at a run's scores in a thread of its own, with a read-only connection of its own.

    The newest request wins: all that is asked for while one look is computed is answered by the
    next one. The thread ends when nothing more is asked for. What was found is kept until it could
    be written.
    """

    def __init__(self, writer: Writer, run_id: int, window: int, tell: Tell) -> None:
        """Start nothing yet; ``tell`` stores an event."""
        self._writer, self._run_id, self._window, self._tell = writer, run_id, window, tell
        self._path = writer.path
        self._tracking = Tracking(run_id, window)
        self._lock = threading.Lock()
        self._asked = self._answered = 0
        self._anew = False
        self._thread: threading.Thread | None = None
        self._found: queue.SimpleQueue[tuple[int, Found | str]] = queue.SimpleQueue()
        self._held: deque[tuple[int, Found | str]] = deque()
        self._afterwards: deque[tuple[int, Callable[[], object]]] = deque()
        self._told: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether something that was asked for is not written yet."""
        return self._answered < self._asked or bool(self._afterwards)

    def ask(self, afterwards: Callable[[], object] | None = None, *, anew: bool = False) -> None:
        """Have the scores looked at as they are now; ``afterwards`` is called once it is written.

        Called by the loop, after what is to be looked at is committed; with ``anew`` if scores were
        removed, so that rows which rest on them go, too.
        """
        with self._lock:
            self._asked += 1
            self._anew = self._anew or anew
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
                self._thread.start()
        if afterwards is not None:
            self._afterwards.append((self._asked, afterwards))

    def step(self) -> None:
        """Write what has been found since the last call.

        Raises:
            sqlite3.OperationalError: the database can't be written; nothing is lost.
        """
        while not self._found.empty():
            self._held.append(self._found.get())
        while self._held:
            number, found = self._held[0]
            if isinstance(found, Found):
                found.write(self._writer, self._run_id)
            elif found not in self._told:
                self._tell("warning", "statistics", found)
                self._told.add(found)
            self._held.popleft()
            self._answered = number
        while self._afterwards and self._afterwards[0][0] <= self._answered:
            self._afterwards[0][1]()
            self._afterwards.popleft()

    def close(self) -> None:
        """Wait for the last computation, and write it."""
        thread = self._thread
        if thread is not None:
            thread.join()
        try:
            self.step()
        except sqlite3.OperationalError as error:
            # The engine's next start looks at all scores, so that nothing is lost for good.
            print(f"error: the last statistics were not written ({error})", file=sys.stderr)

    # --- in the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        looked = 0
        while True:
            with self._lock:
                if looked == self._asked:
                    self._thread = None
                    return
                looked = self._asked
                anew, self._anew = self._anew, False
            if anew:
                self._tracking.begin_anew()
            try:
                self._found.put((looked, _look(self._tracking, self._path)))
            except Exception as error:
                # What it had computed before it failed was never handed over.
                self._tracking = Tracking(self._run_id, self._window)
                with self._lock:
                    self._anew = self._anew or anew
                text = f"correlations and ranking are behind: {type(error).__name__}: {error}"
                self._found.put((looked, text))


def _look(tracking: Tracking, path: Path) -> Found:
    """Read in one short transaction and compute after it, so that a reader holds up nothing."""
    with closing(open_read_only(path)) as connection:
        connection.row_factory = None
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        connection.execute("BEGIN")
        looked = tracking.read(connection)
    return tracking.compute(looked)
