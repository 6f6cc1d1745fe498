"""What the coordinator and a worker say to each other. Plain values, pickled over a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctv_engine.suite import Item, OpenMetric

Task = Literal["closed", "open"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A frozen list of items that are answered together.

    Planned once per suite and mode; the same for every checkpoint and any number of workers, so
    that neither scheduling nor the number of devices can move a score. ``max_new_tokens`` and
    ``metric`` are those of the items' one dataset; the closed task uses neither.
    """

    batch_id: int
    items: tuple[Item, ...]
    texts: tuple[str, ...]
    suite_directory: Path
    metric: OpenMetric
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A pinned checkpoint as workers see it; ``base`` is an adapter's base model."""

    checkpoint_id: int
    step: int
    directory: Path
    digest: str
    base: Path | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One lease: a batch (or, after failures, a part of it) of one evaluation.

    ``attempt`` counts from 1; ``losses`` of the earlier ones ended with the worker's death.
    """

    unit_id: int
    evaluation_id: int
    checkpoint: Checkpoint
    task: Task
    batch: Batch
    attempt: int
    losses: int = 0


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item's outcome; ``reason`` is set if and only if there is no answer."""

    key: tuple[str, str]
    reason: str | None = None
    answer: str | None = None
    score: float | None = None
    correct: bool | None = None
    gold_logprob: float | None = None
    gold_prob: float | None = None
    option_mass: float | None = None
    option_logprobs: tuple[float, ...] | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    prefill_s: float | None = None
    decode_s: float | None = None


@dataclass(frozen=True, slots=True)
class TimedSpan:
    """A stretch of the worker's time; epoch seconds."""

    kind: Literal["load", "input", "prefill", "decode", "score"]
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker is up. ``gpu_uuid`` is the device's own name for itself."""

    gpu_uuid: str


@dataclass(frozen=True, slots=True)
class UnitDone:
    """A unit's results, in the order of its items. ``notes`` are worth an event each."""

    unit_id: int
    results: tuple[ItemResult, ...]
    spans: tuple[TimedSpan, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitFailed:
    """A unit that gave no results.

    ``checkpoint``: nothing of this checkpoint can be evaluated. ``evaluation``: nothing of this
    task, while others may go on. ``batch``: this batch can't be run as it is (out of memory, an
    unexpected error); smaller parts of it may.
    """

    unit_id: int
    fault: Literal["checkpoint", "evaluation", "batch"]
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker's process ended without being asked to."""

    reason: str


FromWorker = WorkerReady | UnitDone | UnitFailed | WorkerLost
