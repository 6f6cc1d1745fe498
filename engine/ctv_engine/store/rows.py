"""States and rows of the database as types. The one place where a state is spelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

APPLICATION_ID = 0x43545631
"""``PRAGMA application_id`` of our files ("CTV1")."""

SCHEMA_VERSION = 8
"""``PRAGMA user_version``; a reader refuses a file with a higher one."""

MACRO = "macro"
"""The dataset name under which the mean over datasets is stored in ``scores``."""

POOLED = "pooled"
"""The scope in ``correlations`` of all datasets' points together."""

FIRST_VERSION = 4
"""The oldest schema there is: 1 to 3 were never released, and a file of theirs is refused."""

CheckpointState = Literal[
    "found", "writing", "ready", "scoring", "done", "failed", "vanished", "skipped"
]
Mode = Literal["closed", "open", "gold"]
EvaluationState = Literal["queued", "running", "done", "failed"]
EngineState = Literal["starting", "idle", "scoring", "paused", "stopping", "stopped"]
WorkerState = Literal["starting", "ready", "ended", "lost"]
SpanKind = Literal["load", "input", "prefill", "decode", "score"]
PredictionStatus = Literal["ok", "failed"]
EventLevel = Literal["info", "warning", "error"]
SampleStatus = Literal["ok", "host", "error", "lost", "no driver"]
"""``host``: a process stands in for a GPU. ``error``: the device can't be asked now. ``lost``: it
is gone from the bus, perhaps for good. ``no driver``: nothing on this machine can be asked."""

CorrelationMethod = Literal["pearson", "spearman", "kendall", "difference", "partial"]
"""``difference``: Pearson's r of the changes between checkpoints; ``partial``: given the step."""

EvidenceMeasure = Literal["decision_accuracy", "step_noise", "monotonicity", "signal_to_noise"]

MODES: tuple[Mode, ...] = ("closed", "open", "gold")


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset of a suite."""

    name: str
    open_metric: str
    items: int


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item of a suite, with its options in the order in which they are asked."""

    dataset: str
    key: str
    question: str
    options_json: str
    gold_index: int | None
    answers_json: str
    image: str
    image_digest: str


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """What one checkpoint answered to one item. Seconds are the item's share of its batch.

    Log-probabilities are natural; ``option_logprobs_json`` is in the order of the item's options,
    ``cloze_logprobs_json`` likewise.
    ``attempt`` counts from 1. Every value that does not exist is None, with ``reason`` beside it.
    """

    evaluation_id: int
    item_id: int
    permutation: int
    worker_id: int
    batch_id: int
    attempt: int
    status: PredictionStatus
    reason: str | None = None
    answer: str | None = None
    score: float | None = None
    correct: int | None = None
    gold_logprob: float | None = None
    gold_prob: float | None = None
    option_mass: float | None = None
    option_logprobs_json: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    cloze_logprobs_json: str | None = None
    cloze_correct: int | None = None


@dataclass(frozen=True, slots=True)
class RotationRow:
    """What one checkpoint answered to one item whose options were rotated left.

    ``permutation`` says by how many places, from 1; ``option_logprobs_json`` is in the order of the
    letters. Without it there is a ``reason``.
    """

    evaluation_id: int
    item_id: int
    permutation: int
    option_logprobs_json: str | None = None
    prompt_tokens: int | None = None
    prefill_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A stretch of one worker's time. Epoch seconds."""

    worker_id: int
    evaluation_id: int
    batch_id: int | None
    kind: SpanKind
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class LengthRow:
    """Prompt tokens of one form of an item under one processor; None if its picture is broken."""

    item_id: int
    processor: str
    task: Literal["closed", "open"]
    tokens: int | None


@dataclass(frozen=True, slots=True)
class WorkRow:
    """Counts of work to be added to an evaluation's; see the view ``work``."""

    forwards: int = 0
    prompt_tokens: int = 0
    processed_tokens: int = 0
    shared_tokens: int = 0
    row_steps: int = 0
    images_decoded: int = 0
    images_reused: int = 0


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One reading of one device. Per cent, bytes, watts, degrees Celsius, megahertz, bytes/second.

    ``gpu_uuid`` names the device; on a machine without NVIDIA GPUs it is ``cpu-N`` for worker N's
    process and ``status`` is ``host``. A field that can't be read is None and ``reason`` says why;
    ``unsupported`` lists those that this device will never have, apart by a space.

    From ``processes`` on, values are read every few seconds only and are in the rows in which they
    were read. ``other_processes`` are those beside the engine's own; ``other_memory`` is theirs.
    Errors of the memory are counted since the driver was loaded.
    """

    at: float
    gpu_uuid: str
    host: str
    utilisation: float | None
    memory_used: int | None
    memory_total: int | None
    power_w: float | None
    temperature_c: float | None
    sm_clock_mhz: float | None
    throttle: str | None
    status: SampleStatus
    reason: str | None = None
    power_limit_w: float | None = None
    unsupported: str | None = None
    processes: int | None = None
    other_processes: int | None = None
    other_memory: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    pcie_rx_bytes_s: int | None = None
    pcie_tx_bytes_s: int | None = None


@dataclass(frozen=True, slots=True)
class GpuRow:
    """What does not change about a GPU or a MIG instance.

    ``number`` is the driver's (as in nvidia-smi), not CUDA's; ``parent_uuid`` is the GPU of which
    a MIG instance is a part; ``mig`` tells that a GPU is divided and can't be used as a whole.
    """

    gpu_uuid: str
    host: str
    number: int | None
    name: str
    driver: str | None = None
    memory_total: int | None = None
    parent_uuid: str | None = None
    mig: bool = False


NodeState = Literal["joined", "set aside", "left"]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A machine of a cluster as it is now; ``node_id`` is the cluster's name for it.

    ``slots``: workers that it has room for. ``clock_offset_s``: its clock minus the engine's, which
    may be wrong by ``clock_error_s``; ``silent_s``: how long nothing had been heard of it when it
    was taken for gone.
    """

    node_id: str
    host: str
    address: str
    state: NodeState
    slots: int
    reason: str | None = None
    clock_offset_s: float | None = None
    clock_error_s: float | None = None
    silent_s: float | None = None


@dataclass(frozen=True, slots=True)
class CorrelationRow:
    """How one proxy tracks gold. ``window`` 0 is the whole run; ``r`` None carries a reason.

    ``scope`` is ``macro``, ``dataset:NAME`` or ``pooled``; ``n`` counts steps, or changes between
    them.
    """

    proxy: Literal["closed", "open"]
    scope: str
    method: CorrelationMethod
    window: int
    step: int
    r: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """How far a mode's scores can be relied on; see the table ``evidence``.

    ``n`` counts checkpoints; ``pairs`` are those that gold tells apart, for ``decision_accuracy``
    alone; ``value`` None carries a reason.
    """

    mode: Mode
    scope: str
    measure: EvidenceMeasure
    value: float | None
    low: float | None
    high: float | None
    pairs: int | None
    n: int
    step: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RankRow:
    """A checkpoint's place among those of its run; see the table ``ranking``.

    ``rank`` 1 is the highest ``value``; ``may_be_best`` is 1 for those that can't be told apart
    from it; ``change`` is since the checkpoint before. What is None has a reason.
    """

    mode: Mode
    window: int
    step: int
    rank: int
    value: float
    low: float | None
    high: float | None
    may_be_best: int | None
    change: float | None
    change_low: float | None
    change_high: float | None
    n: int
    left_out: int
    reason: str | None = None


def values_of(row: Any) -> tuple[Any, ...]:
    """Return a row's values in the order of its columns; ``astuple`` would copy each one deeply."""
    return tuple([getattr(row, name) for name in row.__slots__])
