"""What finished work has cost: the seconds of every item, by the batch that it was answered in."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ctv_engine.store.rows import Mode


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """One prediction's cost. ``seconds`` is the item's share of its batch, prefill and decode."""

    dataset: str
    key: str
    batch_id: int
    prompt_tokens: int | None
    output_tokens: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """A finished evaluation. ``untimed`` items have no seconds, for example since they failed."""

    evaluation_id: int
    mode: Mode
    step: int
    items: tuple[RecordedItem, ...]
    untimed: int


def finished_evaluations(
    connection: sqlite3.Connection, mode: Mode, limit: int, run_id: int | None = None
) -> list[RecordedEvaluation]:
    """Return the last ``limit`` finished evaluations of a mode, newest first.

    Without ``run_id`` they are those of the run whose evaluation of this mode finished last.
    """
    rows = connection.execute(
        "SELECT e.id, c.step FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
        " WHERE e.mode = ?1 AND e.state = 'done' AND c.run_id = coalesce(?2, (SELECT lc.run_id"
        "   FROM evaluations l JOIN checkpoints lc ON lc.id = l.checkpoint_id"
        "   WHERE l.mode = ?1 AND l.state = 'done' ORDER BY l.finished_at DESC, l.id DESC LIMIT 1))"
        " ORDER BY e.finished_at DESC, e.id DESC LIMIT ?3",
        (mode, run_id, limit),
    ).fetchall()
    return [_evaluation(connection, evaluation_id, mode, step) for evaluation_id, step in rows]


def _evaluation(
    connection: sqlite3.Connection, evaluation_id: int, mode: Mode, step: int
) -> RecordedEvaluation:
    rows = connection.execute(
        "SELECT i.dataset, i.key, p.batch_id, p.prompt_tokens, p.output_tokens,"
        " coalesce(p.prefill_s, 0) + coalesce(p.decode_s, 0),"
        " p.prefill_s IS NOT NULL OR p.decode_s IS NOT NULL"
        " FROM predictions p JOIN items i ON i.id = p.item_id"
        " WHERE p.evaluation_id = ? AND p.permutation = 0 ORDER BY p.batch_id, p.id",
        (evaluation_id,),
    ).fetchall()
    timed = tuple(RecordedItem(*row[:6]) for row in rows if row[6])
    return RecordedEvaluation(evaluation_id, mode, step, timed, len(rows) - len(timed))
