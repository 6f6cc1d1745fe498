-- Who waited for whom? Seconds of work and of waiting of each device.
--
-- :last  of the last so many checkpoints; 3 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH newest AS (
    SELECT id, step FROM checkpoints c
    WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND EXISTS (SELECT 1 FROM evaluations e WHERE e.checkpoint_id = c.id AND e.state = 'done')
    ORDER BY step DESC, id DESC LIMIT coalesce(:last, 3)
)
SELECT c.step, b.mode, b.host, b.device, round(b.busy_s, 2) AS busy_s, round(b.wait_s, 2) AS wait_s,
       round(100 * b.wait_s / nullif(b.busy_s + b.wait_s, 0), 1) AS wait_percent
FROM newest c JOIN gpu_balance b ON b.checkpoint_id = c.id
ORDER BY c.step DESC, b.evaluation_id, b.host, b.worker_id;
