-- Which share of the answers was cut at the dataset's most tokens, or went round in circles?
--
-- :mode  open or gold; open if not given
-- :last  of the last so many checkpoints; 10 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id, c.step FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = coalesce(:mode, 'open')
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT coalesce(:last, 10)
)
SELECT ch.step, i.dataset, count(*) AS answers, sum(p.finish_reason = 'length') AS capped,
       sum(p.finish_reason = 'repeat') AS repeating,
       round(100.0 * avg(p.finish_reason IN ('length', 'repeat')), 1) AS percent
FROM chosen ch
CROSS JOIN predictions p ON p.evaluation_id = ch.id AND p.status = 'ok'
JOIN items i ON i.id = p.item_id
GROUP BY ch.id, i.dataset
ORDER BY ch.step, i.dataset;
