"""The same items at every checkpoint: what comparisons between checkpoints are made of."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.store.rows import Mode


@dataclass(frozen=True, slots=True)
class ItemScores:
    """Scores of a mode's items at the checkpoints whose evaluation is finished.

    ``scores[k]`` belongs to ``steps[k]`` (ascending) and holds one value for each of ``datasets``
    and ``images``. Items without a score at any one checkpoint are left out of all of them:
    ``left_out`` counts them.
    """

    steps: tuple[int, ...]
    scores: tuple[Sequence[float], ...]
    datasets: tuple[str, ...]
    images: tuple[str, ...]
    left_out: int


def newest_run(connection: sqlite3.Connection) -> int | None:
    """Return the id of the run that was started last; None where there is none."""
    row = connection.execute("SELECT id FROM runs ORDER BY started_at DESC, id DESC").fetchone()
    return None if row is None else int(row[0])


def item_scores(connection: sqlite3.Connection, run_id: int, mode: Mode) -> ItemScores:
    """Read what every finished evaluation of a mode scored, in one read of the database.

    A closed item's score is whether its most probable letter is the key. Of several evaluations of
    one step the newest counts.
    """
    evaluations = dict(
        connection.execute(
            "SELECT c.step, max(e.id) FROM evaluations e JOIN checkpoints c"
            " ON c.id = e.checkpoint_id WHERE c.run_id = ? AND e.mode = ? AND e.state = 'done'"
            " GROUP BY c.step ORDER BY c.step",
            (run_id, mode),
        ).fetchall()
    )
    column = "correct" if mode == "closed" else "score"
    read: list[dict[int, float]] = []
    seen: set[int] = set()
    for evaluation_id in evaluations.values():
        rows = connection.execute(
            f"SELECT item_id, {column} FROM predictions"
            " WHERE evaluation_id = ? AND permutation = 0",
            (evaluation_id,),
        ).fetchall()
        seen.update(item for item, _ in rows)
        read.append({item: value for item, value in rows if value is not None})
    common = set.intersection(*map(set, read)) if read else set()
    named = {
        item: (dataset, image or f"item {item}")
        for item, dataset, image in connection.execute(
            "SELECT id, dataset, image_digest FROM items WHERE id IN (SELECT DISTINCT item_id FROM"
            " predictions WHERE evaluation_id = ?)",
            (next(reversed(evaluations.values()), None),),
        )
    }
    items = sorted(common)
    return ItemScores(
        steps=tuple(evaluations),
        scores=tuple(array("d", [scores[item] for item in items]) for scores in read),
        datasets=tuple(named[item][0] for item in items),
        images=tuple(named[item][1] for item in items),
        left_out=len(seen) - len(items),
    )
