-- Does the model prefer a letter: how often is each one the key, chosen, and recalled?
--
-- preferred_percent: how much more often it is chosen than it is the key, of all items.
--
-- :step  step of the checkpoint; the last that is done if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id, c.step FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = 'closed'
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND c.step = coalesce(:step, c.step)
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT 1
), asked AS (
    SELECT ch.step, p.answer, char(65 + i.gold_index) AS key
    FROM chosen ch
    CROSS JOIN predictions p ON p.evaluation_id = ch.id AND p.status = 'ok' AND p.permutation = 0
    JOIN items i ON i.id = p.item_id
), letters AS (
    SELECT key AS letter FROM asked UNION SELECT answer FROM asked
)
SELECT a.step, l.letter, sum(a.key = l.letter) AS is_key, sum(a.answer = l.letter) AS chosen,
       round(100 * avg(a.answer = l.letter) - 100 * avg(a.key = l.letter), 1) AS preferred_percent,
       round(avg(a.answer = l.letter) FILTER (WHERE a.key = l.letter), 3) AS recall
FROM letters l CROSS JOIN asked a
GROUP BY l.letter
ORDER BY l.letter;
