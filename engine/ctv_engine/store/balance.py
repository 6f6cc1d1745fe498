"""Who worked and who waited in an evaluation, as SQL over ``spans``."""

from __future__ import annotations

_BALANCE = """
WITH extent AS MATERIALIZED (
    SELECT e.id AS evaluation_id, e.checkpoint_id, e.mode,
           (SELECT min(s.started_at) FROM spans s WHERE s.evaluation_id = e.id) AS began,
           (SELECT max(s.ended_at) FROM spans s WHERE s.evaluation_id = e.id) AS ended
    FROM evaluations e{which}
), share AS MATERIALIZED (
    SELECT x.evaluation_id, x.checkpoint_id, x.mode, x.began, x.ended,
           w.id AS worker_id, w.device, w.host, w.gpu_uuid,
           coalesce(w.ended_at, x.ended) AS left_at,
           coalesce((SELECT sum(s.ended_at - s.started_at) FROM spans s
                     WHERE s.evaluation_id = x.evaluation_id AND s.worker_id = w.id),
                    0.0) AS busy_s,
           coalesce((SELECT max(s.ended_at) FROM spans s
                     WHERE s.evaluation_id = x.evaluation_id AND s.worker_id = w.id),
                    max(x.began, w.ready_at)) AS last_end
    FROM extent x
    JOIN checkpoints c ON c.id = x.checkpoint_id
    JOIN workers w ON w.run_id = c.run_id AND w.ready_at < x.ended
                  AND (w.ended_at IS NULL OR w.ended_at > x.began)
    WHERE x.began IS NOT NULL
)
SELECT evaluation_id, checkpoint_id, mode, worker_id, device, host, gpu_uuid,
       began, ended, busy_s, last_end,
       max(0.0, min(ended, left_at) - last_end - coalesce((
           SELECT sum(max(0.0, min(s.ended_at, share.ended) - max(s.started_at, share.last_end)))
           FROM spans s
           WHERE s.worker_id = share.worker_id AND s.evaluation_id <> share.evaluation_id
             AND s.started_at < share.ended
             AND s.started_at >= coalesce((
                 SELECT max(p.started_at) FROM spans p
                 WHERE p.worker_id = share.worker_id AND p.started_at < share.last_end),
                 share.last_end)), 0.0)) AS wait_s
FROM share
"""

_ABOUT = """
-- Who worked and who waited: one row per evaluation and worker that was up while it ran.
--
-- evaluation_id INTEGER: The evaluation.
-- checkpoint_id, mode: see evaluations
-- worker_id INTEGER: The worker.
-- device, host, gpu_uuid: see workers
-- began REAL: Begin of the evaluation's first span. [epoch s]
-- ended REAL: End of its last span. [epoch s]
-- busy_s REAL: What the worker did for it. [s]
-- last_end REAL: End of the worker's own last span; if it has none, when it could have begun.
--   [epoch s]
-- wait_s REAL: Time between that and the last span of anybody, less what the worker did for other
--   evaluations then. From the engine's clock, never from a device's utilisation. [s]
"""

BALANCE_VIEW = (
    f"CREATE VIEW IF NOT EXISTS gpu_balance AS{_ABOUT.rstrip()}"
    f"{_BALANCE.format(which='').rstrip()};\n"
)
"""Who worked and who waited in every evaluation.

A worker does one thing at a time, so that of what began before its wait only the newest span can
reach into it: the index finds it and those after it.
"""

HOST_BALANCE_VIEW = """
CREATE VIEW host_balance AS
-- Which machine worked and waited: one row per evaluation and machine with a worker that was up
-- while it ran.
--
-- evaluation_id INTEGER: The evaluation.
-- checkpoint_id, mode: see evaluations
-- host: see workers
-- workers INTEGER: Workers of it, those that were replaced meanwhile too. [workers]
-- busy_s REAL: Sum of what they did for it. [s]
-- wait_s REAL: Sum of their waits, see gpu_balance. [s]
-- idle_fraction REAL: wait_s / (busy_s + wait_s). [0…1] NULL: they neither worked nor waited.
SELECT evaluation_id, checkpoint_id, mode, host, count(*) AS workers,
       sum(busy_s) AS busy_s, sum(wait_s) AS wait_s,
       sum(wait_s) / nullif(sum(busy_s) + sum(wait_s), 0.0) AS idle_fraction
FROM gpu_balance GROUP BY evaluation_id, host;
"""
"""The same by machine."""

BALANCE_OF_ONE = _BALANCE.format(which=" WHERE e.id = ?")
"""The view's rows of one evaluation, without looking at the others."""
