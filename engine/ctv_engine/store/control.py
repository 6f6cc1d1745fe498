"""The wish that an engine pause: a file beside the database, there as long as it holds.

It outlives both the engine and the one who wished: an engine that is started again, by a person or
after a crash, is paused still. Whoever may write beside the database may ask, from any machine.
"""

from __future__ import annotations

from pathlib import Path


def pause_path(database: Path) -> Path:
    """Return the file whose existence is the wish."""
    return database.with_name(database.name + ".paused")


def ask_pause(database: Path) -> None:
    """Wish that the engine of ``database`` finish its batches, free its devices and wait.

    Raises:
        OSError: the directory can't be written to.
    """
    pause_path(database).touch()


def ask_resume(database: Path) -> bool:
    """Take the wish back; return whether there was one.

    Raises:
        OSError: the directory can't be written to.
    """
    try:
        pause_path(database).unlink()
    except FileNotFoundError:
        return False
    return True


def is_pause_asked(database: Path) -> bool:
    """Tell whether the engine of ``database`` is to pause."""
    return pause_path(database).exists()
