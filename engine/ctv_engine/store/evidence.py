"""What scores say beyond correlations: how steady they are, how they order, which is the best.

The engine writes it as results land; dashboard, report, ``compare``, ``best`` and the named queries
read it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from ctv_engine.store.rows import EvidenceRow, Mode, RankRow, values_of

if TYPE_CHECKING:
    from ctv_engine.store.writer import Writer  # not for readers: it loads the migrations


def _names(row: type) -> str:
    return ", ".join(field.name for field in fields(row))


def _insert(table: str, row: type) -> str:
    marks = ", ".join("?" * (len(fields(row)) + 1))
    return f"INSERT OR REPLACE INTO {table} (run_id, {_names(row)}) VALUES ({marks})"


EVIDENCE_COLUMNS = _names(EvidenceRow)
RANKING_COLUMNS = _names(RankRow)
_INSERT_EVIDENCE = _insert("evidence", EvidenceRow)
_INSERT_RANK = _insert("ranking", RankRow)


def has_evidence(connection: sqlite3.Connection) -> bool:
    """Tell whether a database has these tables; an older one that nobody wrote to has not."""
    query = "SELECT 1 FROM sqlite_master WHERE name = 'ranking'"
    return connection.execute(query).fetchone() is not None


def read_ranking(
    connection: sqlite3.Connection, run_id: int, mode: Mode, window: int
) -> list[RankRow]:
    """Return what the engine wrote of a mode, best first; nothing where it wrote none."""
    if not has_evidence(connection):
        return []
    rows = connection.execute(
        f"SELECT {RANKING_COLUMNS} FROM ranking WHERE run_id = ? AND mode = ? AND window = ?"
        " ORDER BY rank, step",
        (run_id, mode, window),
    )
    return [RankRow(*row) for row in rows]


def write_evidence(
    writer: Writer,
    run_id: int,
    evidence: Iterable[EvidenceRow],
    rankings: Mapping[Mode, Sequence[RankRow]],
    *,
    anew: bool = False,
) -> None:
    """Replace rows of the same key, and each ranked mode as a whole. One transaction.

    With ``anew`` the evidence replaces all of the run.
    """
    with writer.transaction() as connection:
        if anew:
            connection.execute("DELETE FROM evidence WHERE run_id = ?", (run_id,))
        connection.executemany(_INSERT_EVIDENCE, [(run_id, *values_of(row)) for row in evidence])
        for mode, rows in rankings.items():
            connection.execute("DELETE FROM ranking WHERE run_id = ? AND mode = ?", (run_id, mode))
            connection.executemany(_INSERT_RANK, [(run_id, *values_of(row)) for row in rows])
