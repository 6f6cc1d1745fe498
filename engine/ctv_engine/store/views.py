"""Views for people and for the dashboard.

The comments behind ``AS`` are documentation, as in :mod:`ctv_engine.store.tables`: first what a row
is, then a line for every column, with its type. ``see TABLE`` takes both from its namesake there.
"""

from __future__ import annotations

from ctv_engine.store.balance import BALANCE_VIEW

_OF_SCORES = """
CREATE VIEW IF NOT EXISTS trajectory AS
-- Scores over steps: those of the newest evaluated checkpoint of each step.
--
-- run_id, step: see checkpoints
-- mode, state: see evaluations
-- dataset, metric, value, stderr, n: see scores
-- evaluation_id, checkpoint_id INTEGER: Where it is from.
SELECT c.run_id, c.step, e.mode, s.dataset, s.metric, s.value, s.stderr, s.n,
       e.state, e.id AS evaluation_id, c.id AS checkpoint_id
FROM scores s
JOIN evaluations e ON e.id = s.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id
WHERE c.id = (SELECT max(l.id) FROM checkpoints l JOIN evaluations le ON le.checkpoint_id = l.id
              WHERE l.run_id = c.run_id AND l.step = c.step);

CREATE VIEW IF NOT EXISTS correlation_now AS
-- How the proxies track the gold standard as of the last step that is known.
--
-- run_id, proxy, scope, method, window, step, r, low, high, n, reason: see correlations
SELECT c.run_id, c.proxy, c.scope, c.method, c.window, c.step, c.r, c.low, c.high, c.n, c.reason
FROM correlations c
WHERE c.step = (SELECT max(l.step) FROM correlations l
                WHERE l.run_id = c.run_id AND l.proxy = c.proxy AND l.scope = c.scope
                  AND l.method = c.method AND l.window = c.window);

CREATE VIEW IF NOT EXISTS flips AS
-- Items whose answer changed between neighbouring checkpoints, both of which have ended.
--
-- run_id, step: see checkpoints
-- mode: see evaluations
-- previous_step INTEGER: Step of the checkpoint before. [steps]
-- dataset, key, question: see items
-- answer_before, answer_after TEXT: Both answers, which differ.
-- score_before, score_after REAL: Their scores. [0…1] NULL: the dataset's metric gave none.
-- item_id INTEGER: The item.
WITH chain AS (
    SELECT e.id AS evaluation_id, e.mode, c.run_id, c.step,
           lag(e.id) OVER (PARTITION BY c.run_id, e.mode ORDER BY c.step, c.id) AS previous_id,
           lag(c.step) OVER (PARTITION BY c.run_id, e.mode ORDER BY c.step, c.id) AS previous_step
    FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id
    WHERE e.state = 'done'
      AND c.id = (SELECT max(l.id) FROM checkpoints l JOIN evaluations le ON le.checkpoint_id = l.id
                  WHERE l.run_id = c.run_id AND l.step = c.step)
)
SELECT chain.run_id, chain.mode, chain.previous_step, chain.step, i.dataset, i.key, i.question,
       before.answer AS answer_before, after.answer AS answer_after,
       before.score AS score_before, after.score AS score_after, i.id AS item_id
FROM chain
JOIN predictions after ON after.evaluation_id = chain.evaluation_id AND after.status = 'ok'
JOIN predictions before ON before.evaluation_id = chain.previous_id
     AND before.item_id = after.item_id AND before.permutation = after.permutation
     AND before.status = 'ok'
JOIN items i ON i.id = after.item_id
WHERE before.answer <> after.answer;
"""

_OF_WORK = """
CREATE VIEW IF NOT EXISTS latency AS
-- What the answers of an evaluation cost, per dataset; only items that were answered.
--
-- run_id, step: see checkpoints
-- mode: see evaluations
-- dataset: see items
-- n INTEGER: Items in it. [items]
-- prefill_s REAL: Mean time of an item's prefill. [s] NULL: not measured.
-- decode_s REAL: Mean time of its decoding. [s] NULL: closed, where nothing is decoded.
-- prefill_total_s REAL: Sum of these. [s] NULL: as prefill_s.
-- decode_total_s REAL: Sum of these. [s] NULL: as decode_s.
-- prompt_tokens REAL: Mean length of the prompts. [tokens] NULL: not measured.
-- output_tokens REAL: Mean length of the answers. [tokens] NULL: as decode_s.
-- output_tokens_max INTEGER: Length of the longest. [tokens] NULL: as decode_s.
-- capped REAL: Share of answers that were cut at the dataset's most tokens. [0…1] NULL: as
--   decode_s.
-- evaluation_id INTEGER: The evaluation.
SELECT c.run_id, c.step, e.mode, i.dataset, count(*) AS n,
       avg(p.prefill_s) AS prefill_s, avg(p.decode_s) AS decode_s,
       sum(p.prefill_s) AS prefill_total_s, sum(p.decode_s) AS decode_total_s,
       avg(p.prompt_tokens) AS prompt_tokens, avg(p.output_tokens) AS output_tokens,
       max(p.output_tokens) AS output_tokens_max,
       avg(p.finish_reason = 'length') AS capped,
       e.id AS evaluation_id
FROM predictions p
JOIN evaluations e ON e.id = p.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id
JOIN items i ON i.id = p.item_id
WHERE p.status = 'ok'
GROUP BY e.id, i.dataset;

CREATE VIEW IF NOT EXISTS work AS
-- Counts of work, which mean the same on every machine. Of closed and open forms that were answered
-- together, the prefill is counted with the closed task, the steps with the open one.
--
-- run_id, step: see checkpoints
-- mode: see evaluations
-- evaluation_id INTEGER: The evaluation.
-- forwards, prompt_tokens, processed_tokens, shared_tokens: see evaluations
-- row_steps, images_decoded, images_reused: see evaluations
-- padding_share REAL: Share of the processed tokens that were padding. [0…1] NULL: no prefill is
--   counted with it.
-- output_tokens INTEGER: Tokens of all its answers. [tokens] NULL: closed, or no answer yet.
SELECT c.run_id, c.step, e.mode, e.id AS evaluation_id, e.forwards, e.prompt_tokens,
       e.processed_tokens, e.shared_tokens, e.row_steps, e.images_decoded, e.images_reused,
       1.0 - 1.0 * e.prompt_tokens / nullif(e.processed_tokens, 0) AS padding_share,
       (SELECT sum(p.output_tokens) FROM predictions p WHERE p.evaluation_id = e.id)
           AS output_tokens
FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id;
"""

VIEWS = _OF_SCORES + _OF_WORK + BALANCE_VIEW
