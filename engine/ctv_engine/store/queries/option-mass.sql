-- Does the model answer with letters at all: which share of the probability falls on them?
--
-- :last  of the last so many checkpoints; 50 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id, c.step FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = 'closed'
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT coalesce(:last, 50)
)
SELECT ch.step, count(p.option_mass) AS n, round(avg(p.option_mass), 4) AS option_mass,
       round(min(p.option_mass), 4) AS least, round(avg(p.gold_prob), 3) AS gold_prob
FROM chosen ch CROSS JOIN predictions p ON p.evaluation_id = ch.id
GROUP BY ch.id
ORDER BY ch.step;
