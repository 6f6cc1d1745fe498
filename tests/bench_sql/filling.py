"""A database with everything that a long run has, to measure queries on."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "bench_tui"))

import databases

from ctv_engine.store.writer import Writer

WEEK_MINUTES = 7 * 24 * 60

_CORRELATIONS = """
INSERT INTO correlations (run_id, proxy, scope, method, window, step, r, low, high, n)
SELECT 1, proxy, scope, method, window, step, 0.8, 0.1, 0.9, 8
FROM (SELECT 'closed' AS proxy UNION SELECT 'open'),
     (SELECT DISTINCT iif(dataset = 'macro', dataset, 'dataset:' || dataset) AS scope FROM scores),
     (SELECT 'pearson' AS method UNION SELECT 'spearman' UNION SELECT 'kendall'
      UNION SELECT 'difference' UNION SELECT 'partial'),
     (SELECT 0 AS window UNION SELECT 8), (SELECT step FROM checkpoints)
"""
_EVIDENCE = """
INSERT INTO evidence (run_id, mode, scope, measure, value, low, high, pairs, n, step)
SELECT 1, mode, scope, measure, 0.8, 0.1, 0.9, iif(measure = 'decision_accuracy', 8000, NULL), 134,
    (SELECT max(step) FROM checkpoints)
FROM (SELECT 'closed' AS mode UNION SELECT 'open' UNION SELECT 'gold'),
     (SELECT DISTINCT iif(dataset = 'macro', dataset, 'dataset:' || dataset) AS scope FROM scores),
     (SELECT 'decision_accuracy' AS measure UNION SELECT 'step_noise' UNION SELECT 'monotonicity'
      UNION SELECT 'signal_to_noise')
"""
_RANKING = """
INSERT INTO ranking (run_id, mode, window, step, rank, value, low, high, may_be_best, change,
    change_low, change_high, n, left_out)
SELECT 1, mode, window, step, row_number() OVER (PARTITION BY mode, window ORDER BY step), 0.5, 0.4,
    0.6, step % 7 = 0, 0.01, -0.02, 0.04, 2230, 0
FROM (SELECT 'closed' AS mode UNION SELECT 'open' UNION SELECT 'gold'),
     (SELECT 1 AS window UNION SELECT 3), (SELECT DISTINCT step FROM checkpoints)
"""
_MINUTES = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
INSERT INTO gpu_minutes (gpu_uuid, bucket, host, n, utilisation_mean, utilisation_min,
    utilisation_max, memory_used_mean, memory_used_max, power_w_mean, temperature_c_max, throttled)
SELECT printf('GPU-%02d', i % 16), 29000000 + i / 16, 'node-1', 60, 90.5, 10.0, 100.0, 6e10,
    61000000000, 380.5, 61.0, 0.25 FROM n
"""
_EVENTS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 20000)
INSERT INTO events (at, level, kind, message, checkpoint_id, run_id)
SELECT 1.79e9 + i, iif(i % 50 = 0, 'warning', 'info'), 'evaluation', 'step ' || i,
    1 + i % (SELECT count(*) FROM checkpoints), 1
FROM n
"""
_SPANS = """
UPDATE spans SET started_at = e.started_at + 8 * (e.id % 3) + spans.batch_id / 16,
    ended_at = e.started_at + 8 * (e.id % 3) + spans.batch_id / 16 + 0.9
FROM evaluations e WHERE e.id = spans.evaluation_id
"""
_WORKERS = "UPDATE workers SET ready_at = (SELECT min(started_at) FROM evaluations)"


def fill(
    path: Path, predictions: int, minutes: int = WEEK_MINUTES, samples: int = 16 * 3600
) -> None:
    """Write the database: as many minutes of sixteen GPUs, an hour of their samples."""
    databases.large(path, predictions=predictions, samples=samples)
    writer = Writer(path)
    with writer.transaction() as connection:
        connection.execute(_CORRELATIONS)
        connection.execute(_EVIDENCE)
        connection.execute(_RANKING)
        connection.execute(_MINUTES, (minutes * 16,))
        connection.execute(_EVENTS)
        connection.execute(_SPANS)
        connection.execute(_WORKERS)
    writer.close()
