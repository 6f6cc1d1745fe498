"""The run, its checkpoints and its evaluations, kept up to date from the database."""

from __future__ import annotations

import json
import sqlite3

from ctv_tui.data.snapshot import Checkpoint, Engine, Evaluation, Run

_FULL_READ_EVERY_S = 5.0
_MODE_ORDER = {"closed": 0, "open": 1, "gold": 2}

_CHECKPOINTS = (
    "SELECT id, step, path, state, reason, found_at, ready_at, done_at FROM checkpoints"
    " WHERE run_id = :run"
)
_EVALUATIONS = (
    "SELECT e.id, e.checkpoint_id, c.step, e.mode, e.schedule, e.state, e.reason, e.planned,"
    " e.done, e.failed, e.started_at, e.finished_at, e.makespan_s, e.ideal_s, e.idle_fraction"
    " FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id WHERE c.run_id = :run"
)
_RECENT_CHECKPOINTS = (
    " AND (id > :last OR state NOT IN ('done', 'failed', 'vanished', 'skipped')"
    " OR id IN (SELECT value FROM json_each(:open)))"
)
_RECENT_EVALUATIONS = (
    " AND (e.id > :last OR e.state IN ('queued', 'running')"
    " OR e.id IN (SELECT value FROM json_each(:open)))"
)


def read_engine(connection: sqlite3.Connection) -> tuple[Engine | None, int | None]:
    """Return the engine's row, if any, and the run to show: the engine's, else the newest."""
    row = connection.execute(
        "SELECT pid, host, state, heartbeat_at, version, run_id FROM engine"
    ).fetchone()
    engine = Engine(*tuple(row)[:5]) if row else None
    run_id = row["run_id"] if row else None
    if run_id is None:
        run_id = connection.execute("SELECT max(id) FROM runs").fetchone()[0]
    return engine, run_id


def looked_at(
    evaluations: tuple[Evaluation, ...], checkpoint_id: int | None = None
) -> tuple[Evaluation, ...]:
    """Return the begun closed and open evaluations of a checkpoint, closed first.

    Without ``checkpoint_id``, or if nothing of it has begun, it is the newest that has one.
    """
    begun = _begun(evaluations)
    if not begun:
        return ()
    chosen = checkpoint_id
    if not any(e.checkpoint_id == chosen for e in begun):
        chosen = max(begun, key=lambda e: (e.step, e.checkpoint_id)).checkpoint_id
    return tuple(e for e in begun if e.checkpoint_id == chosen)


def checkpoints_begun(evaluations: tuple[Evaluation, ...]) -> tuple[int, ...]:
    """Return the ids of the checkpoints that can be looked at, by step."""
    ordered = sorted(_begun(evaluations), key=lambda e: (e.step, e.checkpoint_id))
    return tuple(dict.fromkeys(e.checkpoint_id for e in ordered))


def _begun(evaluations: tuple[Evaluation, ...]) -> list[Evaluation]:
    return [e for e in evaluations if e.mode != "gold" and (e.state == "running" or e.started_at)]


class Work:
    """What is to do and what was done.

    Rows in a final state are read again every five seconds only, since an engine that starts again
    may take up what failed.
    """

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._full_read_at = float("-inf")
        self._checkpoints: dict[int, Checkpoint] = {}
        self._evaluations: dict[int, Evaluation] = {}
        self.run: Run | None = None
        self.datasets: tuple[str, ...] = ()
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.evaluations: tuple[Evaluation, ...] = ()

    def read(self, connection: sqlite3.Connection, now: float) -> bool:
        """Bring everything up to date; return whether any evaluation changed."""
        row = connection.execute(
            "SELECT id, name, checkpoint_dir, suite_digest, gold_digest, started_at, finished_at"
            " FROM runs WHERE id = ?",
            (self._run_id,),
        ).fetchone()
        run = Run(*row)
        if run != self.run:
            self.run = run
            self._read_datasets(connection, run)
        full = abs(now - self._full_read_at) >= _FULL_READ_EVERY_S
        if full:
            self._full_read_at = now
        self._read_checkpoints(connection, full)
        return self._read_evaluations(connection, full)

    def evaluation(self, evaluation_id: int) -> Evaluation | None:
        """Return an evaluation of this run."""
        return self._evaluations.get(evaluation_id)

    def standing_evaluations(self) -> dict[int, Evaluation]:
        """Return those of each step's latest checkpoint: a step written again replaces the first.

        This is the rule of the view ``trajectory``.
        """
        latest: dict[int, int] = {}
        for evaluation in self._evaluations.values():
            step = evaluation.step
            latest[step] = max(latest.get(step, 0), evaluation.checkpoint_id)
        return {
            evaluation.id: evaluation
            for evaluation in self._evaluations.values()
            if latest[evaluation.step] == evaluation.checkpoint_id
        }

    def _read_datasets(self, connection: sqlite3.Connection, run: Run) -> None:
        rows = connection.execute(
            "SELECT name FROM datasets WHERE suite_digest IN (?, ?) GROUP BY name ORDER BY min(id)",
            (run.suite_digest, run.gold_digest),
        ).fetchall()
        self.datasets = tuple(row[0] for row in rows)

    def _read_checkpoints(self, connection: sqlite3.Connection, full: bool) -> None:
        final = ("done", "failed", "vanished", "skipped")
        rows = connection.execute(
            _CHECKPOINTS + ("" if full else _RECENT_CHECKPOINTS),
            {
                "run": self._run_id,
                "last": max(self._checkpoints, default=0),
                "open": json.dumps([c.id for c in self.checkpoints if c.state not in final]),
            },
        ).fetchall()
        new = {row["id"]: Checkpoint(*row) for row in rows}
        if any(self._checkpoints.get(key) != value for key, value in new.items()):
            self._checkpoints |= new
            self.checkpoints = tuple(
                sorted(self._checkpoints.values(), key=lambda c: (c.step, c.id))
            )

    def _read_evaluations(self, connection: sqlite3.Connection, full: bool) -> bool:
        rows = connection.execute(
            _EVALUATIONS + ("" if full else _RECENT_EVALUATIONS),
            {
                "run": self._run_id,
                "last": max(self._evaluations, default=0),
                "open": json.dumps(
                    [e.id for e in self.evaluations if e.state in ("queued", "running")]
                ),
            },
        ).fetchall()
        new = {row["id"]: Evaluation(*row) for row in rows}
        changed = any(self._evaluations.get(key) != value for key, value in new.items())
        if changed:
            self._evaluations |= new
            self.evaluations = tuple(
                sorted(
                    self._evaluations.values(),
                    key=lambda e: (e.step, e.checkpoint_id, _MODE_ORDER[e.mode]),
                )
            )
        return changed
