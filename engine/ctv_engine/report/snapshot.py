"""The database at one instant, and every question that was asked of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ctv_engine.report.wording import visible
from ctv_engine.store.reader import open_read_only

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it was run, with what it returned. ``name`` is the stem of its CSV file."""

    name: str
    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Snapshot:
    """One read transaction: whatever the engine writes meanwhile, all numbers are of one instant.

    ``as_of`` is that instant, in epoch seconds. Where several databases are read, ``label`` tells
    them apart: it stands before the names of the queries and in their first line.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, label: str = "") -> None:
        self._connection = connection
        self._label = label
        self.path = path
        self.as_of = time.time()

    def ask(self, name: str, sql: str) -> Asked:
        """Run a query that holds all of its values, so that it can be printed and run again."""
        text = _dedented(sql)
        if self._label:
            name = f"{self._label.lower()}-{name}"
            text = f"-- {self._label}: {visible(self.path.resolve())}\n{text}"
        cursor = self._connection.execute(text)
        columns = tuple(column[0] for column in cursor.description)
        return Asked(name, text, columns, tuple(tuple(row) for row in cursor))

    def read(self, reader: Callable[[sqlite3.Connection], Read]) -> Read:
        """Return what ``reader`` makes of more than one query, at the same instant."""
        return reader(self._connection)


@contextmanager
def snapshot_of(path: Path, label: str = "") -> Iterator[Snapshot]:
    """Open a database to read it as it is now.

    Raises:
        StoreError: no such file, not ours, or newer than we are.
    """
    connection = open_read_only(path)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM runs").fetchone()
        yield Snapshot(connection, path, label)
    finally:
        connection.close()


def _dedented(sql: str) -> str:
    lines = [line for line in sql.strip("\n").splitlines() if line.strip()]
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[margin:].rstrip() for line in lines)
