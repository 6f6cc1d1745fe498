"""From predictions to scores with standard errors, in one pass over the table."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence, Set

from ctv_engine.store.rows import MACRO

Score = tuple[str, str, float, float | None, int]
"""(dataset, metric, value, standard error, n)."""

_CLOSED = {"correct": "accuracy", "gold_prob": "gold_prob", "cloze_correct": "cloze"}
"""Columns of closed predictions and the metrics that are their means."""


def scores_of(connection: sqlite3.Connection, evaluation_id: int) -> list[Score]:
    """Return the scores of the predictions of an evaluation so far.

    A dataset's standard error is clustered by image, see :func:`clustered_error`; the macro mean's
    is that of a mean of independent means. The macro mean is there only once every dataset has an
    item.
    """
    mode, digest = connection.execute(
        "SELECT e.mode, CASE e.mode WHEN 'gold' THEN r.gold_digest ELSE r.suite_digest END"
        " FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
        " JOIN runs r ON r.id = c.run_id WHERE e.id = ?",
        (evaluation_id,),
    ).fetchone()
    names = dict(
        connection.execute(
            "SELECT name, open_metric FROM datasets WHERE suite_digest = ?", (digest,)
        ).fetchall()
    )
    columns = tuple(_CLOSED) if mode == "closed" else ("score",)
    sums = ", ".join(f"count({c}) AS {c}_n, sum({c}) AS {c}_sum" for c in columns)
    moments = ", ".join(
        f"sum({c}_n), sum({c}_sum), sum({c}_n > 0), sum({c}_n * {c}_n),"
        f" sum({c}_n * {c}_sum), sum({c}_sum * {c}_sum)"
        for c in columns
    )
    rows: list[Score] = []
    for dataset, *values in connection.execute(
        f"SELECT dataset, {moments} FROM"
        f" (SELECT i.dataset, {sums} FROM predictions p JOIN items i ON i.id = p.item_id"
        " WHERE p.evaluation_id = ? AND p.status = 'ok' GROUP BY i.dataset, i.image_digest)"
        " GROUP BY dataset",
        (evaluation_id,),
    ).fetchall():
        for column, start in zip(columns, range(0, len(values), 6), strict=True):
            n, total, *by_image = values[start : start + 6]
            if not n:
                continue
            mean = total / n
            error = clustered_error(n, mean, *by_image)
            rows.append((dataset, _CLOSED.get(column, column), mean, error, n))
            if column == "score":
                rows.append((dataset, names[dataset], mean, error, n))
    return rows + macro_of(rows, set(names), "score" if mode != "closed" else None)


def clustered_error(
    n: int, mean: float, images: int, n_n: float, n_sum: float, sum_sum: float
) -> float | None:
    """Return the standard error of the mean of ``n`` items about ``images`` images.

    Items about one image are not independent: sqrt(G / (G - 1) · Σ_g (S_g - n_g·mean)²) / n over
    the G images (Liang & Zeger, Biometrika 73, 1986, for a mean; Miller, arXiv 2411.00640), here
    from Σ n_g², Σ n_g·S_g and Σ S_g². With one item per image it is the sample standard error. A
    single image has none.
    """
    if images < 2:
        return None
    square = sum_sum - 2.0 * mean * n_sum + mean * mean * n_n
    return math.sqrt(max(0.0, square) * images / (images - 1)) / n


def macro_of(rows: Sequence[Score], datasets: Set[str], only: str | None = None) -> list[Score]:
    """Return the mean over ``datasets`` of every metric (of one) that all of them have."""
    by_metric: dict[str, list[tuple[float, float | None, int]]] = defaultdict(list)
    for _, metric, value, error, n in rows:
        if only is None or metric == only:
            by_metric[metric].append((value, error, n))
    macro: list[Score] = []
    for metric, parts in by_metric.items():
        if len(parts) != len(datasets):
            continue
        known = [error for _, error, _ in parts if error is not None]
        error = math.sqrt(sum(e * e for e in known)) / len(parts)
        macro.append(
            (
                MACRO,
                metric,
                math.fsum(value for value, _, _ in parts) / len(parts),
                error if len(known) == len(parts) else None,
                sum(n for _, _, n in parts),
            )
        )
    return macro
