-- How often does each mode order checkpoints as gold does, and how steady are its scores?
--
-- decision_accuracy is the share of the checkpoint pairs that gold tells apart; step_noise the
-- deviation of the changes between checkpoints; monotonicity Spearman's coefficient with the step.
--
-- :scope macro, dataset:NAME or imported:NAME:macro; all of them if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
SELECT scope, measure, mode, round(value, 3) AS value, round(low, 3) AS low, round(high, 3) AS high,
       pairs, n, step, reason
FROM evidence
WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
  AND scope = coalesce(:scope, scope)
ORDER BY scope LIKE 'dataset:%', scope, measure, mode;
