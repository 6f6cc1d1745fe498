"""Starting, finding and ending the engine's process."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_NO_DATABASE, EXIT_USAGE

if TYPE_CHECKING:
    from ctv_engine.settings import Settings
    from ctv_engine.store.lock import LockHolder

NEEDED = ("torch", "transformers", "safetensors", "PIL", "numpy", "rapidfuzz")
START_TIMEOUT_S = 60.0
POLL_S = 0.05


class CommandError(click.ClickException):
    """A message for the user and the exit status that goes with it."""

    def __init__(self, message: str, status: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self._status = status

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """The exit status of the command."""
        return self._status


def require_engine() -> None:
    """Raise :class:`CommandError` if the engine's packages are not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"the engine needs {', '.join(missing)}: pip install 'ctv-tui[engine]'", EXIT_USAGE
        )


_PATHS = ("db", "suite", "gold", "checkpoint_dir", "processor", "cache_dir", "base", "judge")


def make_settings(**values: object) -> Settings:
    """Return validated settings with absolute paths.

    Raises:
        CommandError: the engine's packages are missing, or a value can't be used.
    """
    from ctv_engine.settings import Settings, SettingsError

    require_engine()
    for name in _PATHS:
        if values.get(name) is not None:
            values[name] = str(Path(str(values[name])).resolve())
    targets: Sequence[str] = values.get("log_to") or ()  # type: ignore[assignment]
    values["log_to"] = tuple(tracker_from(Path.cwd(), target) for target in targets)
    db = Path(str(values["db"]))
    if not db.parent.is_dir():
        raise CommandError(f"--db {db}: no such directory {db.parent}", EXIT_USAGE)
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except SettingsError as error:
        raise CommandError(str(error), EXIT_USAGE) from error


def tracker_from(directory: Path, target: str) -> str:
    """Return ``tensorboard:DIR`` with its path taken from ``directory``; others as they are."""
    kind, _, place = target.partition(":")
    return f"{kind}:{directory / place}" if kind == "tensorboard" and place else target


def engine_command(settings: Settings) -> list[str]:
    """Return the command line of the engine."""
    return [sys.executable, "-m", "ctv_engine", settings.to_json()]


def log_path(db: Path) -> Path:
    """Return where a background engine's output goes."""
    return db.with_name(db.name + ".log")


@dataclass
class EngineProcess:
    """An engine that runs in the background, in a session of its own."""

    process: subprocess.Popen[bytes]
    db: Path

    @classmethod
    def start(cls, settings: Settings) -> EngineProcess:
        """Start an engine and wait until it holds its database and says so.

        Raises:
            CommandError: it ended instead; the text is what it said.
        """
        from ctv_engine.store.control import is_pause_asked

        db = Path(settings.db)
        log = log_path(db)
        begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            process = subprocess.Popen(
                engine_command(settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        engine = cls(process, db)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not engine._is_up():
            status = process.poll()
            if status == 0:  # it had nothing left to do
                break
            if status is not None:
                raise CommandError(_last_words(log, begin), status)
            if time.monotonic() > deadline:
                raise CommandError(f"the engine does not answer; see {log}")
            time.sleep(POLL_S)
        if is_pause_asked(db):
            click.echo(f"The engine is paused: `ctv-tui resume --db {db}` lets it score.", err=True)
        return engine

    def _is_up(self) -> bool:
        holder = find_engine(self.db)
        if holder is None or holder.pid != self.process.pid:
            return False
        row = _first_row(self.db, "SELECT pid FROM engine")
        return row is not None and row[0] == self.process.pid

    def drain(self) -> None:
        """Ask the engine to score all that is there and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)

    def stop(self, timeout_s: float = 60.0) -> int:
        """End the engine gracefully and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def find_engine(db: Path) -> LockHolder | None:
    """Return the engine that holds ``db`` now, or None."""
    from ctv_engine.store.lock import running_engine

    return running_engine(db)


def some_engine(db: Path) -> LockHolder:
    """Return the engine that holds ``db``, wherever it runs.

    Raises:
        CommandError: there is none.
    """
    if not db.exists():
        raise CommandError(f"{db}: no such database", EXIT_NO_DATABASE)
    holder = find_engine(db)
    if holder is None:
        raise CommandError(f"{db}: no engine is running", EXIT_NO_DATABASE)
    return holder


def engine_state(db: Path) -> str | None:
    """Return the state that the engine of ``db`` wrote last, or None if it can't be read now."""
    row = _first_row(db, "SELECT state FROM engine")
    return None if row is None else str(row[0])


def last_event(db: Path) -> tuple[int, str]:
    """Return the number of the newest event and its text; 0 and nothing if there is none."""
    row = _first_row(db, "SELECT id, message FROM events ORDER BY id DESC LIMIT 1")
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def _first_row(db: Path, sql: str) -> tuple[Any, ...] | None:
    from ctv_engine.store.reader import StoreError, open_read_only

    try:
        connection = open_read_only(db)
    except StoreError:
        return None
    try:
        row = connection.execute(sql).fetchone()
    except sqlite3.Error:  # locked for a moment, or in the middle of a migration
        return None
    finally:
        connection.close()
    return None if row is None else tuple(row)


def local_engine(db: Path) -> LockHolder:
    """Return the engine that holds ``db``.

    Raises:
        CommandError: there is none, or it runs on another machine.
    """
    holder = some_engine(db)
    if holder.host != socket.gethostname():
        raise CommandError(f"{db}: its engine runs on {holder.host}; run the command there")
    return holder


def send(holder: LockHolder, number: signal.Signals) -> None:
    """Send a signal to an engine; one that has just ended is fine."""
    try:
        os.kill(holder.pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise CommandError(f"pid {holder.pid} belongs to another user") from error


def _last_words(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").strip().splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return "\n".join(errors)
    last = lines[-1] if lines else "it said nothing"
    return f"the engine ended at once: {last} (see {log})"
