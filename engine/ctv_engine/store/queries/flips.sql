-- How many answers change from one checkpoint to the next, and for better or worse?
--
-- :mode  closed, open or gold; closed if not given
-- :last  the last so many changes; 10 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id, c.step, c.id AS checkpoint_id FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = coalesce(:mode, 'closed')
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT coalesce(:last, 10) + 1
), pairs AS (
    SELECT id, step, lag(id) OVER w AS before_id, lag(step) OVER w AS before_step
    FROM chosen WINDOW w AS (ORDER BY step, checkpoint_id)
)
SELECT before_step, step, count(*) AS compared, sum(a.answer <> b.answer) AS changed,
       sum(a.score > b.score) AS better, sum(a.score < b.score) AS worse,
       round(100.0 * avg(a.answer <> b.answer), 1) AS changed_percent
FROM pairs
CROSS JOIN predictions a ON a.evaluation_id = pairs.id AND a.status = 'ok'
CROSS JOIN predictions b ON b.evaluation_id = pairs.before_id AND b.item_id = a.item_id
     AND b.permutation = a.permutation AND b.status = 'ok'
GROUP BY pairs.id
ORDER BY step;
