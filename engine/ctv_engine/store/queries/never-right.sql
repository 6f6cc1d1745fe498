-- Which items did no checkpoint answer right, and what does the last one say?
--
-- Right is a score of 1.
--
-- :mode  closed, open or gold; closed if not given
-- :last  none of the last so many checkpoints; 50 if not given
-- :rows  how many items; 50 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH chosen AS (
    SELECT e.id, row_number() OVER (ORDER BY c.step DESC, c.id DESC) AS place FROM checkpoints c
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = coalesce(:mode, 'closed')
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND e.state = 'done'
    ORDER BY c.step DESC, c.id DESC LIMIT coalesce(:last, 50)
), wrong AS (
    SELECT p.item_id, count(*) AS asked, max(p.answer) FILTER (WHERE ch.place = 1) AS last_answer
    FROM chosen ch CROSS JOIN predictions p ON p.evaluation_id = ch.id AND p.status = 'ok'
    GROUP BY p.item_id
    HAVING max(coalesce(p.score, p.correct)) < 1
)
SELECT i.dataset, i.key, i.question, i.answers_json AS accepted, w.asked, w.last_answer
FROM wrong w JOIN items i ON i.id = w.item_id
ORDER BY i.dataset, i.key
LIMIT coalesce(:rows, 50);
