-- How fresh are the scores, and does validation keep up with training?
--
-- freshness_s: from a complete checkpoint to its closed score. keep_up: time from the checkpoint's
-- first start to its last end, over the time since the checkpoint before; above 1 the engine falls
-- behind.
--
-- :last  of the last so many checkpoints; 20 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH timed AS (
    SELECT c.step, c.id, c.state, c.found_at, c.ready_at,
           c.found_at - lag(c.found_at) OVER (ORDER BY c.found_at, c.id) AS interval_s,
           (SELECT e.finished_at FROM evaluations e
            WHERE e.checkpoint_id = c.id AND e.mode = 'closed') AS closed_at,
           (SELECT max(e.finished_at) - min(e.started_at) FROM evaluations e
            WHERE e.checkpoint_id = c.id
            HAVING count(*) = count(e.finished_at)) AS evaluation_s
    FROM checkpoints c
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
)
SELECT step, state, datetime(found_at, 'unixepoch') AS found_utc, round(interval_s, 1) AS interval_s,
       round(closed_at - ready_at, 1) AS freshness_s, round(evaluation_s, 1) AS evaluation_s,
       round(evaluation_s / nullif(interval_s, 0), 2) AS keep_up
FROM timed
ORDER BY id DESC
LIMIT coalesce(:last, 20);
