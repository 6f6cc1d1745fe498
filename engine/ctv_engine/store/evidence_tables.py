"""Tables of what scores say, described as in :mod:`ctv_engine.store.tables`."""

from __future__ import annotations

EVIDENCE = """
CREATE TABLE evidence
-- How far a mode's scores can be relied on, over all checkpoints so far: how they order checkpoints
-- as the gold standard does, and how steady they are.
(
    -- Number of the row; one that is brought up to date gets a new number.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The run.
    run_id INTEGER NOT NULL REFERENCES runs(id),
    -- The mode whose scores they are.
    mode TEXT NOT NULL CHECK (mode IN ('closed', 'open', 'gold')),
    -- macro or dataset:NAME; behind imported:NAME: with that imported series in the place of gold.
    scope TEXT NOT NULL,
    -- decision_accuracy: share of checkpoint pairs ordered as gold orders them, of those that gold
    -- tells apart. step_noise: standard deviation of the changes between checkpoints.
    -- monotonicity: Spearman's coefficient of step and score. signal_to_noise: how far the score
    -- moved over the noise of one score.
    measure TEXT NOT NULL,
    -- The number; a score's change for step_noise. NULL: not defined (reason).
    value REAL,
    -- Ends of its 95 % interval, by moving blocks of checkpoints. NULL: fewer than five
    -- checkpoints, or signal_to_noise.
    low REAL, high REAL,
    -- Checkpoint pairs that gold tells apart. [pairs] NULL: not decision_accuracy.
    pairs INTEGER,
    -- Checkpoints in it. [checkpoints]
    n INTEGER NOT NULL,
    -- Last step in it. [steps]
    step INTEGER NOT NULL,
    -- Why there is no value, or no interval. NULL: there is nothing to say.
    reason TEXT,
    UNIQUE (run_id, mode, scope, measure)
) STRICT;

CREATE TABLE ranking
-- Checkpoints by the macro mean of a mode, all of them on the same items. Written anew for a whole
-- mode when one of its evaluations has ended.
(
    -- Number of the row; one that is brought up to date gets a new number.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The run.
    run_id INTEGER NOT NULL REFERENCES runs(id),
    -- The mode.
    mode TEXT NOT NULL CHECK (mode IN ('closed', 'open', 'gold')),
    -- 1: by the score; otherwise by its mean over so many neighbours. [checkpoints]
    window INTEGER NOT NULL,
    -- Step of the checkpoint. [steps]
    step INTEGER NOT NULL,
    -- 1 is the best; equal scores share a rank.
    rank INTEGER NOT NULL,
    -- The macro mean. [0…1]
    value REAL NOT NULL,
    -- Ends of its 95 % interval, by a bootstrap over pictures. [0…1] NULL: not known (reason).
    low REAL, high REAL,
    -- Whether it can't be told apart from the best; those that can't hold the truly best one with
    -- 95 % probability. [0 or 1] NULL: not known (reason).
    may_be_best INTEGER,
    -- Its score less that of the checkpoint before. NULL: the first, or window is not 1.
    change REAL,
    -- Ends of the change's 95 % interval, by the same bootstrap. NULL: as change, or not known
    -- (reason).
    change_low REAL, change_high REAL,
    -- Items in it. [items]
    n INTEGER NOT NULL,
    -- Items left out of all checkpoints, since one or more did not score them. [items]
    left_out INTEGER NOT NULL,
    -- Why there is no interval. NULL: there is one.
    reason TEXT,
    UNIQUE (run_id, mode, window, step)
) STRICT;
"""
