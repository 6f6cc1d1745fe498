-- How do closed and open compare with gold, dataset by dataset?
--
-- :step  step of the checkpoint; the last with a closed score if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT * FROM trajectory
    WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND metric = CASE mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END
)
SELECT dataset,
       round(max(value) FILTER (WHERE mode = 'closed'), 3) AS closed,
       round(max(value) FILTER (WHERE mode = 'open'), 3) AS open,
       round(max(value) FILTER (WHERE mode = 'gold'), 3) AS gold,
       round(max(value) FILTER (WHERE mode = 'closed')
             - max(value) FILTER (WHERE mode = 'gold'), 3) AS closed_less_gold,
       round(max(value) FILTER (WHERE mode = 'open')
             - max(value) FILTER (WHERE mode = 'gold'), 3) AS open_less_gold
FROM chosen
WHERE step = coalesce(:step, (SELECT max(step) FROM chosen WHERE mode = 'closed'))
GROUP BY dataset
ORDER BY dataset = 'macro', dataset;
