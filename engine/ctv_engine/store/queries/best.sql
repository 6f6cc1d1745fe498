-- Which checkpoints score best, with 95 % intervals, and which can't be told apart from the best?
--
-- The checkpoints answer the same items, so this ties too many of them rather than too few.
--
-- :mode  closed, open or gold; closed if not given
-- :rows  how many checkpoints; 10 if not given
-- :run   number of the run (runs.id); the newest if not given
WITH scored AS (
    SELECT step, value, stderr, n FROM trajectory
    WHERE run_id = coalesce(:run, (SELECT max(id) FROM runs))
      AND mode = coalesce(:mode, 'closed')
      AND metric = CASE mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END
      AND dataset = 'macro' AND state = 'done' AND value IS NOT NULL
), top AS (
    SELECT value, stderr FROM scored ORDER BY value DESC, step LIMIT 1
)
SELECT s.step, round(s.value, 3) AS score,
       round(s.value - 1.96 * s.stderr, 3) AS low, round(s.value + 1.96 * s.stderr, 3) AS high,
       s.n,
       (top.value - s.value) * (top.value - s.value)
           <= 1.96 * 1.96 * (s.stderr * s.stderr + top.stderr * top.stderr) AS tied_with_best
FROM scored s CROSS JOIN top
ORDER BY s.value DESC, s.step
LIMIT coalesce(:rows, 10);
