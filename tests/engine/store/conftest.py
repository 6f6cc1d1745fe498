"""A run in a database, filled by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.store.rows import DatasetRow, ItemRow, Mode, PredictionRow, SpanRow
from ctv_engine.store.writer import Writer

METRICS = {"chart": "exact_match", "info": "anls"}


@dataclass
class Book:
    """A writer, one run with two datasets of four items each, and short ways to fill it."""

    writer: Writer
    run_id: int = 0
    items: dict[tuple[str, str], int] = field(default_factory=dict)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.writer.query(sql, *values)

    def suite(self, digest: str, names: Sequence[str] = tuple(METRICS)) -> dict[Any, int]:
        return self.writer.add_suite(
            digest,
            [DatasetRow(name, METRICS[name], 4) for name in names],
            [
                ItemRow(name, str(n), "q?", json.dumps(["a", "b"]), 0, '["a"]', "i.png", f"d{n}")
                for name in names
                for n in range(4)
            ],
        )

    def evaluation(
        self, step: int, mode: Mode = "closed", *, done: bool = False, planned: int = 8
    ) -> int:
        checkpoint = self.writer.add_checkpoint(self.run_id, step, f"/c-{step}", float(step))
        evaluation = self.writer.add_evaluation(checkpoint, mode, "queue", planned)
        if done:
            self.end(evaluation)
        return evaluation

    def end(self, evaluation: int) -> None:
        self.writer.finish_evaluation(evaluation, "done")

    def worker(
        self,
        device: str = "cpu:0",
        *,
        host: str = "host",
        ready_at: float | None = 0.0,
        ended_at: float | None = None,
    ) -> int:
        worker = self.writer.add_worker(self.run_id, host, device)
        self.writer.connection.execute(
            "UPDATE workers SET started_at = -5, ready_at = ?, ended_at = ? WHERE id = ?",
            (ready_at, ended_at, worker),
        )
        return worker

    def answer(
        self, evaluation: int, worker: int, dataset: str, key: str, **values: Any
    ) -> PredictionRow:
        row: dict[str, Any] = {"permutation": 0, "batch_id": 0, "attempt": 1, "status": "ok"}
        item = self.items[dataset, key]
        return PredictionRow(evaluation, item, worker_id=worker, **(row | values))

    def score(
        self, evaluation: int, worker: int, scores: Mapping[str, Sequence[float]], **values: Any
    ) -> None:
        """Answer the first items of each dataset with these scores."""
        rows = [
            self.answer(
                evaluation,
                worker,
                dataset,
                str(n),
                **{"score": value, "correct": int(value > 0.5), "gold_prob": value} | values,
            )
            for dataset, numbers in scores.items()
            for n, value in enumerate(numbers)
        ]
        self.writer.add_results(rows, [])

    def spans(self, evaluation: int, worker: int, *times: tuple[float, float]) -> None:
        rows = [SpanRow(worker, evaluation, 0, "prefill", began, ended) for began, ended in times]
        self.writer.add_results([], rows)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    writer = Writer(tmp_path / "run.db")
    made = Book(writer)
    made.items = made.suite("paired")
    made.suite("gold")
    made.run_id = writer.open_run(
        name="run",
        checkpoint_dir="/run",
        suite_digest="paired",
        gold_digest="gold",
        config_json="{}",
        versions_json="{}",
        host="host",
    )
    yield made
    writer.close()
