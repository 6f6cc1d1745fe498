"""Tables of what the machine did meanwhile. For the comments see :mod:`ctv_engine.store.tables`."""

from __future__ import annotations

WORK = """
CREATE TABLE IF NOT EXISTS workers
-- A process that answers on one device. One that was replaced has a row of its own.
(
    -- Number of the worker.
    id INTEGER PRIMARY KEY,
    -- The run.
    run_id INTEGER NOT NULL REFERENCES runs(id),
    -- Its machine.
    host TEXT NOT NULL,
    -- Its device: cuda:N or cpu:N.
    device TEXT NOT NULL,
    -- UUID of the GPU; cpu-N on a machine without. NULL: not up yet, or never (state).
    gpu_uuid TEXT,
    -- Process id. NULL: not up yet, or never (state).
    pid INTEGER,
    -- Starting, at work, ended as planned, or lost: crashed, stuck or silent (events say which).
    state TEXT NOT NULL CHECK (state IN ('starting', 'ready', 'ended', 'lost')),
    -- When it was started. [epoch s]
    started_at REAL NOT NULL,
    -- When it was up. [epoch s] NULL: not yet, or never (state).
    ready_at REAL,
    -- When it ended. [epoch s] NULL: it has not.
    ended_at REAL
) STRICT;

CREATE TABLE IF NOT EXISTS spans
-- A stretch of a worker's time. A worker does one thing at a time.
(
    -- Number of the span.
    id INTEGER PRIMARY KEY,
    -- The worker.
    worker_id INTEGER NOT NULL REFERENCES workers(id),
    -- The evaluation that it worked for.
    evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
    -- The batch, see predictions. NULL: it loads a checkpoint.
    batch_id INTEGER,
    -- What it did: loading weights, making inputs, prefill, decoding, scoring.
    kind TEXT NOT NULL CHECK (kind IN ('load', 'input', 'prefill', 'decode', 'score')),
    -- Begin of the span. [epoch s]
    started_at REAL NOT NULL,
    -- End of the span. [epoch s]
    ended_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS spans_of_evaluation ON spans(evaluation_id, worker_id);
CREATE INDEX IF NOT EXISTS spans_of_worker ON spans(worker_id, started_at);
"""

_MINUTES = """
{made} gpu_minutes
-- The readings of a device in one minute; kept for good.
(
    -- UUID of the device, see gpu_samples.
    gpu_uuid TEXT NOT NULL,
    -- The minute. [epoch min]
    bucket INTEGER NOT NULL,
    -- Its machine.
    host TEXT NOT NULL,
    -- Readings in it. [readings]
    n INTEGER NOT NULL,
    -- Share of the time in which something ran. [%] NULL: never read in this minute.
    utilisation_mean REAL, utilisation_min REAL, utilisation_max REAL,
    -- Memory in use, by anybody. [bytes] NULL: never read in this minute.
    memory_used_mean REAL, memory_used_min INTEGER, memory_used_max INTEGER,
    -- Power. [W] NULL: never read in this minute.
    power_w_mean REAL, power_w_min REAL, power_w_max REAL,
    -- Temperature. [°C] NULL: never read in this minute.
    temperature_c_mean REAL, temperature_c_min REAL, temperature_c_max REAL,
    -- Clock of the multiprocessors. [MHz] NULL: never read in this minute.
    sm_clock_mhz_mean REAL, sm_clock_mhz_min REAL, sm_clock_mhz_max REAL,
    -- Those of the n readings in which the device answered. [readings] NULL: in a file from before
    -- the first release.
    answered_n INTEGER,
    -- Share of the readings in which something held the clocks down. [0…1] NULL: never read in this
    -- minute.
    throttled REAL,
    -- What that was, apart by commas. NULL: nothing, or never read in this minute.
    throttle TEXT,
    -- Power that it may take. [W] NULL: never read in this minute.
    power_limit_w_mean REAL, power_limit_w_min REAL, power_limit_w_max REAL,
    -- Memory of processes that are not the engine's. [bytes] NULL: never read in this minute.
    other_memory_mean REAL, other_memory_min INTEGER, other_memory_max INTEGER,
    -- Traffic on PCIe, received. [bytes/s] NULL: never read in this minute.
    pcie_rx_bytes_s_mean REAL, pcie_rx_bytes_s_min INTEGER, pcie_rx_bytes_s_max INTEGER,
    -- Traffic on PCIe, sent. [bytes/s] NULL: never read in this minute.
    pcie_tx_bytes_s_mean REAL, pcie_tx_bytes_s_min INTEGER, pcie_tx_bytes_s_max INTEGER,
    -- All of its memory. [bytes] NULL: never read in this minute.
    memory_total_max INTEGER,
    -- Processes that compute on it: all, and those that are not the engine's. [processes]
    -- NULL: never read in this minute.
    processes_max INTEGER, other_processes_max INTEGER,
    -- Memory errors since the driver was loaded: corrected, and not. [errors] NULL: never read in
    -- this minute.
    ecc_corrected_max INTEGER, ecc_uncorrected_max INTEGER,
    PRIMARY KEY ({key})
) STRICT, WITHOUT ROWID;
"""

DEVICES = """
CREATE TABLE IF NOT EXISTS gpus
-- What does not change about a GPU or a MIG instance.
(
    -- UUID of the device.
    gpu_uuid TEXT NOT NULL,
    -- Its machine.
    host TEXT NOT NULL,
    -- The driver's number of it (as in nvidia-smi), not CUDA's. NULL: a MIG instance has none.
    number INTEGER,
    -- What it is called.
    name TEXT NOT NULL,
    -- Version of the driver. NULL: the driver does not say.
    driver TEXT,
    -- Its memory. [bytes] NULL: the driver does not say, or it is the host's.
    memory_total INTEGER,
    -- The GPU of which a MIG instance is a part. NULL: it is a whole GPU.
    parent_uuid TEXT,
    -- Whether a GPU is divided into MIG instances and can't be used as a whole. [0 or 1]
    mig INTEGER NOT NULL,
    PRIMARY KEY (host, gpu_uuid)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS gpu_samples
-- A reading of a device, once a second; kept for an hour, then see gpu_minutes.
(
    -- Number of the reading.
    id INTEGER PRIMARY KEY,
    -- When. [epoch s]
    at REAL NOT NULL,
    -- UUID of the device; cpu-N on a machine without GPUs, where the worker's process stands in.
    gpu_uuid TEXT NOT NULL,
    -- Its machine.
    host TEXT NOT NULL,
    -- Share of the time in which something ran. A GPU that spins reads 100. [%] NULL: could not be
    -- read (reason).
    utilisation REAL,
    -- Memory in use, by anybody. [bytes] NULL: could not be read (reason).
    memory_used INTEGER,
    -- All of its memory. [bytes] NULL: could not be read (reason).
    memory_total INTEGER,
    -- Power. [W] NULL: could not be read (reason).
    power_w REAL,
    -- Temperature. [°C] NULL: could not be read (reason).
    temperature_c REAL,
    -- Clock of the multiprocessors. [MHz] NULL: could not be read (reason).
    sm_clock_mhz REAL,
    -- What holds the clocks down (power, hot, hardware, power brake), empty if nothing does. NULL:
    -- could not be read (reason).
    throttle TEXT,
    -- ok; host: a process stands in for a GPU; error: can't be asked now; lost: gone from the bus;
    -- no driver: nothing on this machine can be asked.
    status TEXT NOT NULL,
    -- Why fields are missing. NULL: none is.
    reason TEXT,
    -- Power that it may take. [W] NULL: could not be read (reason).
    power_limit_w REAL,
    -- The fields that this device will never have, apart by a space. NULL: none.
    unsupported TEXT,
    -- Processes that compute on it. [processes] NULL: could not be read (reason), or not in this
    -- second: this and what follows is read every ten seconds.
    processes INTEGER,
    -- Those of them that are not the engine's. [processes] NULL: as processes.
    other_processes INTEGER,
    -- Their memory. [bytes] NULL: as processes, or in a container, where it can't be told apart.
    other_memory INTEGER,
    -- Memory errors since the driver was loaded: corrected, and not. [errors] NULL: as processes.
    ecc_corrected INTEGER, ecc_uncorrected INTEGER,
    -- Traffic on PCIe: received and sent. [bytes/s] NULL: as processes.
    pcie_rx_bytes_s INTEGER, pcie_tx_bytes_s INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS gpu_samples_by_time ON gpu_samples(at);

""" + _MINUTES.format(made="CREATE TABLE IF NOT EXISTS", key="gpu_uuid, bucket")

SAID = """
CREATE TABLE IF NOT EXISTS events
-- Something that happened and is worth a line.
(
    -- Number of the event.
    id INTEGER PRIMARY KEY,
    -- When. [epoch s]
    at REAL NOT NULL,
    -- How bad it is.
    level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    -- What it is about: checkpoint, evaluation, worker, telemetry, devices, disk and the like.
    kind TEXT NOT NULL,
    -- What happened.
    message TEXT NOT NULL,
    -- The checkpoint. NULL: it is about none.
    checkpoint_id INTEGER REFERENCES checkpoints(id),
    -- The run. NULL: it is about none.
    run_id INTEGER REFERENCES runs(id)
) STRICT;

CREATE TABLE IF NOT EXISTS engine
-- The engine of this file: one row, written anew every second. A running engine whose heartbeat is
-- old has crashed.
(
    -- Always 1.
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- The run that it validates. NULL: none yet.
    run_id INTEGER REFERENCES runs(id),
    -- Process id.
    pid INTEGER NOT NULL,
    -- Its machine.
    host TEXT NOT NULL,
    -- What it is doing.
    state TEXT NOT NULL CHECK (state IN
        ('starting', 'idle', 'scoring', 'paused', 'stopping', 'stopped')),
    -- When it last said so. [epoch s]
    heartbeat_at REAL NOT NULL,
    -- Its version.
    version TEXT NOT NULL
) STRICT;
"""

NODES = """
CREATE TABLE nodes
-- A machine of a cluster that workers run on. One that left and came back has a row of its own.
-- Empty where the workers are processes of the engine's own machine.
(
    -- Number of the row.
    id INTEGER PRIMARY KEY,
    -- The run.
    run_id INTEGER NOT NULL REFERENCES runs(id),
    -- The cluster's name for it, new with every start of its Ray.
    node_id TEXT NOT NULL,
    -- Its name: the host of its workers and devices.
    host TEXT NOT NULL,
    -- Its address in the cluster.
    address TEXT NOT NULL,
    -- In use, not used though it is there (reason), or gone (reason).
    state TEXT NOT NULL CHECK (state IN ('joined', 'set aside', 'left')),
    -- Why it is not used, or what is known of its end. NULL: it is in use.
    reason TEXT,
    -- Workers that it has room for. [workers]
    slots INTEGER NOT NULL,
    -- Its clock minus the engine's. Spans and readings of it are stored in the engine's time, that
    -- is, with this taken off. [s] NULL: not measured yet.
    clock_offset_s REAL,
    -- By how much the offset may be wrong: half of the round trip that it was measured in. [s]
    -- NULL: not measured yet.
    clock_error_s REAL,
    -- When it was first seen. [epoch s]
    joined_at REAL NOT NULL,
    -- When it was known to be gone, or the engine ended. [epoch s] NULL: neither.
    left_at REAL,
    -- How long it had been silent when it was known to be gone. [s] NULL: it is not, or had never
    -- said anything.
    silent_s REAL
) STRICT;
"""

MINUTES = _MINUTES.format(made="CREATE TABLE", key="gpu_uuid, bucket, host")
"""Since version 6: a process that stands in for a GPU is called alike on every machine."""
