"""One statement, asked of a database that nobody can change through it, for a limited time."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ctv_engine.store.reader import open_read_only
from ctv_tui.data.safe_text import safe

ROWS_AT_ONCE = 500
STEPS_BETWEEN_LOOKS = 10_000
"""Steps of SQLite's virtual machine between two looks at the clock; well under a millisecond."""

_ALLOWED = frozenset(
    {
        *(sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION),
        sqlite3.SQLITE_RECURSIVE,
    }
)
_READING_PRAGMAS = frozenset(
    {
        *("application_id", "user_version", "page_count", "page_size", "freelist_count"),
        *("encoding", "journal_mode", "compile_options", "function_list", "pragma_list"),
        *("table_list", "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo"),
        *("foreign_key_list", "database_list", "collation_list", "data_version"),
    }
)
_TAKES_A_NAME = frozenset(
    {
        *("table_list", "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo"),
        "foreign_key_list",
    }
)
"""Pragmas whose argument says what to tell; that of others would set something."""

_SCHEMA_TABLE = "sqlite_master"


class AskingError(Exception):
    """A statement that can't be answered; the text is one line that says why.

    ``is_late`` tells that it can be answered, but not in the time that it had.
    """

    def __init__(self, text: str, *, is_late: bool = False) -> None:
        super().__init__(safe(text))
        self.is_late = is_late


class _Given(dict[str, Any]):
    """Values of parameters that notes which of them were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


class Rows:
    """The answer to a statement: names of columns at once, rows as they are read.

    A reading transaction is open until the last row was read or :meth:`close` is called; the engine
    goes on writing meanwhile.
    """

    def __init__(
        self, path: Path, sql: str, parameters: Mapping[str, Any], timeout_s: float = 0.0
    ) -> None:
        """Ask ``sql`` of ``path``. ``timeout_s`` bounds the time that SQLite works; 0: no bound.

        Raises:
            StoreError: no such database, or one that can't be read.
            AskingError: the statement is not one that can be asked, or took too long.
        """
        self._timeout_s = timeout_s
        self._spent_s = 0.0
        self._since: float | None = None
        self._connection = open_read_only(path)
        try:
            self._connection.row_factory = None
            self._connection.text_factory = lambda text: text.decode(errors="replace")
            self._connection.set_authorizer(_authorise)
            if timeout_s:
                self._connection.set_progress_handler(self._is_over, STEPS_BETWEEN_LOOKS)
            self._cursor = self._ask(sql, parameters)
        except BaseException:
            self._connection.close()
            raise
        self.names = tuple(column[0] for column in self._cursor.description)

    def _ask(self, sql: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        given = _Given(parameters)
        cursor = self._timed(self._connection.execute, sql, given)
        unasked = [name for name in parameters if name not in given.asked]
        if cursor.description is None:
            raise AskingError("nothing to answer: give a SELECT statement")
        if unasked:
            raise AskingError(f"the statement has no parameter :{unasked[0]}")
        assert isinstance(cursor, sqlite3.Cursor)
        return cursor

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, a few hundred read at a time.

        Raises:
            AskingError: reading failed, or took too long.
        """
        with closing(self._connection):
            while rows := self._timed(self._cursor.fetchmany, ROWS_AT_ONCE):
                yield from rows

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def _timed(self, work: Any, *arguments: Any) -> Any:
        self._since = time.monotonic()
        try:
            return work(*arguments)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            if str(error) == "interrupted":
                text = f"took longer than {self._timeout_s:g} s; a larger --timeout lets it go on"
                raise AskingError(text, is_late=True) from error
            raise AskingError(_words(str(error))) from error
        finally:
            self._spent_s += time.monotonic() - self._since
            self._since = None

    def _is_over(self) -> bool:
        now = time.monotonic()
        return self._spent_s + now - (self._since or now) > self._timeout_s


def _words(text: str) -> str:
    """Return SQLite's words and the way out."""
    if "authoriz" in text or "prohibited" in text or "readonly" in text:
        return f"{text}: only statements that read can be asked, and of this file alone"
    if "one statement at a time" in text:
        return "more than one statement; ask one at a time"
    if "binding" in text.lower():
        found = re.search(r"[:@$](\w+)", text)
        name = found[1] if found else ""
        if not name or name.isdigit():
            return "a parameter without a name; write :NAME and give --param NAME=…"
        return f"the statement's parameter :{name} has no value; give one with --param {name}=…"
    if text in ("no such table: evidence", "no such table: ranking"):
        return f"{text}: an older ctv-tui wrote this file; `ctv-tui best` and `report` work it out"
    if text.startswith(("no such table", "no such column")):
        return f"{text}; docs/schema.md describes what there is"
    return text


def _authorise(
    action: int, first: str | None, second: str | None, database: str | None, source: str | None
) -> int:
    """Allow what reads; refuse the rest, whatever it is.

    A table-valued function like ``json_each`` is declared as a table when it is first used, which
    looks here like a change of the schema. A real one fails, since the file is only open to read.
    """
    if action == sqlite3.SQLITE_PRAGMA:
        reads = first in _READING_PRAGMAS and (second is None or first in _TAKES_A_NAME)
        return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_UPDATE and first == _SCHEMA_TABLE:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
