-- Which items are wrong in closed and right in open, at the last checkpoint that has both?
--
-- :rows  how many items; 20 if not given
-- :step  step of the checkpoint; the last that has both if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH both AS (
    SELECT cl.id AS closed_id, op.id AS open_id
    FROM checkpoints c
    JOIN evaluations cl ON cl.checkpoint_id = c.id AND cl.mode = 'closed' AND cl.state = 'done'
    JOIN evaluations op ON op.checkpoint_id = c.id AND op.mode = 'open' AND op.state = 'done'
    WHERE c.run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND c.step = coalesce(:step, c.step)
    ORDER BY c.step DESC, c.id DESC LIMIT 1
)
SELECT i.dataset, i.key, i.question, p.answer AS letter,
       json_extract(i.options_json, '$[' || (unicode(p.answer) - 65) || ']') AS chosen_option,
       o.answer AS open_answer, round(p.gold_prob, 3) AS gold_prob
FROM both
CROSS JOIN predictions p ON p.evaluation_id = both.closed_id AND p.correct = 0
CROSS JOIN predictions o ON o.evaluation_id = both.open_id AND o.item_id = p.item_id AND o.score = 1
JOIN items i ON i.id = p.item_id
ORDER BY p.gold_prob, i.dataset, i.key
LIMIT coalesce(:rows, 20);
