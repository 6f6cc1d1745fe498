"""From what workers and suites say to rows of the database."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata

from ctv_engine.models.work import Work
from ctv_engine.runtime.costs import Name
from ctv_engine.runtime.messages import Batch, ItemResult, Rotated, Task, TimedSpan, Unit
from ctv_engine.store.judged import WAITS
from ctv_engine.store.recorded import finished_evaluations
from ctv_engine.store.rows import (
    MODES,
    DatasetRow,
    ItemRow,
    PredictionRow,
    RotationRow,
    SpanRow,
    WorkRow,
)
from ctv_engine.suite import Suite, question_hash

PACKAGES = (
    "ctv-tui",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "pillow",
    "numpy",
)

ItemIds = Mapping[tuple[str, str], int]


def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions_json(judges: dict[str, str]) -> str:
    """Return what the run's numbers depend on besides its settings; ``judges`` are its own."""
    versions: dict[str, str | None] = {package: version_of(package) for package in PACKAGES}
    versions |= {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "questions": question_hash(),
    }
    return json.dumps(versions | judges, sort_keys=True)


def dataset_rows(suite: Suite) -> list[DatasetRow]:
    """Return the suite's datasets as rows."""
    counts = Counter(item.dataset for item in suite.items)
    return [DatasetRow(d.name, d.open_metric, counts[d.name]) for d in suite.datasets]


def item_rows(suite: Suite) -> Iterable[ItemRow]:
    """Yield the suite's items as rows."""
    for item in suite.items:
        yield ItemRow(
            dataset=item.dataset,
            key=item.key,
            question=item.question,
            options_json=json.dumps(item.options, ensure_ascii=False),
            gold_index=item.gold_index,
            answers_json=json.dumps(item.answers, ensure_ascii=False),
            image=str(suite.image_path(item)),
            image_digest=item.image_digest,
        )


def prediction_rows(
    results: Sequence[ItemResult],
    item_ids: ItemIds,
    *,
    evaluation_id: int,
    batch_id: int,
    worker_id: int,
    attempt: int,
) -> list[PredictionRow]:
    """Return the rows of one batch's results; an answer without a score waits for the judge."""
    return [
        PredictionRow(
            evaluation_id=evaluation_id,
            item_id=item_ids[result.key],
            permutation=0,
            worker_id=worker_id,
            batch_id=batch_id,
            attempt=attempt,
            status="ok" if result.reason is None else "failed",
            reason=result.reason or (WAITS if result.score is None else None),
            answer=result.answer,
            score=result.score,
            correct=None if result.correct is None else int(result.correct),
            gold_logprob=result.gold_logprob,
            gold_prob=result.gold_prob,
            option_mass=result.option_mass,
            option_logprobs_json=(
                None if result.option_logprobs is None else json.dumps(result.option_logprobs)
            ),
            prompt_tokens=result.prompt_tokens,
            output_tokens=result.output_tokens,
            finish_reason=result.finish_reason,
            prefill_s=result.prefill_s,
            decode_s=result.decode_s,
            cloze_logprobs_json=(
                None if result.cloze_logprobs is None else json.dumps(result.cloze_logprobs)
            ),
            cloze_correct=None if result.cloze_correct is None else int(result.cloze_correct),
        )
        for result in results
    ]


def rotation_rows(
    rotations: Iterable[Rotated], item_ids: ItemIds, evaluation_id: int
) -> list[RotationRow]:
    """Return the rows of one batch's rotations."""
    return [
        RotationRow(
            evaluation_id=evaluation_id,
            item_id=item_ids[one.key],
            permutation=one.permutation,
            option_logprobs_json=(
                None if one.option_logprobs is None else json.dumps(one.option_logprobs)
            ),
            prompt_tokens=one.prompt_tokens,
            prefill_s=one.prefill_s,
            reason=one.reason,
        )
        for one in rotations
    ]


def span_rows(
    unit: Unit, evaluation_id: int, worker_id: int, spans: Iterable[TimedSpan]
) -> list[SpanRow]:
    """Return the rows of one unit's spans."""
    return [
        SpanRow(
            worker_id,
            evaluation_id,
            unit.batch.batch_id,
            span.kind,
            span.started_at,
            span.ended_at,
        )
        for span in spans
    ]


def work_rows(task: Task, evaluations: Sequence[int], work: Work | None) -> dict[int, WorkRow]:
    """Return counts by evaluation: a pair's prefill is its closed task's, its decode its open's."""
    if work is None:
        return {}
    if task != "pair":
        return {evaluations[0]: WorkRow(**asdict(work))}
    return {
        evaluations[0]: WorkRow(**{**asdict(work), "row_steps": 0}),
        evaluations[1]: WorkRow(row_steps=work.row_steps),
    }


def unanswered(batches: Iterable[Batch], item_ids: ItemIds, done: set[int]) -> list[Batch]:
    """Return the batches that have an item without a row.

    They are run again whole, so that an item is always computed in the same company.
    """
    return [
        batch
        for batch in batches
        if any(item_ids[item.dataset, item.key] not in done for item in batch.items)
    ]


def seconds_of(
    results: Iterable[ItemResult], rotations: Iterable[Rotated] = ()
) -> dict[Name, float]:
    """Return the device seconds of every item that has an answer, with those of its rotations."""
    seconds = {
        result.key: (result.prefill_s or 0.0) + (result.decode_s or 0.0)
        for result in results
        if result.reason is None
    }
    for one in rotations:
        if one.key in seconds:
            seconds[one.key] += one.prefill_s or 0.0
    return seconds


def recorded_seconds(connection: sqlite3.Connection) -> dict[tuple[Task, Name], float]:
    """Return what every item took in the last finished evaluation of each mode.

    A pair takes what its two forms took together.
    """
    found: dict[tuple[Task, Name], float] = {}
    for mode in reversed(MODES):  # a paired item's own open task counts before gold's
        task: Task = "closed" if mode == "closed" else "open"
        for evaluation in finished_evaluations(connection, mode, limit=1):
            for item in evaluation.items:
                name = (item.dataset, item.key)
                found[task, name] = item.seconds
                if mode != "gold":
                    found["pair", name] = found.get(("pair", name), 0.0) + item.seconds
    return found
