-- Which items are the hardest: lowest mean score, and then the least probability on the key?
--
-- :mode  closed, open or gold; closed if not given
-- :last  over the last so many checkpoints; 10 if not given
-- :rows  how many items; 20 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = coalesce(:mode, 'closed')
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT coalesce(:last, 10)
), means AS (
    SELECT p.item_id, count(*) AS asked, avg(coalesce(p.score, p.correct)) AS score,
           avg(p.gold_prob) AS gold_prob
    FROM chosen ch CROSS JOIN predictions p ON p.evaluation_id = ch.id AND p.status = 'ok'
    GROUP BY p.item_id
)
SELECT i.dataset, i.key, i.question, m.asked, round(m.score, 3) AS mean_score,
       round(m.gold_prob, 3) AS mean_gold_prob
FROM means m JOIN items i ON i.id = m.item_id
ORDER BY m.score, m.gold_prob, i.dataset, i.key
LIMIT coalesce(:rows, 20);
