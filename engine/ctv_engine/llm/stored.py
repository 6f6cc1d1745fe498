"""Replies that were paid for, in one SQLite file, and what they cost."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    name TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    purpose TEXT NOT NULL,
    reply_json TEXT NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost REAL NOT NULL,
    created_at REAL NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls that were answered, their tokens and their cost by the provider's prices."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


class Replies:
    """The replies of all providers by the hash of what was asked. Processes may share the file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            OSError: it can't be made there.
            sqlite3.DatabaseError: it is no such file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(_TABLE)
        except sqlite3.DatabaseError:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, name: str) -> str | None:
        """Return the reply of that name as JSON, None where it was never given."""
        row = self._db.execute("SELECT reply_json FROM replies WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def keep(
        self,
        name: str,
        reply_json: str,
        *,
        provider: str,
        model: str,
        purpose: str,
        input_tokens: int | None,
        output_tokens: int | None,
        cost: float,
    ) -> None:
        """Keep a reply; what another process kept meanwhile under that name stays."""
        self._db.execute(
            "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                name, provider, model, purpose, reply_json, input_tokens, output_tokens, cost,
                time.time(),
            ),
        )  # fmt: skip

    def spent(self) -> dict[tuple[str, str], Spent]:
        """Return what was spent by provider and purpose."""
        return {
            (provider, purpose): Spent(*sums)
            for provider, purpose, *sums in self._db.execute(
                "SELECT provider, purpose, count(*), coalesce(sum(input_tokens), 0),"
                " coalesce(sum(output_tokens), 0), sum(cost) FROM replies GROUP BY 1, 2"
            )
        }
