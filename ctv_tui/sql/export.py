"""Every table and view of a database as a file of its own, as of one moment.

All is read in one reading transaction, so that the files fit together although the engine goes on
writing; a table is held a batch at a time, whatever its size.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from ctv_engine.store.reader import open_read_only
from ctv_tui.sql.names import nearest
from ctv_tui.sql.printing import csv_line

Kind = Literal["parquet", "csv"]
ColumnType = Literal["INTEGER", "REAL", "TEXT", "BLOB"]

BATCH_ROWS = 16_384
BATCH_CHARACTERS = 16 * 2**20
_FETCHED = 256
_TYPES: dict[str, ColumnType] = {
    "integer": "INTEGER",
    "real": "REAL",
    "text": "TEXT",
    "blob": "BLOB",
}


class ExportError(Exception):
    """What can't be exported, and why, in one line.

    ``is_failure`` tells that it could have been: the disk was full, say.
    """

    def __init__(self, text: str, *, is_failure: bool = False) -> None:
        super().__init__(text)
        self.is_failure = is_failure


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written."""

    path: Path
    rows: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file and the one type that all of its values have, or NULL."""

    name: str
    type: ColumnType


Rows = list[tuple[Any, ...]]
Sink = Callable[[Path, Sequence[Column], Iterator[Rows]], int]
"""Writes batches of rows to a file and returns how many rows there were."""


def export(
    path: Path, folder: Path, kind: Kind, names: Sequence[str] = (), *, force: bool = False
) -> list[Exported]:
    """Write tables and views of ``path`` to ``folder``; ``names`` chooses some of them.

    No file has its name before all of them are whole.

    Raises:
        StoreError: no such database, or one that can't be read.
        ExportError: no such table, a file that is there already, or one that can't be written.
    """
    write = _sink(kind)
    with closing(open_read_only(path)) as connection:
        connection.row_factory = None
        connection.text_factory = lambda text: text.decode(errors="replace")
        connection.execute("BEGIN")
        chosen = _chosen(connection, names)
        targets = [folder / f"{quote(name, safe=' ')}.{kind}" for name in chosen]
        existing = next((target for target in targets if target.exists()), None)
        if existing is not None and not force:
            raise ExportError(f"{existing} is there already; --force writes it anew")
        drafts = [target.with_name(f".{target.name}.{os.getpid()}") for target in targets]
        done: list[Exported] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, target, draft in zip(chosen, targets, drafts, strict=True):
                columns = _columns(connection, name)
                done.append(Exported(target, write(draft, columns, _batches(connection, name))))
            for target, draft in zip(targets, drafts, strict=True):
                draft.replace(target)
        except (OSError, sqlite3.Error) as error:
            text = f"{folder}: {type(error).__name__}: {error}; nothing was exported"
            raise ExportError(text, is_failure=True) from error
        finally:
            for draft in drafts:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)
    return done


def _chosen(connection: sqlite3.Connection, names: Sequence[str]) -> list[str]:
    known = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            r" AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_%' ESCAPE '\'"
            " ORDER BY name"
        )
    ]
    for name in names:
        if name not in known:
            raise ExportError(f"no table or view is called {name!r}{nearest(name, known)}")
    return list(dict.fromkeys(names)) or known


def _columns(connection: sqlite3.Connection, name: str) -> list[Column]:
    """Return a relation's columns with types that hold for every value.

    A STRICT table states them. A view, or somebody's own table, is read once for them; a column
    without any value has the type that it states, or REAL.
    """
    rows = connection.execute(f"PRAGMA table_xinfo({_quoted(name)})").fetchall()
    stated = {row[1]: row[2] for row in rows}
    if _is_strict(connection, name):
        return [Column(column, _known(type_) or "REAL") for column, type_ in stated.items()]
    looks = ", ".join(
        f"max(typeof({_quoted(column)}) = '{one}')" for column in stated for one in _TYPES
    )
    found = connection.execute(f"SELECT {looks} FROM {_quoted(name)}").fetchone()
    columns = []
    for place, (column, type_) in enumerate(stated.items()):
        seen = found[place * len(_TYPES) : (place + 1) * len(_TYPES)]
        kinds = [one for one, is_there in zip(_TYPES.values(), seen, strict=True) if is_there]
        columns.append(Column(column, kinds[-1] if kinds else _known(type_) or "REAL"))
    return columns


def _known(stated: str) -> ColumnType | None:
    return _TYPES.get({"int": "integer"}.get(stated.lower(), stated.lower()))


def _is_strict(connection: sqlite3.Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)
    ).fetchone()
    return bool(row and row[0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _batches(connection: sqlite3.Connection, name: str) -> Iterator[Rows]:
    """Yield rows, as many at a time as memory should hold."""
    cursor = connection.execute(f"SELECT * FROM {_quoted(name)}")
    batch: Rows = []
    characters = 0
    while rows := cursor.fetchmany(_FETCHED):
        batch += rows
        characters += sum(len(value) for row in rows for value in row if isinstance(value, str))
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _sink(kind: Kind) -> Sink:
    if kind == "csv":
        return _write_csv
    try:
        from ctv_tui.sql.parquet import write_parquet
    except ImportError as error:
        raise ExportError(
            f"--parquet needs {error.name}: pip install 'ctv-tui[parquet]'"
        ) from error
    return write_parquet


def _write_csv(path: Path, columns: Sequence[Column], batches: Iterator[Rows]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_line([column.name for column in columns]))
        for batch in batches:
            file.writelines(map(csv_line, batch))
            count += len(batch)
    return count
