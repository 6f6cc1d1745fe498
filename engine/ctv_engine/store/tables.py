"""Tables of what is asked, of which model, and what it answered.

The comments are documentation: SQLite keeps them in the file, and :mod:`ctv_engine.store.describe`
makes a page of them. Before ``(`` stands what a row is. Above a column (or several on one line)
stands what it means, then its unit in brackets, then ``NULL:`` and when it has no value. A column
that a later migration adds has its comment behind it, as ``/* … */``: SQLite keeps that, too.
"""

from __future__ import annotations

ASKED = """
CREATE TABLE IF NOT EXISTS runs
-- A training run that is validated: one directory of checkpoints with one pair of suites. Starting
-- the engine again with the same three goes on with the same row.
(
    -- Number of the run.
    id INTEGER PRIMARY KEY,
    -- Name for people, by default that of the directory.
    name TEXT NOT NULL,
    -- Directory in which the training run writes its checkpoints.
    checkpoint_dir TEXT NOT NULL,
    -- Hash of the paired suite's content, which closed and open are asked from.
    suite_digest TEXT NOT NULL,
    -- Hash of the gold suite's content. NULL: the run has no gold suite.
    gold_digest TEXT,
    -- Settings of the engine's last start, as a JSON object.
    config_json TEXT NOT NULL,
    -- Versions of Python, torch, transformers and the like, as a JSON object.
    versions_json TEXT NOT NULL,
    -- Machine of the engine.
    host TEXT NOT NULL,
    -- When the engine was first started on it. [epoch s]
    started_at REAL NOT NULL,
    -- When the engine ended. [epoch s] NULL: it has not ended, see engine.state.
    finished_at REAL
) STRICT;

CREATE TABLE IF NOT EXISTS checkpoints
-- A checkpoint that was seen. A step whose directory was written anew has one more row; views count
-- the newest that was evaluated.
(
    -- Number of the checkpoint, in the order in which they were found.
    id INTEGER PRIMARY KEY,
    -- Its run.
    run_id INTEGER NOT NULL REFERENCES runs(id),
    -- Training step, from the directory's name. [steps]
    step INTEGER NOT NULL,
    -- Its directory.
    path TEXT NOT NULL,
    -- Directory of the hard links (or copies) that are read instead. NULL: not complete yet, or
    -- never (reason).
    pin TEXT,
    -- Hash of its weights. NULL: not complete yet, or never (reason).
    digest TEXT,
    -- Size of its files. [bytes] NULL: not complete yet, or never (reason).
    bytes INTEGER,
    -- Found, still being written, complete, being scored, scored; or failed, deleted before it
    -- could be scored, left out on purpose.
    state TEXT NOT NULL CHECK (state IN
        ('found', 'writing', 'ready', 'scoring', 'done', 'failed', 'vanished', 'skipped')),
    -- Why it waits, has failed, vanished or is skipped; or what about it could not be scored. NULL:
    -- there is nothing to say.
    reason TEXT,
    -- When its directory was first seen. [epoch s]
    found_at REAL NOT NULL,
    -- When it was complete. [epoch s] NULL: not yet, or never (reason).
    ready_at REAL,
    -- When all of its evaluations had ended, or it was given up. [epoch s] NULL: not yet.
    done_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS checkpoints_by_step ON checkpoints(run_id, step);

CREATE TABLE IF NOT EXISTS datasets
-- A dataset of a suite.
(
    -- Number of the dataset.
    id INTEGER PRIMARY KEY,
    -- The suite, see runs.
    suite_digest TEXT NOT NULL,
    -- Name of the dataset.
    name TEXT NOT NULL,
    -- Name of the metric that scores its open answers.
    open_metric TEXT NOT NULL,
    -- How many items it has. [items]
    items INTEGER NOT NULL,
    UNIQUE (suite_digest, name)
) STRICT;

CREATE TABLE IF NOT EXISTS items
-- A question about a picture, with its closed form (options, key) and its open form (answers).
(
    -- Number of the item.
    id INTEGER PRIMARY KEY,
    -- The suite, see runs.
    suite_digest TEXT NOT NULL,
    -- Name of its dataset.
    dataset TEXT NOT NULL,
    -- Name of the item within its dataset.
    key TEXT NOT NULL,
    -- The question.
    question TEXT NOT NULL,
    -- JSON list of the options in the order in which they are asked: the first is A. Empty in a
    -- gold suite without options.
    options_json TEXT NOT NULL,
    -- Place of the right option in options_json, from 0. NULL: the item has no options.
    gold_index INTEGER,
    -- JSON list of the accepted open answers.
    answers_json TEXT NOT NULL,
    -- File of the picture.
    image TEXT NOT NULL,
    -- SHA-256 of the picture: items with the same one are about one picture.
    image_digest TEXT NOT NULL,
    UNIQUE (suite_digest, dataset, key)
) STRICT;

CREATE TABLE IF NOT EXISTS prompt_lengths
-- How long an item's prompt is under one processor: what the plan of batches is made from.
(
    -- The item.
    item_id INTEGER NOT NULL REFERENCES items(id),
    -- Hash of the processor's files.
    processor TEXT NOT NULL,
    -- The form in which the item is asked.
    task TEXT NOT NULL CHECK (task IN ('closed', 'open')),
    -- Length of the prompt, picture included. [tokens] NULL: the picture can't be read; the item's
    -- predictions say why (predictions.reason).
    tokens INTEGER,
    PRIMARY KEY (item_id, processor, task)
) STRICT, WITHOUT ROWID;
"""

ANSWERED = """
CREATE TABLE IF NOT EXISTS evaluations
-- One checkpoint in one mode.
(
    -- Number of the evaluation.
    id INTEGER PRIMARY KEY,
    -- The checkpoint.
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoints(id),
    -- Closed task, open task (both on the paired suite) or gold standard (open, on the gold suite).
    mode TEXT NOT NULL CHECK (mode IN ('closed', 'open', 'gold')),
    -- How its batches are given to workers: queue, or static as a baseline.
    schedule TEXT NOT NULL,
    -- How far it is.
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    -- Why it failed, or what about it is not complete. NULL: there is nothing to say.
    reason TEXT,
    -- Items that it asks. [items]
    planned INTEGER NOT NULL,
    -- Items that were answered. [items]
    done INTEGER NOT NULL DEFAULT 0,
    -- Items that could not be answered, see predictions.reason. [items]
    failed INTEGER NOT NULL DEFAULT 0,
    -- When its first batch was given to a worker. [epoch s] NULL: not yet.
    started_at REAL,
    -- When it ended. [epoch s] NULL: not yet.
    finished_at REAL,
    -- From its first span to its last. [s] NULL: not ended, or nothing was done for it (reason).
    makespan_s REAL,
    -- Mean busy seconds of its workers: the makespan if nobody had waited. [s] NULL: as makespan_s.
    ideal_s REAL,
    -- Wait / (busy + wait) over its workers, as far as was known when it ended: what a worker was
    -- in the middle of for another evaluation counts as waiting here, as work in gpu_balance.
    -- [0…1] NULL: as makespan_s.
    idle_fraction REAL,
    -- Calls of the model. Of closed and open forms that were answered together, the prefill is
    -- counted with the closed task, the steps with the open one. [calls]
    forwards INTEGER NOT NULL DEFAULT 0,
    -- Prompt tokens that were put through prefills, without padding. [tokens]
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    -- The same with padding. [tokens]
    processed_tokens INTEGER NOT NULL DEFAULT 0,
    -- Prompt tokens that were taken from another prompt's prefill instead. [tokens]
    shared_tokens INTEGER NOT NULL DEFAULT 0,
    -- Rows of all decode forwards. [rows]
    row_steps INTEGER NOT NULL DEFAULT 0,
    -- Pictures that were read and resized. [pictures]
    images_decoded INTEGER NOT NULL DEFAULT 0,
    -- Pictures that came from the input cache or were still at hand. [pictures]
    images_reused INTEGER NOT NULL DEFAULT 0,
    UNIQUE (checkpoint_id, mode)
) STRICT;

CREATE TABLE IF NOT EXISTS predictions
-- What a checkpoint answered to one item in one mode. Seconds are the item's share of its batch, so
-- that they add up to the time that the device spent.
(
    -- Number of the prediction, in the order in which they came in.
    id INTEGER PRIMARY KEY,
    -- Checkpoint and mode.
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    -- The item.
    item_id INTEGER NOT NULL REFERENCES items(id),
    -- Order of the options, 0 being that of items.options_json.
    permutation INTEGER NOT NULL,
    -- The worker that answered.
    worker_id INTEGER NOT NULL REFERENCES workers(id),
    -- The batch in which it was answered; batches are the same for every checkpoint.
    batch_id INTEGER NOT NULL,
    -- How often the batch had been tried by then, from 1.
    attempt INTEGER NOT NULL,
    -- Closed: the most probable letter. Open and gold: the text. NULL: failed (reason).
    answer TEXT,
    -- Score of the answer under the dataset's metric; closed: 1 or 0. [0…1] NULL: failed (reason).
    score REAL,
    -- Whether the most probable letter is the key's. [0 or 1] NULL: failed (reason), or not closed.
    correct INTEGER,
    -- Log-probability of the key's letter over the whole vocabulary. [nats] NULL: as correct.
    gold_logprob REAL,
    -- Probability of the key among the options. [0…1] NULL: as correct.
    gold_prob REAL,
    -- Share of the vocabulary's probability that falls on the options' letters. [0…1] NULL: as
    -- correct.
    option_mass REAL,
    -- JSON list of every option's log-probability, in the order asked. [nats] NULL: as correct.
    option_logprobs_json TEXT,
    -- Length of the prompt, picture included. [tokens] NULL: failed (reason).
    prompt_tokens INTEGER,
    -- Length of the answer. [tokens] NULL: failed (reason), or closed, where nothing is decoded.
    output_tokens INTEGER,
    -- How the answer ended: stop, length (cut at the dataset's most tokens) or repeat (it went on
    -- and on). NULL: as output_tokens.
    finish_reason TEXT,
    -- Time of its prefill. [s] NULL: failed (reason).
    prefill_s REAL,
    -- Time of its decoding, once the first token's logits are there. [s] NULL: as output_tokens.
    decode_s REAL,
    -- Whether there is an answer.
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    -- Why there is none. NULL: there is one.
    reason TEXT,
    -- When it was stored. [epoch s]
    created_at REAL NOT NULL,
    UNIQUE (evaluation_id, item_id, permutation)
) STRICT;
CREATE INDEX IF NOT EXISTS predictions_without_answer ON predictions(evaluation_id)
    WHERE status <> 'ok';

CREATE TABLE IF NOT EXISTS scores
-- A metric of an evaluation, of one dataset or as the mean over datasets; kept up to date while the
-- evaluation runs.
(
    -- Number of the row; one that is brought up to date gets a new number.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Checkpoint and mode.
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    -- Name of the dataset; macro is the mean over datasets, each with the same weight.
    dataset TEXT NOT NULL,
    -- Closed: accuracy, gold_prob. Open and gold: score, and for a dataset the metric's own name.
    metric TEXT NOT NULL,
    -- The score. [0…1] NULL: no item has a value yet.
    value REAL,
    -- Standard error, clustered by picture. [0…1] NULL: fewer than two pictures.
    stderr REAL,
    -- Items in it. [items]
    n INTEGER NOT NULL,
    UNIQUE (evaluation_id, dataset, metric)
) STRICT;

CREATE TABLE IF NOT EXISTS correlations
-- How one proxy tracks the gold standard, as of one step.
(
    -- Number of the row; one that is brought up to date gets a new number.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The run.
    run_id INTEGER NOT NULL REFERENCES runs(id),
    -- The mode that is compared with gold: closed or open.
    proxy TEXT NOT NULL,
    -- macro, dataset:NAME, or pooled: the points of all datasets together.
    scope TEXT NOT NULL,
    -- pearson, spearman, kendall; difference: Pearson's r of the changes between checkpoints;
    -- partial: Pearson's r given the step.
    method TEXT NOT NULL,
    -- Of the last so many steps; 0: of the whole run. [steps with both]
    window INTEGER NOT NULL,
    -- Last step in it. [steps]
    step INTEGER NOT NULL,
    -- The coefficient. [-1…1] NULL: not defined (reason).
    r REAL,
    -- Ends of its 95 % interval, the wider of Fisher's and a moving-block bootstrap's. [-1…1]
    -- NULL: too few points.
    low REAL, high REAL,
    -- Points in it: steps, or changes between them. [points]
    n INTEGER NOT NULL,
    -- Why r is not defined. NULL: it is.
    reason TEXT,
    UNIQUE (run_id, proxy, scope, method, window, step)
) STRICT;
"""
