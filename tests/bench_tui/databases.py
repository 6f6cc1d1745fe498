"""Databases to measure the dashboard on, and what writes to them meanwhile."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

from ctv_engine.store.rows import DatasetRow, ItemRow
from ctv_engine.store.writer import Writer

DATASETS = tuple(f"dataset-{n}" for n in range(6))
CHECKPOINTS = 300
GPUS = 16
ITEMS = 2_500
_METRICS = {"closed": "accuracy", "open": "score", "gold": "score"}


def _new_run(path: Path, checkpoints: int, items: int, *, state: str) -> Writer:
    """Create a run whose evaluations are all done, with workers on sixteen GPUs."""
    writer = Writer(path)
    per_dataset = items // len(DATASETS)
    rows = [
        ItemRow(name, f"{n:04d}", "?", '["a", "b", "c", "d"]', n % 4, '["a"]', "i.png", f"d{n}")
        for name in DATASETS
        for n in range(per_dataset)
    ]
    writer.add_suite("suite", [DatasetRow(n, "exact_match", per_dataset) for n in DATASETS], rows)
    run_id = writer.open_run(
        name="bench",
        checkpoint_dir="/runs/bench",
        suite_digest="suite",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="node-1",
    )
    for n in range(GPUS):
        worker = writer.add_worker(run_id, "node-1", f"cuda:{n}")
        writer.set_worker(worker, "ready", pid=1000 + n, gpu_uuid=f"GPU-{n:02d}")
    start = time.time() - 60.0 * checkpoints
    with writer.transaction() as connection:
        connection.executemany(
            "INSERT INTO checkpoints (run_id, step, path, state, found_at, ready_at, done_at)"
            " VALUES (?, ?, ?, 'done', ?, ?, ?)",
            [
                (run_id, 10 * n, f"/runs/bench/checkpoint-{10 * n}", at, at, at + 40.0)
                for n in range(1, checkpoints + 1)
                for at in [start + 60.0 * n]
            ],
        )
        connection.executemany(
            "INSERT INTO evaluations (checkpoint_id, mode, schedule, state, planned, done,"
            " started_at, finished_at, makespan_s, ideal_s, idle_fraction)"
            " SELECT id, ?, 'queue', 'done', ?, ?, ready_at, ready_at + 20, 20.0, 19.0, 0.05"
            " FROM checkpoints",
            [(mode, items, items) for mode in _METRICS],
        )
    writer.beat(run_id=run_id, pid=1, host="node-1", state=state, version="0")  # type: ignore[arg-type]
    return writer


def _write_scores(writer: Writer, where: str, shift: float) -> None:
    """Write all scores of the evaluations ``where`` anew, as curves that rise with the step."""
    evaluations = writer.query(
        "SELECT e.id, e.mode, c.step FROM evaluations e"
        f" JOIN checkpoints c ON c.id = e.checkpoint_id WHERE {where}"
    )
    rows = []
    for id, mode, step in evaluations:
        for number, dataset in enumerate((*DATASETS, "macro")):
            value = 0.5 + 0.3 * math.tanh(step / 1500) + 0.1 * math.sin(step / 90 + number + shift)
            rows.append((id, dataset, _METRICS[mode], value - 0.1 * (mode == "open"), 0.02, 400))
    with writer.transaction() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO scores (evaluation_id, dataset, metric, value, stderr, n)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )


def _write_samples(writer: Writer, at: float) -> None:
    with writer.transaction() as connection:
        connection.executemany(
            "INSERT INTO gpu_samples (at, gpu_uuid, host, utilisation, memory_used, memory_total,"
            " power_w, temperature_c, sm_clock_mhz, status)"
            " VALUES (?, ?, 'node-1', ?, ?, 80000000000, ?, ?, 1410, 'ok')",
            [
                (
                    at,
                    f"GPU-{n:02d}",
                    80 + 19 * math.sin(at + n),
                    61_000_000_000 + n * 10**8,
                    380 + 10 * math.sin(at / 3 + n),
                    60 + n % 5,
                )
                for n in range(GPUS)
            ],
        )


def finished(path: Path) -> None:
    """A run that has ended: nothing will ever change."""
    writer = _new_run(path, CHECKPOINTS, 300, state="stopped")
    _write_scores(writer, "1", 0.0)
    writer.close()


def live(path: Path) -> None:
    """A run under way with 300 checkpoints and a minute of readings of sixteen GPUs."""
    writer = _new_run(path, CHECKPOINTS, 300, state="scoring")
    _write_scores(writer, "1", 0.0)
    now = time.time()
    for back in range(60, 0, -1):
        _write_samples(writer, now - back)
    writer.close()


_PREDICTIONS = """
INSERT INTO predictions (evaluation_id, item_id, permutation, worker_id, batch_id, attempt, status,
    reason, answer, score, correct, gold_logprob, gold_prob, option_mass, option_logprobs_json,
    prompt_tokens, output_tokens, finish_reason, prefill_s, decode_s, created_at)
SELECT evaluation_id, item_id, 0, 1 + (item_id / 20) % 16, item_id / 20, 1,
    iif(failed, 'failed', 'ok'), iif(failed, 'image ' || item_id || ' can''t be decoded', NULL),
    CASE WHEN failed THEN NULL WHEN closed THEN char(65 + (key + iif(right, 0, 1 + luck % 3)) % 4)
         ELSE 'an answer ' || luck END,
    iif(failed, NULL, right), iif(closed AND NOT failed, right, NULL),
    iif(closed AND NOT failed, -0.001 * luck, NULL), iif(closed AND NOT failed, luck / 1e3, NULL),
    iif(closed AND NOT failed, 1 - luck / 1e5, NULL),
    iif(closed AND NOT failed, printf('[-%.15f, -1.3125, -2.40625, -7.984375]', luck / 1e3), NULL),
    iif(failed, NULL, 310), iif(closed OR failed, NULL, 1 + luck % 90),
    CASE WHEN closed OR failed THEN NULL WHEN luck % 50 = 0 THEN 'length' ELSE 'stop' END,
    iif(failed, NULL, 0.01), iif(closed OR failed, NULL, 0.002 * (1 + luck % 90)), started_at
FROM (
    SELECT e.id AS evaluation_id, i.id AS item_id, i.gold_index AS key, e.started_at,
           e.mode = 'closed' AS closed, i.id % 500 = 7 AS failed,
           (i.id * 7919 + e.id * 104729) % 997 AS luck,
           i.id % 10 > 0 AND (i.id * 7919 + e.id * 104729) % 997 < 600 AS right
    FROM evaluations e CROSS JOIN items i LIMIT ?
)
"""
"""One item in five hundred fails at every checkpoint; one in ten is never right."""


def large(path: Path, predictions: int = 1_000_000, samples: int = 5_000_000) -> None:
    """A run with a million predictions and five million readings of GPUs."""
    items = ITEMS // len(DATASETS) * len(DATASETS)
    checkpoints = -(-predictions // (items * len(_METRICS)))
    writer = _new_run(path, checkpoints, items, state="scoring")
    _write_scores(writer, "1", 0.0)
    first = time.time() - samples / GPUS
    with writer.transaction() as connection:
        connection.execute(_PREDICTIONS, (predictions,))
        connection.execute(
            "INSERT INTO spans (worker_id, evaluation_id, batch_id, kind, started_at, ended_at)"
            " SELECT worker_id, evaluation_id, batch_id, 'prefill', min(created_at),"
            " max(created_at) + 0.5 FROM predictions GROUP BY evaluation_id, batch_id, worker_id"
        )
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
            " INSERT INTO gpu_samples (at, gpu_uuid, host, utilisation, memory_used, memory_total,"
            " power_w, temperature_c, sm_clock_mhz, status)"
            " SELECT ? + i / 16, printf('GPU-%02d', i % 16), 'node-1', 90 + i % 10, 61000000000,"
            " 80000000000, 380 + i % 20, 60, 1410, 'ok' FROM n",
            (samples, first),
        )
    writer.close()


def tick(path: Path, seconds: float, charts: bool, gpus: bool) -> None:
    """Write to a run until ``seconds`` are over: scores twice a second, readings once."""
    writer = Writer(path)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        if charts:
            _write_scores(writer, f"c.step > {10 * (CHECKPOINTS - 1)}", number / 3)
        if gpus and number % 2 == 0:
            _write_samples(writer, time.time())
        writer.beat(run_id=1, pid=1, host="node-1", state="scoring", version="0")
        time.sleep(0.5)
    writer.close()


if __name__ == "__main__":
    tick(Path(sys.argv[1]), float(sys.argv[2]), "charts" in sys.argv, "gpus" in sys.argv)
