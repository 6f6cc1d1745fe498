"""One engine per database: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The engine that holds a database."""

    pid: int
    host: str
    started_at: float


class EngineRunningError(Exception):
    """Another engine holds the database."""

    def __init__(self, database: Path, holder: LockHolder | None) -> None:
        who = f"pid {holder.pid} on {holder.host}" if holder else "an unknown process"
        super().__init__(
            f"{database}: another engine is writing to it ({who});"
            f" stop it with `ctv-tui stop --db {database}` or choose another --db"
        )
        self.holder = holder


def lock_path(database: Path) -> Path:
    """Return the lock file that belongs to ``database``."""
    return database.with_name(database.name + ".lock")


class EngineLock:
    """An exclusive lock on ``DATABASE.lock`` for the life of the engine.

    The kernel drops it when the holder ends, however it ends, so a stale lock can't exist; pid and
    start time are written into the file for people and for ``ctv-tui stop``.
    """

    def __init__(self, database: Path, host: str) -> None:
        """Take the lock.

        Raises:
            EngineRunningError: another engine has it.
        """
        self._path = lock_path(database)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(self._file)
        except OSError as error:
            os.close(self._file)
            raise EngineRunningError(database, _read_holder(self._path)) from error
        os.ftruncate(self._file, 0)
        holder = {"pid": os.getpid(), "host": host, "started_at": time.time()}
        os.pwrite(self._file, json.dumps(holder).encode(), 0)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would race with the next engine."""
        os.ftruncate(self._file, 0)
        os.close(self._file)

    def __enter__(self) -> EngineLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def running_engine(database: Path) -> LockHolder | None:
    """Return who holds ``database`` now, or None if nobody does."""
    path = lock_path(database)
    try:
        probe = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read_holder(path)
    finally:
        os.close(probe)
    return None


def _take(file: int) -> None:
    """Lock exclusively; a few tries, since :func:`running_engine` holds it for an instant."""
    for wait_s in (0.02, 0.05, 0.1):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(wait_s)
    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_holder(path: Path) -> LockHolder | None:
    try:
        holder = json.loads(path.read_text())
        return LockHolder(int(holder["pid"]), str(holder["host"]), float(holder["started_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
