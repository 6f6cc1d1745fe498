-- How far can each proxy be trusted so far: its correlation with gold, with 95 % intervals?
--
-- :window  of the last so many steps; 0, the whole run, if not given
-- :run     number of the run (runs.id); that of the engine, else the newest, if not given
SELECT scope, method, proxy, round(r, 3) AS r, round(low, 2) AS low, round(high, 2) AS high, n, reason
FROM correlation_now
WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
  AND window = coalesce(:window, 0)
ORDER BY scope LIKE 'dataset:%', scope, method <> 'pearson', method, proxy;
