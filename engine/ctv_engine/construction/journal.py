"""The record of a build: one SQLite file, written after every step, so that nothing is done twice.

Every item of the sample is a row of ``drafts``, from *sampled* to *kept* or out. The answers of the
annotators are ``votes``; what a person decides about a queued item is a row of ``decisions``.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ctv_engine.construction.source import Origin, SourceItem
from ctv_engine.suite.metrics import Meta, read_meta

JOURNAL_FILE = "build.db"
FORMAT = 1

_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value_json TEXT NOT NULL) STRICT;
CREATE TABLE drafts (
    id INTEGER PRIMARY KEY,
    dataset TEXT NOT NULL,
    key TEXT NOT NULL,
    question TEXT NOT NULL,
    answers_json TEXT NOT NULL,
    image TEXT NOT NULL,
    meta_json TEXT NOT NULL,
    stratum TEXT NOT NULL,
    source_file TEXT NOT NULL,
    source_row INTEGER NOT NULL,
    options_json TEXT NOT NULL,
    gold_index INTEGER,
    provenance_json TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('sampled', 'converted', 'rejected', 'kept', 'queued', 'dropped')),
    reason TEXT,
    UNIQUE (dataset, key)
) STRICT;
CREATE INDEX drafts_by_state ON drafts (state, dataset);
CREATE TABLE votes (
    draft_id INTEGER NOT NULL REFERENCES drafts (id),
    annotator TEXT NOT NULL,
    choice INTEGER,
    reason TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (draft_id, annotator)
) STRICT;
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    draft_id INTEGER NOT NULL REFERENCES drafts (id),
    action TEXT NOT NULL,
    before_json TEXT NOT NULL,
    after_json TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
"""


class State(StrEnum):
    """Where an item stands.

    ``sampled`` → ``converted`` (it has options) → ``kept``, or ``queued`` for a person because the
    annotators don't agree with the key; ``rejected`` by the converter and ``dropped`` by a person
    are out, with the reason.
    """

    SAMPLED = "sampled"
    CONVERTED = "converted"
    REJECTED = "rejected"
    KEPT = "kept"
    QUEUED = "queued"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Draft:
    """An item on its way. ``image`` is the picture's path below the suite's directory."""

    id: int
    dataset: str
    key: str
    question: str
    answers: tuple[str, ...]
    image: str
    meta: Meta
    stratum: str
    origin: Origin
    options: tuple[str, ...] = ()
    gold_index: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    state: State = State.SAMPLED
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """What one annotator answered: the index of an option, or None with the reason."""

    annotator: str
    choice: int | None
    reason: str | None = None


class JournalError(Exception):
    """A build directory that can't be used; the message says why and the way out."""


class DecidedMeanwhile(Exception):
    """A draft is no longer as it was when it was looked at; ``draft`` is how it is now."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(f"{draft.dataset}/{draft.key} was changed meanwhile: it is {draft.state}")
        self.draft = draft


class Journal:
    """The build of one suite directory. One process writes; each call is one transaction."""

    def __init__(self, directory: Path, *, create: bool = False) -> None:
        """Open the journal of ``directory``.

        Raises:
            JournalError: there is none and ``create`` is false, or it is of another format.
        """
        path = Path(directory) / JOURNAL_FILE
        if not create and not path.is_file():
            raise JournalError(
                f"{directory}: no {JOURNAL_FILE}; it is made by ctv-tui suite build --out"
                f" {directory}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.directory = Path(directory)
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA journal_mode = WAL")
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found == 0 and create:
                self._db.executescript(
                    f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;"
                )
            elif found != FORMAT:
                raise JournalError(f"{path}: format {found}, this version reads {FORMAT}")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise JournalError(f"{path}: {error}") from error
        except JournalError:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def setting(self, name: str) -> Any:
        """Return a setting of the build, None where it was not set."""
        row = self._db.execute("SELECT value_json FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set(self, name: str, value: Any) -> None:
        """Keep a setting of the build."""
        self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, _json(value)))

    def add(self, items: Iterable[tuple[SourceItem, str]]) -> None:
        """Take up sampled items with the place of their picture; known ones are left alone."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO drafts (dataset, key, question, answers_json, image, meta_json,"
                " stratum, source_file, source_row, options_json, gold_index, provenance_json,"
                " state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', 'sampled')"
                " ON CONFLICT (dataset, key) DO NOTHING",
                (
                    (
                        item.dataset,
                        item.key,
                        item.question,
                        _json(item.answers),
                        image,
                        _json(item.meta.stated()),
                        item.stratum,
                        item.origin.file,
                        item.origin.row,
                        _json(item.options),
                        item.gold_index,
                    )
                    for item, image in items
                ),
            )

    def drafts(self, *states: State, dataset: str | None = None) -> Iterator[Draft]:
        """Yield the drafts in these states (all of them without any), in the order of the sample.

        What the caller writes meanwhile does not disturb the reading.
        """
        last = 0
        marks = ", ".join("?" * len(states))
        where = f" AND state IN ({marks})" if states else ""
        where += " AND dataset = ?" if dataset is not None else ""
        asked = [*states, *([dataset] if dataset is not None else [])]
        while rows := self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM drafts WHERE id > ?{where} ORDER BY id LIMIT 500",
            (last, *asked),
        ).fetchall():
            yield from map(_draft, rows)
            last = rows[-1][0]

    def draft(self, draft_id: int) -> Draft:
        """Return one draft.

        Raises:
            KeyError: there is none of that id.
        """
        row = self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM drafts WHERE id = ?", (draft_id,)
        ).fetchone()
        if row is None:
            raise KeyError(draft_id)
        return _draft(row)

    def counts(self) -> dict[tuple[str, State], int]:
        """Return how many drafts each dataset has in each state."""
        rows = self._db.execute("SELECT dataset, state, count(*) FROM drafts GROUP BY 1, 2")
        return {(dataset, State(state)): n for dataset, state, n in rows}

    def convert(
        self,
        draft_id: int,
        options: Sequence[str],
        gold_index: int,
        provenance: Mapping[str, Any],
    ) -> None:
        """Give a draft its closed form; its earlier votes no longer count."""
        with self._transaction():
            self._db.execute("DELETE FROM votes WHERE draft_id = ?", (draft_id,))
            self._db.execute(
                "UPDATE drafts SET options_json = ?, gold_index = ?, provenance_json = ?,"
                " state = 'converted', reason = NULL WHERE id = ?",
                (_json(options), gold_index, _json(provenance), draft_id),
            )

    def settle(self, draft_id: int, state: State, reason: str | None = None) -> None:
        """Put a draft into a state; out or queued ones need the reason."""
        self._db.execute(
            "UPDATE drafts SET state = ?, reason = ? WHERE id = ?", (state, reason, draft_id)
        )

    def vote(self, draft_id: int, vote: Vote) -> None:
        """Keep an annotator's answer in place of its earlier one."""
        self._db.execute(
            "INSERT OR REPLACE INTO votes VALUES (?, ?, ?, ?, ?)",
            (draft_id, vote.annotator, vote.choice, vote.reason, time.time()),
        )

    def votes(self, draft_id: int) -> tuple[Vote, ...]:
        """Return the votes on a draft, by annotator."""
        rows = self._db.execute(
            "SELECT annotator, choice, reason FROM votes WHERE draft_id = ? ORDER BY annotator",
            (draft_id,),
        )
        return tuple(Vote(*row) for row in rows)

    def decide(
        self,
        draft_id: int,
        action: str,
        *,
        state: State,
        question: str | None = None,
        options: Sequence[str] | None = None,
        gold_index: int | None = None,
        reason: str | None = None,
        seen: Draft | None = None,
    ) -> Draft:
        """Keep what a person decided, with what was before it; return the draft as it is now.

        Raises:
            DecidedMeanwhile: the draft is not as it was ``seen``, so nothing was decided.
        """
        with self._transaction():
            before = self.draft(draft_id)
            if seen is not None and before != seen:
                raise DecidedMeanwhile(before)
            after = {
                "question": before.question if question is None else question,
                "options": list(before.options if options is None else options),
                "gold_index": before.gold_index if gold_index is None else gold_index,
                "state": state,
                "reason": reason,
            }
            self._write_decision(draft_id, action, _decidable(before), after)
        return self.draft(draft_id)

    def undo(self) -> Draft | None:
        """Take back the last decision; return the draft as it was, None where there is none."""
        with self._transaction():
            row = self._db.execute(
                "SELECT id, draft_id, before_json FROM decisions ORDER BY id DESC LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            decision, draft_id, before = row
            self._apply(draft_id, json.loads(before))
            self._db.execute("DELETE FROM decisions WHERE id = ?", (decision,))
        return self.draft(draft_id)

    def edited(self, draft_id: int) -> bool:
        """Say whether a person changed the question or an option, so that votes are older."""
        rows = self._db.execute(
            "SELECT before_json, after_json FROM decisions WHERE draft_id = ?", (draft_id,)
        )
        return any(
            before[name] != after[name]
            for before, after in (map(json.loads, row) for row in rows)
            for name in ("question", "options")
        )

    def _write_decision(
        self, draft_id: int, action: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        self._db.execute(
            "INSERT INTO decisions (draft_id, action, before_json, after_json, at)"
            " VALUES (?, ?, ?, ?, ?)",
            (draft_id, action, _json(before), _json(after), time.time()),
        )
        self._apply(draft_id, after)

    def _apply(self, draft_id: int, values: Mapping[str, Any]) -> None:
        self._db.execute(
            "UPDATE drafts SET question = ?, options_json = ?, gold_index = ?, state = ?,"
            " reason = ? WHERE id = ?",
            (
                values["question"],
                _json(values["options"]),
                values["gold_index"],
                values["state"],
                values["reason"],
                draft_id,
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


_COLUMNS = (
    "id",
    "dataset",
    "key",
    "question",
    "answers_json",
    "image",
    "meta_json",
    "stratum",
    "source_file",
    "source_row",
    "options_json",
    "gold_index",
    "provenance_json",
    "state",
    "reason",
)


def _draft(row: Sequence[Any]) -> Draft:
    read = dict(zip(_COLUMNS, row, strict=True))
    return Draft(
        id=read["id"],
        dataset=read["dataset"],
        key=read["key"],
        question=read["question"],
        answers=tuple(json.loads(read["answers_json"])),
        image=read["image"],
        meta=read_meta(json.loads(read["meta_json"]), []),
        stratum=read["stratum"],
        origin=Origin(read["source_file"], read["source_row"]),
        options=tuple(json.loads(read["options_json"])),
        gold_index=read["gold_index"],
        provenance=json.loads(read["provenance_json"]),
        state=State(read["state"]),
        reason=read["reason"],
    )


def _decidable(draft: Draft) -> dict[str, Any]:
    return {
        "question": draft.question,
        "options": list(draft.options),
        "gold_index": draft.gold_index,
        "state": draft.state,
        "reason": draft.reason,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
