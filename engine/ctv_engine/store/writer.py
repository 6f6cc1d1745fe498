"""The one writer of a database. Every method is one short transaction."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from ctv_engine.store.balance import BALANCE_OF_ONE
from ctv_engine.store.minutes import Minutes
from ctv_engine.store.reader import StoreError, unreleased
from ctv_engine.store.rows import (
    APPLICATION_ID,
    FIRST_VERSION,
    SCHEMA_VERSION,
    CheckpointState,
    CorrelationRow,
    DatasetRow,
    EngineState,
    EvaluationState,
    EventLevel,
    GpuRow,
    ItemRow,
    LengthRow,
    Mode,
    PredictionRow,
    RotationRow,
    SampleRow,
    SpanRow,
    WorkerState,
    WorkRow,
    values_of,
)
from ctv_engine.store.schema import MIGRATION_SET, MIGRATIONS_TABLE, migrate
from ctv_engine.store.scores import Score, scores_of

BUSY_TIMEOUT_S = 30.0
RAW_SAMPLES_KEPT_S = 3600.0
JOURNAL_LIMIT_BYTES = 64 * 2**20


_BALANCED_AGAIN = 3


def _insert(table: str, row: type, *extra: str) -> str:
    names = [field.name for field in fields(row)] + list(extra)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"


_INSERT_PREDICTION = (
    _insert("predictions", PredictionRow, "created_at")
    + " ON CONFLICT (evaluation_id, item_id, permutation) DO NOTHING"
)
_INSERT_ROTATION = _insert("rotations", RotationRow) + " ON CONFLICT DO NOTHING"
_INSERT_SPAN = _insert("spans", SpanRow)
_INSERT_SAMPLE = _insert("gpu_samples", SampleRow)
_INSERT_GPU = _insert("gpus", GpuRow).replace("INSERT", "INSERT OR REPLACE", 1)
_INSERT_LENGTH = _insert("prompt_lengths", LengthRow).replace("INSERT", "INSERT OR REPLACE", 1)
_ADD_WORK = (
    "UPDATE evaluations SET "
    + ", ".join(f"{one.name} = {one.name} + ?" for one in fields(WorkRow))
    + " WHERE id = ?"
)
_INSERT_CORRELATION = _insert("correlations", CorrelationRow, "run_id").replace(
    "INSERT", "INSERT OR REPLACE", 1
)


class Writer:
    """Creates or opens a database and writes to it. Used by one thread of one process."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``, switch it to WAL and migrate it.

        Raises:
            StoreError: the directory is missing, the file is not ours, newer than we are, or older
                than the first release.
        """
        self.path = Path(path)
        self._closed = False
        self._minutes = Minutes()
        if not self.path.parent.is_dir():
            raise StoreError(f"{self.path}: no such directory {self.path.parent}")
        try:
            self.connection = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None
            )
            self._refuse_foreign()
            self.journal_mode = self._pragma("journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute("PRAGMA foreign_keys = ON")
            self.connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
            migrate(self.connection)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path}: can't be opened as a database: {error}") from error

    def _pragma(self, text: str) -> Any:
        return self.connection.execute(f"PRAGMA {text}").fetchone()[0]

    def _refuse_foreign(self) -> None:
        tables = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        version = self._pragma("user_version")
        if tables and version and self._pragma("application_id") != APPLICATION_ID:
            raise StoreError(f"{self.path}: an SQLite database, but not one that ctv-tui wrote")
        if tables and not version and not self._half_migrated():
            raise StoreError(f"{self.path}: an SQLite database, but not one that ctv-tui wrote")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: written by a newer ctv-tui (schema {version}, this one writes"
                f" {SCHEMA_VERSION}); upgrade ctv-tui or choose another --db"
            )
        if 0 < version < FIRST_VERSION:
            raise StoreError(f"{self.path}: {unreleased(version)}")

    def _half_migrated(self) -> bool:
        """Tell whether our migration was interrupted before the file was marked as ours."""
        names = {name for (name,) in self.query("SELECT name FROM sqlite_master")}
        if MIGRATIONS_TABLE not in names:
            return False
        ours = f"SELECT count(*) FROM {MIGRATIONS_TABLE} WHERE migration_set = ?"
        others = {name for name in names if MIGRATIONS_TABLE not in name}
        return not others or bool(self.query(ours, MIGRATION_SET)[0][0])

    def close(self) -> None:
        """Fold the WAL back into the file and close it.

        Closing does that only for the last connection; with a dashboard open the file alone would
        lack what is still in the WAL. A reader in the middle of a read is waited for, briefly.
        """
        if self._closed:
            return
        self._closed = True
        self.connection.execute("PRAGMA busy_timeout = 2000")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end, rolled back on any error."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return self.connection.execute(sql, values).fetchall()

    # --- what is asked ------------------------------------------------------------------------

    def add_suite(
        self, digest: str, datasets: Sequence[DatasetRow], items: Iterable[ItemRow]
    ) -> dict[tuple[str, str], int]:
        """Store a suite once; return the id of every item by (dataset, key)."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO datasets (suite_digest, name, open_metric, items)"
                " VALUES (?, ?, ?, ?)",
                [(digest, *values_of(dataset)) for dataset in datasets],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO items (suite_digest, dataset, key, question, options_json,"
                " gold_index, answers_json, image, image_digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(digest, *values_of(item)) for item in items],
            )
        rows = self.query("SELECT dataset, key, id FROM items WHERE suite_digest = ?", digest)
        return {(dataset, key): item_id for dataset, key, item_id in rows}

    def open_run(
        self,
        *,
        name: str,
        checkpoint_dir: str,
        suite_digest: str,
        gold_digest: str | None,
        config_json: str,
        versions_json: str,
        host: str,
    ) -> int:
        """Return the run of this directory and these suites, made anew or taken up again."""
        with self.transaction() as connection:
            found = connection.execute(
                "SELECT id FROM runs WHERE checkpoint_dir = ? AND suite_digest = ?"
                " AND gold_digest IS ?",
                (checkpoint_dir, suite_digest, gold_digest),
            ).fetchone()
            if found:
                connection.execute(
                    "UPDATE runs SET name = ?, config_json = ?, versions_json = ?, host = ?,"
                    " finished_at = NULL WHERE id = ?",
                    (name, config_json, versions_json, host, found[0]),
                )
                return int(found[0])
            cursor = connection.execute(
                "INSERT INTO runs (name, checkpoint_dir, suite_digest, gold_digest, config_json,"
                " versions_json, host, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    checkpoint_dir,
                    suite_digest,
                    gold_digest,
                    config_json,
                    versions_json,
                    host,
                    time.time(),
                ),
            )
            return int(cursor.lastrowid or 0)

    def finish_run(self, run_id: int) -> None:
        """Mark the run as ended."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE runs SET finished_at = ? WHERE id = ?", (time.time(), run_id)
            )

    # --- which model --------------------------------------------------------------------------

    def add_checkpoint(self, run_id: int, step: int, path: str, found_at: float) -> int:
        """Insert a checkpoint that was just found and return its id."""
        with self.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO checkpoints (run_id, step, path, state, found_at)"
                " VALUES (?, ?, ?, 'found', ?)",
                (run_id, step, path, found_at),
            )
            return int(cursor.lastrowid or 0)

    def set_checkpoint(
        self, checkpoint_id: int, state: CheckpointState, reason: str | None = None, **columns: Any
    ) -> None:
        """Change a checkpoint's state, its reason and any other columns by name."""
        names = ["state", "reason", *columns]
        text = ", ".join(f"{name} = ?" for name in names)
        with self.transaction() as connection:
            connection.execute(
                f"UPDATE checkpoints SET {text} WHERE id = ?",
                (state, reason, *columns.values(), checkpoint_id),
            )

    # --- the work -----------------------------------------------------------------------------

    def add_evaluation(self, checkpoint_id: int, mode: Mode, schedule: str, planned: int) -> int:
        """Insert an evaluation, or return the one that exists.

        One that only holds imported scores has yet to be made, and keeps them beside its own.
        """
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO evaluations (checkpoint_id, mode, schedule, state, planned)"
                " VALUES (?, ?, ?, 'queued', ?) ON CONFLICT (checkpoint_id, mode) DO UPDATE"
                " SET schedule = excluded.schedule, state = 'queued', planned = excluded.planned,"
                " started_at = NULL, finished_at = NULL WHERE schedule = 'imported'",
                (checkpoint_id, mode, schedule, planned),
            )
            row = connection.execute(
                "SELECT id FROM evaluations WHERE checkpoint_id = ? AND mode = ?",
                (checkpoint_id, mode),
            ).fetchone()
            return int(row[0])

    def start_evaluation(self, evaluation_id: int) -> None:
        """Mark an evaluation as running; its first start is kept."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE evaluations SET state = 'running',"
                " started_at = coalesce(started_at, ?) WHERE id = ?",
                (time.time(), evaluation_id),
            )

    def add_lengths(self, rows: Sequence[LengthRow]) -> None:
        """Keep the lengths of prompts."""
        with self.transaction() as connection:
            connection.executemany(_INSERT_LENGTH, [values_of(row) for row in rows])

    def add_results(
        self,
        predictions: Sequence[PredictionRow],
        spans: Sequence[SpanRow],
        work: Mapping[int, WorkRow] | None = None,
        rotations: Sequence[RotationRow] = (),
    ) -> None:
        """Persist one batch: predictions (the first result of an item stays), spans, and work.

        ``work`` is by evaluation; what is done twice counts twice.
        """
        now = time.time()
        by_status: dict[tuple[int, str], list[tuple[Any, ...]]] = defaultdict(list)
        for row in predictions:
            by_status[row.evaluation_id, row.status].append((*values_of(row), now))
        with self.transaction() as connection:
            for (evaluation_id, status), rows in by_status.items():
                new = connection.executemany(_INSERT_PREDICTION, rows).rowcount
                counter = "done" if status == "ok" else "failed"
                connection.execute(
                    f"UPDATE evaluations SET {counter} = {counter} + ? WHERE id = ?",
                    (new, evaluation_id),
                )
            connection.executemany(_INSERT_ROTATION, [values_of(row) for row in rotations])
            connection.executemany(_INSERT_SPAN, [values_of(span) for span in spans])
            connection.executemany(
                _ADD_WORK, [(*values_of(row), number) for number, row in (work or {}).items()]
            )

    def finish_evaluation(
        self, evaluation_id: int, state: EvaluationState, reason: str | None = None
    ) -> None:
        """Write the final scores, the balance and the end of an evaluation.

        The balance of the last few that ended before is written again: what their workers did for
        other evaluations at that moment is only known now.
        """
        self.refresh_scores(evaluation_id)
        before = self.query(
            "SELECT id FROM evaluations WHERE state IN ('done', 'failed') AND id <> ?"
            " AND makespan_s IS NOT NULL ORDER BY finished_at DESC LIMIT ?",
            evaluation_id,
            _BALANCED_AGAIN,
        )
        balances = [(*self._balance(number), number) for (number,) in (*before, (evaluation_id,))]
        with self.transaction() as connection:
            connection.execute(
                "UPDATE evaluations SET state = ?, reason = ?, finished_at = ? WHERE id = ?",
                (state, reason, time.time(), evaluation_id),
            )
            connection.executemany(
                "UPDATE evaluations SET makespan_s = ?, ideal_s = ?, idle_fraction = ?"
                " WHERE id = ?",
                balances,
            )

    def _balance(self, evaluation_id: int) -> tuple[float | None, float | None, float | None]:
        """Return makespan, ideal and idle fraction; None where no span is known."""
        rows = self.query(
            f"SELECT busy_s, wait_s, began, ended FROM ({BALANCE_OF_ONE})", evaluation_id
        )
        if not rows:
            return None, None, None
        busy, wait = sum(row[0] for row in rows), sum(row[1] for row in rows)
        idle = wait / (busy + wait) if busy + wait > 0 else None
        return rows[0][3] - rows[0][2], busy / len(rows), idle

    def refresh_scores(self, evaluation_id: int) -> None:
        """Aggregate the predictions so far into ``scores``; see :func:`scores_of`."""
        self.add_scores(evaluation_id, scores_of(self.connection, evaluation_id))

    def add_scores(self, evaluation_id: int, rows: Sequence[Score]) -> None:
        """Store scores; one over as many items as before stays as it is."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO scores (evaluation_id, dataset, metric, value, stderr, n)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM scores"
                " WHERE evaluation_id = ?1 AND dataset = ?2 AND metric = ?3 AND n = ?6)",
                [(evaluation_id, *row) for row in rows],
            )

    # --- the machine --------------------------------------------------------------------------

    def add_worker(self, run_id: int, host: str, device: str) -> int:
        """Insert a worker that is starting and return its id."""
        with self.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO workers (run_id, host, device, state, started_at)"
                " VALUES (?, ?, ?, 'starting', ?)",
                (run_id, host, device, time.time()),
            )
            return int(cursor.lastrowid or 0)

    def set_worker(
        self,
        worker_id: int,
        state: WorkerState,
        *,
        pid: int | None = None,
        gpu_uuid: str | None = None,
    ) -> None:
        """Change a worker's state; process id and device name are kept once known."""
        stamp = {"ready": "ready_at", "ended": "ended_at", "lost": "ended_at"}.get(state)
        with self.transaction() as connection:
            connection.execute(
                "UPDATE workers SET state = ?, pid = coalesce(?, pid),"
                " gpu_uuid = coalesce(?, gpu_uuid) WHERE id = ?",
                (state, pid, gpu_uuid, worker_id),
            )
            if stamp:
                connection.execute(
                    f"UPDATE workers SET {stamp} = ? WHERE id = ?", (time.time(), worker_id)
                )

    def end_stale_workers(self, run_id: int) -> None:
        """Mark the workers of an engine that is gone as lost, as of its last heartbeat."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE workers SET state = 'lost', ended_at = coalesce("
                " (SELECT heartbeat_at FROM engine), started_at)"
                " WHERE run_id = ? AND state IN ('starting', 'ready')",
                (run_id,),
            )

    def add_samples(self, samples: Sequence[SampleRow]) -> None:
        """Store device readings."""
        if samples:
            with self.transaction() as connection:
                connection.executemany(_INSERT_SAMPLE, [values_of(sample) for sample in samples])

    def add_gpus(self, gpus: Sequence[GpuRow]) -> None:
        """Store what the host's GPUs are; what is known of one is replaced."""
        if gpus:
            with self.transaction() as connection:
                connection.executemany(_INSERT_GPU, [values_of(gpu) for gpu in gpus])

    def fold_samples(self, now: float) -> None:
        """Fold whole minutes of samples into ``gpu_minutes``; drop raw ones over an hour old.

        See :class:`ctv_engine.store.minutes.Minutes`.
        """
        with self.transaction() as connection:
            minute = self._minutes.fold(connection, now)
            connection.execute("DELETE FROM gpu_samples WHERE at < ?", (now - RAW_SAMPLES_KEPT_S,))
        self._minutes.committed(minute)

    # --- what is said -------------------------------------------------------------------------

    def add_correlations(
        self, run_id: int, rows: Sequence[CorrelationRow], *, anew: bool = False
    ) -> None:
        """Store correlations; a later one for the same key replaces an earlier one.

        With ``anew`` they replace all of the run.
        """
        with self.transaction() as connection:
            if anew:
                connection.execute("DELETE FROM correlations WHERE run_id = ?", (run_id,))
            connection.executemany(_INSERT_CORRELATION, [(*values_of(row), run_id) for row in rows])

    def add_event(
        self,
        level: EventLevel,
        kind: str,
        message: str,
        checkpoint_id: int | None = None,
        *,
        run_id: int | None = None,
    ) -> None:
        """Store one event."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO events (at, level, kind, message, checkpoint_id, run_id)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (time.time(), level, kind, message, checkpoint_id, run_id),
            )

    def beat(
        self, *, run_id: int | None, pid: int, host: str, state: EngineState, version: str
    ) -> None:
        """Write the engine's state and a fresh heartbeat."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO engine"
                " (id, run_id, pid, host, state, heartbeat_at, version)"
                " VALUES (1, ?, ?, ?, ?, ?, ?)",
                (run_id, pid, host, state, time.time(), version),
            )
