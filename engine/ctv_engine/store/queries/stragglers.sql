-- Which batch did everybody wait for at the end of each evaluation, and how long?
--
-- alone_s: how much longer its worker was at this evaluation than any other; these may have had
-- something else to do.
--
-- :last  of the last so many checkpoints; 5 if not given
-- :run   number of the run (runs.id); that of the engine, else the newest, if not given
WITH newest AS (
    SELECT id, step FROM checkpoints c
    WHERE run_id = coalesce(:run, (SELECT run_id FROM engine), (SELECT max(id) FROM runs))
      AND EXISTS (SELECT 1 FROM evaluations e WHERE e.checkpoint_id = c.id AND e.state = 'done')
    ORDER BY step DESC, id DESC LIMIT coalesce(:last, 5)
), batches AS (
    SELECT c.step, e.mode, e.id AS evaluation_id, e.makespan_s, e.ideal_s, s.worker_id, s.batch_id,
           max(s.ended_at) AS ended, sum(s.ended_at - s.started_at) AS busy_s
    FROM newest c
    CROSS JOIN evaluations e ON e.checkpoint_id = c.id AND e.state = 'done'
    CROSS JOIN spans s ON s.evaluation_id = e.id
    WHERE s.batch_id IS NOT NULL
    GROUP BY e.id, s.worker_id, s.batch_id
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY evaluation_id ORDER BY ended DESC) AS place,
           avg(busy_s) OVER (PARTITION BY evaluation_id) AS mean_s
    FROM batches
)
SELECT p.step, p.mode, w.host, w.device, p.batch_id, round(p.busy_s, 2) AS batch_s,
       round(p.mean_s, 2) AS mean_batch_s,
       round(p.ended - (SELECT max(o.ended) FROM placed o WHERE o.evaluation_id = p.evaluation_id
                        AND o.worker_id <> p.worker_id), 2) AS alone_s,
       (SELECT max(a.output_tokens) FROM predictions a
        WHERE a.evaluation_id = p.evaluation_id AND a.batch_id = p.batch_id) AS longest_answer_tokens,
       round(p.makespan_s, 2) AS makespan_s, round(p.ideal_s, 2) AS ideal_s
FROM placed p JOIN workers w ON w.id = p.worker_id
WHERE p.place = 1
ORDER BY p.step DESC, p.evaluation_id;
