"""Opening the database to read: never creates, never locks the writer out, never guesses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ctv_engine.store.rows import APPLICATION_ID, FIRST_VERSION, SCHEMA_VERSION

BUSY_TIMEOUT_S = 0.25


class StoreError(Exception):
    """A database that can't be used; the text names the file and the way out."""


class NewerSchemaError(StoreError):
    """The file was written by a newer version of the program."""


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open ``path`` for reading only and check that it is ours and not newer than we are.

    A finished run in a directory that can't be written to has no WAL beside it and can only be
    opened as immutable; a live file never is, since that would miss what is still in the WAL.

    Raises:
        StoreError: no such file, not a database, not a ctv-tui database, or one from before the
            first release.
        NewerSchemaError: the file's schema is newer than this program's.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(
            f"{path}: no such database; start one with `ctv-tui watch` or `ctv-tui demo`"
        )
    uri = path.resolve().as_uri()
    try:
        connection = _connect(f"{uri}?mode=ro")
        version = _check(connection, path)
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or Path(f"{path}-wal").exists():
            raise StoreError(f"{path}: {error}") from error
        try:
            connection = _connect(f"{uri}?mode=ro&immutable=1")
            version = _check(connection, path)
        except sqlite3.OperationalError as again:
            raise StoreError(f"{path}: can't be opened: {again}") from again
    if version > SCHEMA_VERSION:
        connection.close()
        raise NewerSchemaError(
            f"{path}: written by a newer ctv-tui (schema {version}, this one reads up to"
            f" {SCHEMA_VERSION}); upgrade ctv-tui to open it"
        )
    if 0 < version < FIRST_VERSION:
        connection.close()
        raise StoreError(f"{path}: {unreleased(version)}")
    return connection


def unreleased(version: int) -> str:
    """Say what is wrong with a file of a schema that was never released."""
    return (
        f"written by a ctv-tui from before its first release (schema {version}, the first one"
        f" released is {FIRST_VERSION}); validate the run anew into another file"
    )


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> int:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreError(f"{path}: not an SQLite database ({error})") from error
    if application != APPLICATION_ID:
        connection.close()
        raise StoreError(f"{path}: an SQLite database, but not one that ctv-tui wrote")
    return version
