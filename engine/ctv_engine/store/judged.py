"""Answers that wait for a judge, and what it says of them.

Such a row has an answer, no score, and the reason in ``reason``: it is counted, never 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ctv_engine.store.writer import Writer

WAITS = "waits for a judge: name one with --judge, or run ctv-tui judge when the run is over"


@dataclass(frozen=True, slots=True)
class ToJudge:
    """An answer without a score."""

    prediction_id: int
    evaluation_id: int
    dataset: str
    key: str
    question: str
    references: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of it: a score, or None with the reason."""

    asked: ToJudge
    score: float | None
    reason: str | None


def newest_prediction(writer: Writer) -> int:
    """Return the id of the prediction that was written last, 0 if there is none."""
    return int(writer.query("SELECT coalesce(max(id), 0) FROM predictions")[0][0])


def unscored(
    writer: Writer, run_id: int | None = None, after: int = 0, upto: int | None = None
) -> list[ToJudge]:
    """Return the answers of a run (of all) that wait for a judge, between those predictions."""
    return [
        ToJudge(number, evaluation, dataset, key, question, tuple(json.loads(answers)), answer)
        for number, evaluation, dataset, key, question, answers, answer in writer.query(
            "SELECT p.id, p.evaluation_id, i.dataset, i.key, i.question, i.answers_json, p.answer"
            " FROM predictions p JOIN items i ON i.id = p.item_id"
            " JOIN datasets d ON d.suite_digest = i.suite_digest AND d.name = i.dataset"
            " JOIN evaluations e ON e.id = p.evaluation_id"
            " JOIN checkpoints c ON c.id = e.checkpoint_id"
            " WHERE d.open_metric = 'judge' AND e.mode IN ('open', 'gold') AND p.status = 'ok'"
            " AND p.score IS NULL AND p.id > ? AND p.id <= coalesce(?, p.id)"
            " AND c.run_id = coalesce(?, c.run_id) ORDER BY p.id",
            after,
            upto,
            run_id,
        )
    ]


def versions_when_judged(
    writer: Writer, checkpoint_dir: str, suite_digest: str, gold_digest: str | None
) -> str | None:
    """Return what is stored of a run's versions, None where no judge has scored anything in it."""
    found = writer.query(
        "SELECT r.versions_json FROM runs r WHERE r.checkpoint_dir = ? AND r.suite_digest = ?"
        " AND r.gold_digest IS ? AND EXISTS (SELECT 1 FROM datasets d"
        " CROSS JOIN items i ON i.suite_digest = d.suite_digest AND i.dataset = d.name"
        " CROSS JOIN checkpoints c ON c.run_id = r.id"
        " CROSS JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode <> 'closed'"
        " CROSS JOIN predictions p ON p.evaluation_id = e.id AND p.item_id = i.id"
        " WHERE d.open_metric = 'judge' AND d.suite_digest IN (r.suite_digest, r.gold_digest)"
        " AND p.score IS NOT NULL AND trim(p.answer) <> '')",
        checkpoint_dir,
        suite_digest,
        gold_digest,
    )
    return str(found[0][0]) if found else None


def still_waits(writer: Writer, evaluation_id: int) -> bool:
    """Tell whether an answer of an evaluation waits for a judge, so that its scores are not whole.

    One that the judge gave no score waits no more.
    """
    query = "SELECT EXISTS (SELECT 1 FROM predictions WHERE evaluation_id = ? AND reason = ?)"
    return bool(writer.query(query, evaluation_id, WAITS)[0][0])


def keep_judgements(writer: Writer, judged: Sequence[Judged]) -> set[int]:
    """Write scores and reasons in one transaction; return the evaluations that have new scores."""
    with writer.transaction() as connection:
        connection.executemany(
            "UPDATE predictions SET score = ?, reason = ? WHERE id = ?",
            [(one.score, one.reason, one.asked.prediction_id) for one in judged],
        )
    changed = {one.asked.evaluation_id for one in judged if one.score is not None}
    for evaluation_id in changed:
        writer.refresh_scores(evaluation_id)
    return changed


def score_capabilities(
    writer: Writer, evaluation_id: int, capabilities: Mapping[tuple[str, str], Iterable[str]]
) -> None:
    """Write the mean score per capability as ``judge:NAME`` beside the dataset's own score.

    ``capabilities`` are those of each (dataset, key). Standard errors take items as independent.
    """
    scored: dict[tuple[str, str], list[float]] = {}
    for dataset, key, score in writer.query(
        "SELECT i.dataset, i.key, p.score FROM predictions p JOIN items i ON i.id = p.item_id"
        " WHERE p.evaluation_id = ? AND p.score IS NOT NULL",
        evaluation_id,
    ):
        for capability in capabilities.get((dataset, key), ()):
            scored.setdefault((dataset, f"judge:{capability}"), []).append(score)
    with writer.transaction() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO scores (evaluation_id, dataset, metric, value, stderr, n)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (evaluation_id, dataset, metric, sum(values) / len(values), _error(values),
                 len(values))
                for (dataset, metric), values in scored.items()
            ],
        )  # fmt: skip


def _error(values: Sequence[float]) -> float | None:
    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    return float((sum((v - mean) ** 2 for v in values) / (n - 1) / n) ** 0.5)
