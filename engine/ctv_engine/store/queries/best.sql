-- Which checkpoints score best, with 95 % intervals, and which can't be told apart from the best?
--
-- All checkpoints are compared on the same items, as by `ctv-tui best`. Those that may be the best
-- hold the truly best one with 95 % probability. The change is since the checkpoint before. Rows
-- with window 3 rank by the mean with both neighbours.
--
-- :mode  closed, open or gold; closed if not given
-- :rows  how many checkpoints; 10 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
SELECT step, round(value, 3) AS score, round(low, 3) AS low, round(high, 3) AS high, n, may_be_best,
       round(change, 3) AS change, round(change_low, 3) AS change_low,
       round(change_high, 3) AS change_high, reason
FROM ranking
WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
  AND mode = coalesce(:mode, 'closed')
  AND window = 1
ORDER BY rank, step
LIMIT coalesce(:rows, 10);
