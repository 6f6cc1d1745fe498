"""What one coordinator takes in and hands out. CPU seconds of one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from bench.clock import cpu_seconds
from bench.report import Result
from ctv_engine.runtime.costs import CostModel
from ctv_engine.runtime.messages import Checkpoint, ItemResult, TimedSpan, Unit
from ctv_engine.runtime.plan import cut_batches
from ctv_engine.runtime.schedule import Scheduler
from ctv_engine.runtime.simulate import stand_in
from ctv_engine.runtime.stated_costs import BATCH_TOKENS, SLOTS, stated_items
from ctv_engine.service.translate import prediction_rows, span_rows
from ctv_engine.store.rows import DatasetRow, ItemRow, WorkRow
from ctv_engine.store.writer import Writer

BAR = 20_000


def plan_units() -> list[int]:
    """Return the items of every closed unit of the six-dataset mix, small ones at the end."""
    tokens = [item.tokens for item in stated_items()]
    return [len(cut) for cut in cut_batches(tokens, token_budget=BATCH_TOKENS, max_rows=SLOTS)]


def ingest(home: Path, units: Sequence[int], what: str, checkpoints: int) -> list[Result]:
    """Store closed results unit by unit, from a worker's message to the committed rows.

    Args:
        home: where the database goes.
        units: items of every unit.
        what: words for these units.
        checkpoints: how many times the units come in, each time as another evaluation.
    """
    items = sum(units)
    writer = Writer(home / f"ingest-{items}-{len(units)}.db")
    keys = [("asked", f"{number:05d}") for number in range(items)]
    ids = writer.add_suite(
        "suite",
        [DatasetRow("asked", "exact_match", items)],
        [
            ItemRow(dataset, key, "q?", json.dumps(["a", "b", "c", "d"]), 0, '["a"]', "i.png", "d")
            for dataset, key in keys
        ],
    )
    run = writer.open_run(
        name="bench",
        checkpoint_dir="/bench",
        suite_digest="suite",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="host",
    )
    worker = writer.add_worker(run, "host", "cuda:0")
    messages = [
        (number, [_result(key, place) for place, key in enumerate(part)])
        for number, part in enumerate(_parts(keys, units))
    ]
    spans = [TimedSpan(kind, 1.0, 2.0) for kind in ("input", "prefill", "score")]  # type: ignore[arg-type]
    work = WorkRow(1, 8000, 8100, 0, 0, 0, 6)
    evaluations = [
        writer.add_evaluation(
            writer.add_checkpoint(run, step, f"/c-{step}", 0.0), "closed", "queue", items
        )
        for step in range(checkpoints)
    ]

    def store() -> None:
        for evaluation in evaluations:
            for number, results in messages:
                unit = Unit(number, evaluation, _CHECKPOINT, "closed", _BATCH, attempt=1)
                rows = prediction_rows(
                    results,
                    ids,
                    evaluation_id=evaluation,
                    batch_id=number,
                    worker_id=worker,
                    attempt=1,
                )
                writer.add_results(
                    rows, span_rows(unit, evaluation, worker, spans), {evaluation: work}
                )

    spent_s = cpu_seconds(store)
    stored = writer.query("SELECT count(*), sum(status = 'ok') FROM predictions")[0]
    assert stored == (items * checkpoints,) * 2
    writer.close()
    rate = items * checkpoints / spent_s
    config = f"{items * checkpoints:,} predictions, {what}"
    against = "of CPU time, message to committed rows"
    return [Result("coordinator ingest", config, rate, "predictions/s", against, BAR, "at least")]


def leases(workers: int, units: int) -> list[Result]:
    """Lease, complete and hear of units on many workers through one scheduler."""
    now = 0.0
    scheduler = Scheduler("queue", costs=CostModel(), clock=lambda: now)
    names = [[("asked", f"{unit}-{row}") for row in range(8)] for unit in range(units)]
    batches = [stand_in(unit, names[unit], (700,) * 8, 0) for unit in range(units)]
    for worker in range(workers):
        scheduler.join(worker)
        scheduler.ready(worker)
    scheduler.add(1, _CHECKPOINT, "closed", batches)
    held = [scheduler.lease(worker) for worker in range(workers)]
    granted = 0

    def run() -> None:
        nonlocal now, granted
        under_way = True
        while under_way:
            under_way = False
            for worker, unit in enumerate(held):
                if unit is None:
                    continue
                under_way = True
                now += 0.001
                spent = {(i.dataset, i.key): 0.1 for i in unit.batch.items}
                scheduler.complete(unit.unit_id, spent)
                scheduler.beat(worker)
                held[worker] = scheduler.lease(worker)
                granted += held[worker] is not None
            assert not scheduler.overdue()

    spent_s = cpu_seconds(run)
    assert scheduler.is_finished(1) and granted == units - workers
    config = f"{workers:,} workers, {units:,} units"
    against = "of CPU time, lease to completion"
    return [
        Result("coordinator leases", config, granted / spent_s, "leases/s", against, BAR,
               "at least")
    ]  # fmt: skip


_CHECKPOINT = Checkpoint(1, 1, Path(), "weights")
_BATCH = stand_in(0, [], [], 0)


def _result(key: tuple[str, str], place: int) -> ItemResult:
    return ItemResult(
        key,
        answer="B",
        score=1.0,
        correct=True,
        gold_logprob=-0.1234567 - place,
        gold_prob=0.8765432,
        option_mass=0.9876543,
        option_logprobs=(-2.345678, -0.1234567, -3.456789, -4.567891),
        prompt_tokens=1234,
        prefill_s=0.0123,
    )


def _parts(keys: list[tuple[str, str]], units: Sequence[int]) -> list[list[tuple[str, str]]]:
    ends = list(accumulate(units))
    return [keys[end - size : end] for end, size in zip(ends, units, strict=True)]
