-- What could not be scored, and why: checkpoints, evaluations, items?
--
-- :run  number of the run (runs.id); that of the engine, else the newest, if not given
WITH run AS (SELECT coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs)) AS id)
SELECT 'checkpoint' AS what, c.state, NULL AS mode, NULL AS dataset, count(*) AS n,
       min(c.step) AS first_step, max(c.step) AS last_step, c.reason
FROM run JOIN checkpoints c ON c.run_id = run.id
WHERE c.state IN ('failed', 'vanished', 'skipped')
GROUP BY c.state, c.reason
UNION ALL
SELECT 'evaluation', e.state, e.mode, NULL, count(*), min(c.step), max(c.step), e.reason
FROM run JOIN checkpoints c ON c.run_id = run.id JOIN evaluations e ON e.checkpoint_id = c.id
WHERE e.state = 'failed'
GROUP BY e.mode, e.reason
UNION ALL
SELECT 'item', p.status, e.mode, i.dataset, count(*), min(c.step), max(c.step), p.reason
FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id JOIN run ON run.id = c.run_id
JOIN items i ON i.id = p.item_id
WHERE p.status <> 'ok'
GROUP BY p.status, e.mode, i.dataset, p.reason
ORDER BY 1, 5 DESC, 3, 4;
