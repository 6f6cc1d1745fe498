-- How long are the answers, as a histogram?
--
-- :mode   open or gold; open if not given
-- :width  tokens in a bar; 4 if not given
-- :step   step of the checkpoint; the last that is done if not given
-- :run    number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = coalesce(:mode, 'open')
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND c.step = coalesce(:step, c.step)
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT 1
), bars AS (
    SELECT p.output_tokens / coalesce(:width, 4) * coalesce(:width, 4) AS tokens, count(*) AS answers,
           sum(p.finish_reason = 'length') AS capped
    FROM chosen ch CROSS JOIN predictions p ON p.evaluation_id = ch.id
    WHERE p.output_tokens IS NOT NULL
    GROUP BY 1
)
SELECT tokens AS from_tokens, tokens + coalesce(:width, 4) - 1 AS to_tokens, answers, capped,
       round(100.0 * answers / sum(answers) OVER (), 1) AS percent,
       substr('########################################', 1,
              40 * answers / max(answers) OVER ()) AS bar
FROM bars
ORDER BY tokens;
