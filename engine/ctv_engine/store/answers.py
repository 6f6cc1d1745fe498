"""The same items at every checkpoint: what comparisons between checkpoints are made of."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from ctv_engine.store.rows import MACRO, Mode


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


def shown_run(connection: sqlite3.Connection) -> int | None:
    """Return the id of the engine's run, else of the newest one; None where there is none.

    The run that dashboard and named queries show, too: an engine may have taken up an older one.
    """
    row = connection.execute(
        "SELECT coalesce((SELECT run_id FROM engine), (SELECT max(id) FROM runs))"
    ).fetchone()
    return None if row[0] is None else int(row[0])


def item_scores(connection: sqlite3.Connection, run_id: int, mode: Mode) -> ItemScores:
    """Read what every finished evaluation of a mode scored, in one read of the database."""
    return Answers(run_id, mode).read(connection)


@dataclass(frozen=True, slots=True)
class _Scored:
    """The items of an evaluation in ascending order, their scores, and the items without one."""

    items: array[int]
    scores: array[float]
    unscored: frozenset[int]


class Answers:
    """What the finished evaluations of a mode scored; each is read once.

    A closed item's score is whether its most probable letter is the key. Of several evaluations of
    one step the newest counts, and only those count that have a macro mean.
    """

    def __init__(self, run_id: int, mode: Mode) -> None:
        self._run_id, self._mode = run_id, mode
        self._known: dict[tuple[int, int], _Scored] = {}
        self._named: dict[int, tuple[str, str]] = {}

    def read(self, connection: sqlite3.Connection) -> ItemScores:
        """Read what is new and return all of it."""
        metric = "accuracy" if self._mode == "closed" else "score"
        # A score that is brought up to date has a new number, so that its answers are read again.
        evaluations = {
            (evaluation_id, score_id): step
            for step, evaluation_id, score_id in connection.execute(
                "SELECT t.step, e.id, s.id FROM trajectory t"
                " JOIN evaluations e ON e.id = t.evaluation_id AND e.schedule <> 'imported'"
                " JOIN scores s ON s.evaluation_id = e.id AND s.dataset = t.dataset"
                " AND s.metric = t.metric"
                " WHERE t.run_id = ? AND t.mode = ? AND t.state = 'done' AND t.dataset = ?"
                " AND t.metric = ? AND t.value IS NOT NULL ORDER BY t.step",
                (self._run_id, self._mode, MACRO, metric),
            )
        }
        known = self._known
        self._known = {key: known.get(key) or self._read(connection, key[0]) for key in evaluations}
        return self._common(tuple(evaluations.values()))

    def _read(self, connection: sqlite3.Connection, evaluation_id: int) -> _Scored:
        column = "correct" if self._mode == "closed" else "score"
        rows = connection.execute(
            f"SELECT item_id, {column} FROM predictions"
            " WHERE evaluation_id = ? AND permutation = 0 ORDER BY item_id",
            (evaluation_id,),
        ).fetchall()
        scored = [(item, value) for item, value in rows if value is not None and isfinite(value)]
        if any(item not in self._named for item, _ in scored):
            self._named.update(
                (item, (dataset, image or f"item {item}"))
                for item, dataset, image in connection.execute(
                    "SELECT id, dataset, image_digest FROM items WHERE id IN"
                    " (SELECT item_id FROM predictions WHERE evaluation_id = ?)",
                    (evaluation_id,),
                )
            )
        return _Scored(
            array("q", [item for item, _ in scored]),
            array("d", [value for _, value in scored]),
            frozenset(item for item, _ in rows).difference(item for item, _ in scored),
        )

    def _common(self, steps: tuple[int, ...]) -> ItemScores:
        read = list(self._known.values())
        items, left_out = (read[0].items if read else array("q")), 0
        scores: list[Sequence[float]] = [one.scores for one in read]
        if any(one.items != items for one in read) or any(one.unscored for one in read):
            common = set(items).intersection(*(one.items for one in read))
            seen = common.union(*(one.items for one in read), *(one.unscored for one in read))
            left_out = len(seen) - len(common)
            items = array("q", sorted(common))
            scores = [
                array("d", [v for i, v in zip(one.items, one.scores, strict=True) if i in common])
                for one in read
            ]
        return ItemScores(
            steps=steps,
            scores=tuple(scores),
            datasets=tuple(self._named[item][0] for item in items),
            images=tuple(self._named[item][1] for item in items),
            left_out=left_out,
        )
