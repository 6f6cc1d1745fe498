-- How much work gets done in a second, and how much of it is padding?
--
-- Of closed and open forms that were answered together, the prefill is counted with closed.
--
-- :last  of the last so many checkpoints; 10 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH newest AS (
    SELECT id, step FROM checkpoints c
    WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND EXISTS (SELECT 1 FROM evaluations e WHERE e.checkpoint_id = c.id AND e.state = 'done')
    ORDER BY step DESC, id DESC LIMIT coalesce(:last, 10)
)
SELECT c.step, e.mode, e.done AS items, round(e.makespan_s, 2) AS makespan_s,
       round(e.done / nullif(e.makespan_s, 0), 1) AS items_per_s,
       round(e.prompt_tokens / nullif(e.makespan_s, 0)) AS prompt_tokens_per_s,
       round(e.row_steps / nullif(e.makespan_s, 0)) AS decoded_tokens_per_s,
       round(100 - 100.0 * e.prompt_tokens / nullif(e.processed_tokens, 0), 2) AS padding_percent,
       round(100 * e.idle_fraction, 1) AS idle_percent
FROM newest c JOIN evaluations e ON e.checkpoint_id = c.id
WHERE e.state = 'done'
ORDER BY c.step DESC, e.id;
