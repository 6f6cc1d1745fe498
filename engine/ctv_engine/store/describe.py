"""What the database holds, told by the database itself: the comments in its schema as a page.

``python -m ctv_engine.store.describe FILE`` writes ``docs/schema.md``.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'[^']*'|\"[^\"]*\"|[(),]|\s+|[^\s(),'\"]+", re.DOTALL)
_MEANING = re.compile(r"(.*?)(?:\s*\[([^\]]+)\])?(?:\s*NULL: (.*))?", re.DOTALL)
_CONSTRAINTS = ("UNIQUE", "PRIMARY", "CHECK", "FOREIGN", "CONSTRAINT")
_VIEW_HEAD = re.compile(r"CREATE VIEW \S+ AS\s*((?:--[^\n]*\n)+)")
_VIEW_COLUMNS = re.compile(r"(\w+(?:, \w+)*)(?: (INTEGER|REAL|TEXT))?: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``null`` says when it has no value, ``values`` are all that it may hold."""

    name: str
    type: str
    optional: bool
    meaning: str = ""
    unit: str = ""
    null: str = ""
    values: tuple[str, ...] = ()
    points_to: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view; ``stray`` are names that are described without being columns of it."""

    name: str
    kind: str
    meaning: str
    columns: tuple[Column, ...]
    stray: tuple[str, ...] = ()


@dataclass(slots=True)
class _Said:
    """What the comments say of one column."""

    comment: str = ""
    type: str = ""
    words: list[str] = field(default_factory=list)


def relations(connection: sqlite3.Connection) -> list[Relation]:
    """Return the tables and views of a database in the order in which they were made."""
    found: dict[str, Relation] = {}
    rows = connection.execute(
        "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view')"
        r" AND name NOT LIKE '\_%' ESCAPE '\' AND name NOT LIKE 'sqlite%' ORDER BY rowid"
    ).fetchall()
    for name, kind, sql in rows:
        read = _table(connection, name, sql) if kind == "table" else _view(connection, name, sql)
        meaning, columns, stray = read
        if kind == "view":
            columns = [_taken_over(column, found) for column in columns]
        found[name] = Relation(name, kind, meaning, tuple(columns), tuple(stray))
    return list(found.values())


def _table(
    connection: sqlite3.Connection, name: str, sql: str
) -> tuple[str, list[Column], list[str]]:
    meaning, said = _commented(sql)
    keys = {row[3]: f"{row[2]}.{row[4]}" for row in _pragma(connection, "foreign_key_list", name)}
    columns = []
    for _, column, kind, not_null, _, key, _ in _pragma(connection, "table_xinfo", name):
        one = said.pop(column, _Said())
        optional = not not_null and not key
        told = _told(column, kind, optional, one.comment)
        columns.append(replace(told, values=_values(one.words), points_to=keys.get(column, "")))
    return meaning, columns, list(said)


def _view(
    connection: sqlite3.Connection, name: str, sql: str
) -> tuple[str, list[Column], list[str]]:
    head = _VIEW_HEAD.match(sql)
    lines = [line[3:] for line in head[1].splitlines()] if head else []
    first, _, rest = "\n".join(lines).partition("\n\n")
    said: dict[str, _Said] = {}
    for entry in re.split(r"\n(?! )", rest):
        if found := _VIEW_COLUMNS.fullmatch(entry):
            one = _Said(" ".join(found[3].split()), found[2] or "")
            said |= dict.fromkeys(found[1].split(", "), one)
    columns = []
    for row in _pragma(connection, "table_xinfo", name):
        one = said.pop(row[1], _Said())
        columns.append(_told(row[1], one.type, False, one.comment))
    return first.replace("\n", " "), columns, list(said)


def _taken_over(column: Column, tables: dict[str, Relation]) -> Column:
    """Return a view's column with what is said of its namesake in the table that it names."""
    table = tables.get(column.meaning.removeprefix("see "))
    if table is None:
        return column
    for one in table.columns:
        if one.name == column.name:
            return replace(one, optional=False, points_to="")
    return replace(column, meaning="")


def _commented(sql: str) -> tuple[str, dict[str, _Said]]:
    """Return what a CREATE TABLE says of the table, and of each of its columns.

    A column without a comment of its own that stands on the line of another shares that one's.
    """
    meaning: list[str] = []
    said: dict[str, _Said] = {}
    depth, fresh_line, previous = 0, True, _Said()
    comments: list[str] = []
    words: list[str] = []
    for token in _TOKEN.findall(sql):
        if token.startswith(("--", "/*")):
            text = token.removeprefix("--").removeprefix("/*").removesuffix("*/")
            (comments if depth else meaning).append(" ".join(text.split()))
        elif token.isspace():
            fresh_line |= "\n" in token and not words
        elif token == "(" and depth == 0:
            depth = 1
        elif depth == 1 and token in ",)":
            if words and words[0] not in _CONSTRAINTS:
                shared = not comments and not fresh_line
                text = previous.comment if shared else " ".join(comments)
                previous = said[words[0]] = _Said(text, words=words)
            depth -= token == ")"
            comments, words, fresh_line = [], [], False
        elif depth:
            depth += (token == "(") - (token == ")")
            words.append(token)
    return " ".join(meaning), said


def _told(name: str, type_: str, optional: bool, comment: str) -> Column:
    """Return a column with its comment taken apart: meaning, unit, when it is NULL."""
    found = _MEANING.fullmatch(comment)
    assert found is not None
    return Column(name, type_, optional, found[1], found[2] or "", found[3] or "")


def _values(words: list[str]) -> tuple[str, ...]:
    if "IN" not in words:
        return ()
    return tuple(word.strip("'") for word in words[words.index("IN") :] if word.startswith("'"))


def _pragma(
    connection: sqlite3.Connection, pragma: str, name: str
) -> list[tuple[int, str, str, str, str, int, int]]:
    return list(map(tuple, connection.execute(f'PRAGMA {pragma}("{name}")')))


def gaps(found: list[Relation]) -> Iterator[str]:
    """Yield what is not described: relations, columns, and when a column has no value."""
    for relation in found:
        if not relation.meaning:
            yield relation.name
        for column in relation.columns:
            where = f"{relation.name}.{column.name}"
            if not column.meaning or not column.type:
                yield where
            elif column.optional and not column.null:
                yield f"{where}: when it is NULL"
        for name in relation.stray:
            yield f"{relation.name}.{name}: there is no such column"


def page(connection: sqlite3.Connection) -> str:
    """Return the page about the tables and views of a database, in Markdown."""
    found = relations(connection)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    parts = [_HEAD.format(version=version)]
    for kind, title in (("table", "Tables"), ("view", "Views")):
        of_kind = [relation for relation in found if relation.kind == kind]
        links = ", ".join(f"[`{one.name}`](#{one.name})" for one in of_kind)
        parts.append(f"## {title}\n\n{links}.\n")
        parts += [_section(connection, relation) for relation in of_kind]
    return "\n".join(parts)


def _section(connection: sqlite3.Connection, relation: Relation) -> str:
    lines = [f"### {relation.name}", "", relation.meaning, ""]
    lines += ["| column | type | meaning | unit | NULL |", "| --- | --- | --- | --- | --- |"]
    for one in relation.columns:
        meaning = one.meaning
        if one.values:
            meaning += f" One of {', '.join(f'`{value}`' for value in one.values)}."
        if one.points_to:
            meaning += f" → `{one.points_to}`"
        cells = (f"`{one.name}`", one.type, meaning, one.unit, one.null)
        lines.append(f"| {' | '.join(cells)} |")
    indexes = list(_indexes(connection, relation))
    if indexes:
        lines += ["", f"Indexes: {', '.join(indexes)}."]
    return "\n".join([*lines, ""])


def _indexes(connection: sqlite3.Connection, relation: Relation) -> Iterator[str]:
    for row in sorted(_pragma(connection, "index_list", relation.name), key=lambda row: row[1]):
        _, name, unique, _, partial, *_ = row
        columns = ", ".join(str(one[2]) for one in _pragma(connection, "index_info", name))
        how = " unique" if unique else ""
        if partial:
            (sql,) = connection.execute(
                "SELECT sql FROM sqlite_master WHERE name = ?", (name,)
            ).fetchone()
            how += f" where {sql.partition('WHERE')[2].strip()}"
        yield f"({columns}){how}"


_HEAD = """# The database

*Written by `make docs` from the schema itself, which holds these words as comments: `.schema` in
the sqlite3 shell, or the foot of a table's page in datasette, shows them too.*

One SQLite file in WAL mode, schema version {version} (`PRAGMA user_version`; version 4 was the
first that was released). The engine is the only one that writes to it. Everybody else may read
while it does, on the same machine: `ctv-tui query`, the sqlite3 shell, datasette, a notebook.
[queries.md](queries.md) has queries to begin with.

- Tables are STRICT: a value has the type of its column, or is NULL.
- Nothing is made up. What is missing is NULL, never 0; the last column says when that is and, in
  parentheses, which column has the reason.
- Times are seconds since 1970 in UTC (`datetime(at, 'unixepoch')`), durations are seconds,
  log-probabilities natural.
- An arrow is a foreign key. `_sqlite_migrations` notes how the file was made.
"""


def main(arguments: list[str]) -> int:
    """Write the page to the file that is named."""
    from ctv_engine.store.schema import migrate

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        Path(arguments[0]).write_text(page(connection), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
