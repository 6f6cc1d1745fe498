"""What the closed task is asked further where settings say so; :mod:`ctv_engine.store.tables`.

Rotations have a table of their own, so that ``predictions`` has one row for an item whatever the
settings, and nothing that reads it counts an item more than once.
"""

from __future__ import annotations

FURTHER = """
CREATE TABLE rotations
-- What a checkpoint answered to an item of the closed task whose options stood in another order:
-- of every item with the setting debias = cyclic, of some with pride, of none otherwise. As they
-- stand in items.options_json the item is in predictions. From both (with batch from predictions
-- alone) comes the metric accuracy_debiased in scores: the share of items whose key has the most
-- probable letter once the preference for letters is taken out.
(
    -- Number of the row, in the order in which they came in.
    id INTEGER PRIMARY KEY,
    -- Checkpoint and mode.
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    -- The item.
    item_id INTEGER NOT NULL REFERENCES items(id),
    -- By how many places the options were rotated left: the i-th letter stood for the option
    -- i + permutation, beginning again after the last one. [1 to options - 1]
    permutation INTEGER NOT NULL CHECK (permutation > 0),
    -- JSON list of every letter's log-probability over the whole vocabulary, in the order of the
    -- letters. [nats] NULL: failed (reason).
    option_logprobs_json TEXT,
    -- Length of the prompt, picture included. [tokens] NULL: failed (reason).
    prompt_tokens INTEGER,
    -- Time of its prefill. [s] NULL: failed (reason).
    prefill_s REAL,
    -- Why there is no answer. NULL: there is one.
    reason TEXT,
    UNIQUE (evaluation_id, item_id, permutation)
) STRICT;
ALTER TABLE predictions ADD COLUMN cloze_logprobs_json TEXT /* JSON list of every option's
    log-probability as the text that answers the question asked without options, divided by the
    text's characters, in the order of items.options_json. [nats per character] NULL: the setting
    cloze is off, not closed, failed (reason), or a text that can't be scored (see events). */;
ALTER TABLE predictions ADD COLUMN cloze_correct INTEGER /* Whether the key has the largest of
    these; its mean is the metric cloze in scores. [0 or 1] NULL: as cloze_logprobs_json. */;
"""
