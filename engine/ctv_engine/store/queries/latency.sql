-- What does an item cost, by dataset and mode: prefill, decoding, median and 95th percentile?
--
-- :step  step of the checkpoint; for each mode the last one that is done if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH done AS (
    SELECT e.id, e.mode, c.step,
           row_number() OVER (PARTITION BY e.mode ORDER BY c.step DESC, c.id DESC) AS place
    FROM checkpoints c JOIN evaluations e ON e.checkpoint_id = c.id AND e.state = 'done'
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND c.step = coalesce(:step, c.step)
), costs AS (
    SELECT d.step, d.mode, i.dataset, p.prefill_s, p.decode_s, p.output_tokens,
           p.prefill_s + coalesce(p.decode_s, 0.0) AS total_s
    FROM done d
    CROSS JOIN predictions p ON p.evaluation_id = d.id AND p.status = 'ok'
    JOIN items i ON i.id = p.item_id
    WHERE d.place = 1 AND p.prefill_s IS NOT NULL
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY mode, dataset ORDER BY total_s) AS place,
           count(*) OVER (PARTITION BY mode, dataset) AS of
    FROM costs
)
SELECT dataset, mode, step, count(*) AS n,
       round(1000 * avg(prefill_s), 2) AS prefill_ms, round(1000 * avg(decode_s), 2) AS decode_ms,
       round(1000 * max(total_s) FILTER (WHERE place = (of + 1) / 2), 2) AS median_ms,
       round(1000 * max(total_s) FILTER (WHERE place = (95 * of + 99) / 100), 2) AS p95_ms,
       round(avg(output_tokens), 1) AS output_tokens
FROM ranked
GROUP BY dataset, mode
ORDER BY dataset, mode;
