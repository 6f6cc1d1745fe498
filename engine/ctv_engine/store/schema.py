"""Tables and views, as migrations of sqlite-utils.

A migration that was released is never edited: add the next one below it and raise
``rows.SCHEMA_VERSION``.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

from ctv_engine.store.balance import BALANCE_VIEW
from ctv_engine.store.rows import APPLICATION_ID, SCHEMA_VERSION

MIGRATION_SET = "ctv_engine"
MIGRATIONS_TABLE = "_sqlite_migrations"
"""Where sqlite-utils notes what was applied."""

migrations = Migrations(MIGRATION_SET)

_TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checkpoint_dir TEXT NOT NULL,
    suite_digest TEXT NOT NULL,
    gold_digest TEXT,
    config_json TEXT NOT NULL,
    versions_json TEXT NOT NULL,
    host TEXT NOT NULL,
    started_at REAL NOT NULL,
    finished_at REAL
) STRICT;

CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs(id),
    step INTEGER NOT NULL,
    path TEXT NOT NULL,
    pin TEXT,
    digest TEXT,
    bytes INTEGER,
    state TEXT NOT NULL CHECK (state IN
        ('found', 'writing', 'ready', 'scoring', 'done', 'failed', 'vanished', 'skipped')),
    reason TEXT,
    found_at REAL NOT NULL,
    ready_at REAL,
    done_at REAL
) STRICT;
CREATE INDEX checkpoints_by_step ON checkpoints(run_id, step);

CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    suite_digest TEXT NOT NULL,
    name TEXT NOT NULL,
    open_metric TEXT NOT NULL,
    items INTEGER NOT NULL,
    UNIQUE (suite_digest, name)
) STRICT;

CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    suite_digest TEXT NOT NULL,
    dataset TEXT NOT NULL,
    key TEXT NOT NULL,
    question TEXT NOT NULL,
    options_json TEXT NOT NULL,
    gold_index INTEGER,
    answers_json TEXT NOT NULL,
    image TEXT NOT NULL,
    image_digest TEXT NOT NULL,
    UNIQUE (suite_digest, dataset, key)
) STRICT;

CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoints(id),
    mode TEXT NOT NULL CHECK (mode IN ('closed', 'open', 'gold')),
    schedule TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    reason TEXT,
    planned INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    started_at REAL,
    finished_at REAL,
    makespan_s REAL,
    ideal_s REAL,
    idle_fraction REAL,
    UNIQUE (checkpoint_id, mode)
) STRICT;

CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs(id),
    host TEXT NOT NULL,
    device TEXT NOT NULL,
    gpu_uuid TEXT,
    pid INTEGER,
    state TEXT NOT NULL CHECK (state IN ('starting', 'ready', 'ended', 'lost')),
    started_at REAL NOT NULL,
    ready_at REAL,
    ended_at REAL
) STRICT;

CREATE TABLE predictions (
    id INTEGER PRIMARY KEY,
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    item_id INTEGER NOT NULL REFERENCES items(id),
    permutation INTEGER NOT NULL,
    worker_id INTEGER NOT NULL REFERENCES workers(id),
    batch_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    answer TEXT,
    score REAL,
    correct INTEGER,
    gold_logprob REAL,
    gold_prob REAL,
    option_mass REAL,
    option_logprobs_json TEXT,
    prompt_tokens INTEGER,
    output_tokens INTEGER,
    finish_reason TEXT,
    prefill_s REAL,
    decode_s REAL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    reason TEXT,
    created_at REAL NOT NULL,
    UNIQUE (evaluation_id, item_id, permutation)
) STRICT;

CREATE TABLE scores (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    dataset TEXT NOT NULL,
    metric TEXT NOT NULL,
    value REAL,
    stderr REAL,
    n INTEGER NOT NULL,
    UNIQUE (evaluation_id, dataset, metric)
) STRICT;

CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    worker_id INTEGER NOT NULL REFERENCES workers(id),
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    batch_id INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('load', 'input', 'prefill', 'decode', 'score')),
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL
) STRICT;
CREATE INDEX spans_of_evaluation ON spans(evaluation_id, worker_id);
CREATE INDEX spans_of_worker ON spans(worker_id, started_at);

CREATE TABLE gpu_samples (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    gpu_uuid TEXT NOT NULL,
    host TEXT NOT NULL,
    utilisation REAL,
    memory_used INTEGER,
    memory_total INTEGER,
    power_w REAL,
    temperature_c REAL,
    sm_clock_mhz REAL,
    throttle TEXT,
    status TEXT NOT NULL,
    reason TEXT
) STRICT;
CREATE INDEX gpu_samples_by_time ON gpu_samples(at);

CREATE TABLE gpu_minutes (
    gpu_uuid TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    host TEXT NOT NULL,
    n INTEGER NOT NULL,
    utilisation_mean REAL, utilisation_min REAL, utilisation_max REAL,
    memory_used_mean REAL, memory_used_min INTEGER, memory_used_max INTEGER,
    power_w_mean REAL, power_w_min REAL, power_w_max REAL,
    temperature_c_mean REAL, temperature_c_min REAL, temperature_c_max REAL,
    sm_clock_mhz_mean REAL, sm_clock_mhz_min REAL, sm_clock_mhz_max REAL,
    PRIMARY KEY (gpu_uuid, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE correlations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL REFERENCES runs(id),
    proxy TEXT NOT NULL,
    scope TEXT NOT NULL,
    method TEXT NOT NULL,
    window INTEGER NOT NULL,
    step INTEGER NOT NULL,
    r REAL,
    low REAL,
    high REAL,
    n INTEGER NOT NULL,
    reason TEXT,
    UNIQUE (run_id, proxy, scope, method, window, step)
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    checkpoint_id INTEGER REFERENCES checkpoints(id),
    run_id INTEGER REFERENCES runs(id)
) STRICT;

CREATE TABLE engine (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    run_id INTEGER REFERENCES runs(id),
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('starting', 'idle', 'scoring', 'paused', 'stopping', 'stopped')),
    heartbeat_at REAL NOT NULL,
    version TEXT NOT NULL
) STRICT;
"""

_VIEWS = """
CREATE VIEW trajectory AS
SELECT c.run_id, c.step, e.mode, s.dataset, s.metric, s.value, s.stderr, s.n,
       e.state, e.id AS evaluation_id, c.id AS checkpoint_id
FROM scores s
JOIN evaluations e ON e.id = s.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id
WHERE c.id = (SELECT max(l.id) FROM checkpoints l JOIN evaluations le ON le.checkpoint_id = l.id
              WHERE l.run_id = c.run_id AND l.step = c.step);

CREATE VIEW latency AS
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

-- One row per evaluation and worker that was up while it ran. Wait is the time between the worker's
-- own last span and the last span of anybody, less what the worker did for other evaluations then.
CREATE VIEW gpu_balance AS
WITH extent AS (
    SELECT e.id AS evaluation_id, e.checkpoint_id, e.mode,
           (SELECT min(s.started_at) FROM spans s WHERE s.evaluation_id = e.id) AS began,
           (SELECT max(s.ended_at) FROM spans s WHERE s.evaluation_id = e.id) AS ended
    FROM evaluations e
), share AS (
    SELECT x.evaluation_id, x.checkpoint_id, x.mode, x.began, x.ended,
           w.id AS worker_id, w.device, w.host, w.gpu_uuid,
           coalesce(w.ended_at, x.ended) AS left_at,
           coalesce((SELECT sum(s.ended_at - s.started_at) FROM spans s
                     WHERE s.evaluation_id = x.evaluation_id AND s.worker_id = w.id),
                    0.0) AS busy_s,
           coalesce((SELECT max(s.ended_at) FROM spans s
                     WHERE s.evaluation_id = x.evaluation_id AND s.worker_id = w.id),
                    max(x.began, w.ready_at)) AS last_end
    FROM extent x
    JOIN checkpoints c ON c.id = x.checkpoint_id
    JOIN workers w ON w.run_id = c.run_id AND w.ready_at < x.ended
                  AND (w.ended_at IS NULL OR w.ended_at > x.began)
    WHERE x.began IS NOT NULL
)
SELECT evaluation_id, checkpoint_id, mode, worker_id, device, host, gpu_uuid,
       began, ended, busy_s, last_end,
       max(0.0, min(ended, left_at) - last_end - coalesce((
           SELECT sum(min(s.ended_at, share.ended) - max(s.started_at, share.last_end))
           FROM spans s
           WHERE s.worker_id = share.worker_id AND s.evaluation_id <> share.evaluation_id
             AND s.started_at < share.ended AND s.ended_at > share.last_end), 0.0)) AS wait_s
FROM share;

CREATE VIEW correlation_now AS
SELECT c.run_id, c.proxy, c.scope, c.method, c.window, c.step, c.r, c.low, c.high, c.n, c.reason
FROM correlations c
WHERE c.step = (SELECT max(l.step) FROM correlations l
                WHERE l.run_id = c.run_id AND l.proxy = c.proxy AND l.scope = c.scope
                  AND l.method = c.method AND l.window = c.window);

CREATE VIEW flips AS
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


@migrations()
def first_tables_and_views(db: Database) -> None:
    """Create every table and view of the database contract."""
    for statement in _statements(_TABLES + _VIEWS):
        db.execute(statement)


_WORK = """
CREATE TABLE prompt_lengths (
    item_id INTEGER NOT NULL REFERENCES items(id),
    processor TEXT NOT NULL,
    task TEXT NOT NULL CHECK (task IN ('closed', 'open')),
    tokens INTEGER,
    PRIMARY KEY (item_id, processor, task)
) STRICT, WITHOUT ROWID;

ALTER TABLE evaluations ADD COLUMN forwards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluations ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluations ADD COLUMN processed_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluations ADD COLUMN shared_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluations ADD COLUMN row_steps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluations ADD COLUMN images_decoded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE evaluations ADD COLUMN images_reused INTEGER NOT NULL DEFAULT 0;

-- Counts of work, which mean the same on every machine. Of closed and open forms that were answered
-- together, the prefill is counted with the closed task, the steps with the open one.
CREATE VIEW work AS
SELECT c.run_id, c.step, e.mode, e.id AS evaluation_id, e.forwards, e.prompt_tokens,
       e.processed_tokens, e.shared_tokens, e.row_steps, e.images_decoded, e.images_reused,
       1.0 - 1.0 * e.prompt_tokens / nullif(e.processed_tokens, 0) AS padding_share,
       (SELECT sum(p.output_tokens) FROM predictions p WHERE p.evaluation_id = e.id)
           AS output_tokens
FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id;
"""


@migrations()
def work_and_prompt_lengths(db: Database) -> None:
    """Add counts of work to evaluations, and the lengths from which plans are made."""
    for statement in _statements(_WORK):
        db.execute(statement)


_TELEMETRY = """
CREATE TABLE gpus (
    gpu_uuid TEXT NOT NULL,
    host TEXT NOT NULL,
    number INTEGER,
    name TEXT NOT NULL,
    driver TEXT,
    memory_total INTEGER,
    parent_uuid TEXT,
    mig INTEGER NOT NULL,
    PRIMARY KEY (host, gpu_uuid)
) STRICT, WITHOUT ROWID;

ALTER TABLE gpu_samples ADD COLUMN power_limit_w REAL;
ALTER TABLE gpu_samples ADD COLUMN unsupported TEXT;
ALTER TABLE gpu_samples ADD COLUMN processes INTEGER;
ALTER TABLE gpu_samples ADD COLUMN other_processes INTEGER;
ALTER TABLE gpu_samples ADD COLUMN other_memory INTEGER;
ALTER TABLE gpu_samples ADD COLUMN ecc_corrected INTEGER;
ALTER TABLE gpu_samples ADD COLUMN ecc_uncorrected INTEGER;
ALTER TABLE gpu_samples ADD COLUMN pcie_rx_bytes_s INTEGER;
ALTER TABLE gpu_samples ADD COLUMN pcie_tx_bytes_s INTEGER;

-- Of n readings of a minute the device answered answered_n; throttled is the share of those in
-- which something held the clocks down, throttle what that was.
ALTER TABLE gpu_minutes ADD COLUMN answered_n INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN throttled REAL;
ALTER TABLE gpu_minutes ADD COLUMN throttle TEXT;
ALTER TABLE gpu_minutes ADD COLUMN power_limit_w_mean REAL;
ALTER TABLE gpu_minutes ADD COLUMN power_limit_w_min REAL;
ALTER TABLE gpu_minutes ADD COLUMN power_limit_w_max REAL;
ALTER TABLE gpu_minutes ADD COLUMN other_memory_mean REAL;
ALTER TABLE gpu_minutes ADD COLUMN other_memory_min INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN other_memory_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN pcie_rx_bytes_s_mean REAL;
ALTER TABLE gpu_minutes ADD COLUMN pcie_rx_bytes_s_min INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN pcie_rx_bytes_s_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN pcie_tx_bytes_s_mean REAL;
ALTER TABLE gpu_minutes ADD COLUMN pcie_tx_bytes_s_min INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN pcie_tx_bytes_s_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN memory_total_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN processes_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN other_processes_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN ecc_corrected_max INTEGER;
ALTER TABLE gpu_minutes ADD COLUMN ecc_uncorrected_max INTEGER;
"""


@migrations()
def gpus_and_their_slow_readings(db: Database) -> None:
    """Add what GPUs are, and limits, processes, memory errors and PCIe traffic to readings."""
    for statement in _statements(_TELEMETRY):
        db.execute(statement)


@migrations()
def balance_by_index(db: Database) -> None:
    """Make the view of who waits for whom fast on files with a million spans."""
    db.execute("DROP VIEW gpu_balance")
    db.execute(BALANCE_VIEW)


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file behind ``connection`` to the newest schema; each step is one transaction.

    The file is marked as ours only after the last step, so a reader never sees half a schema.
    """
    database = Database(connection, execute_plugins=False)
    migrations.apply(database)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
