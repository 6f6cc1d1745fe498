-- How do the scores go, step by step and mode by mode?
--
-- :dataset  name of a dataset; macro, the mean over datasets, if not given
-- :run      number of the run (runs.id); that of the engine, else the newest, if not given
SELECT step, mode, round(value, 3) AS score, round(stderr, 3) AS stderr, n, state
FROM trajectory
WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
  AND dataset = coalesce(:dataset, 'macro')
  AND metric = CASE mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END
ORDER BY step, mode;
