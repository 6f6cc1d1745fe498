-- By how many percent is closed cheaper than this engine's own open mode?
--
-- Mean seconds of prefill and decoding of an item, at the last checkpoint that has both modes. Where
-- closed and open form were prefilled together, each is booked its part of that;
-- where answers are as short as a letter, the saving may be less than nothing.
--
-- :step  step of the checkpoint; the last that has both if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH both AS (
    SELECT c.step, c.id, cl.id AS closed_id, op.id AS open_id
    FROM checkpoints c
    JOIN evaluations cl ON cl.checkpoint_id = c.id AND cl.mode = 'closed' AND cl.state = 'done'
    JOIN evaluations op ON op.checkpoint_id = c.id AND op.mode = 'open' AND op.state = 'done'
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND c.step = coalesce(:step, c.step)
    ORDER BY c.step DESC, c.id DESC LIMIT 1
), costs AS (
    SELECT b.step, i.dataset, p.evaluation_id = b.closed_id AS closed,
           p.prefill_s + coalesce(p.decode_s, 0.0) AS seconds
    FROM both b
    CROSS JOIN predictions p ON p.evaluation_id IN (b.closed_id, b.open_id) AND p.status = 'ok'
    JOIN items i ON i.id = p.item_id
    WHERE p.prefill_s IS NOT NULL
), means AS (
    SELECT step, dataset, avg(seconds) FILTER (WHERE closed) AS closed_s,
           avg(seconds) FILTER (WHERE NOT closed) AS open_s
    FROM costs GROUP BY dataset
    UNION ALL
    SELECT step, 'all items', avg(seconds) FILTER (WHERE closed),
           avg(seconds) FILTER (WHERE NOT closed)
    FROM costs HAVING count(*) > 0
)
SELECT step, dataset, round(1000 * closed_s, 2) AS closed_ms, round(1000 * open_s, 2) AS open_ms,
       round(100 * (1 - closed_s / nullif(open_s, 0)), 1) AS saving_percent
FROM means
ORDER BY dataset = 'all items', dataset;
