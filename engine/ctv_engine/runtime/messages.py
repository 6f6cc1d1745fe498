"""What the coordinator and a worker say to each other. Plain values, pickled over a pipe."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ctv_engine.models.work import Work
from ctv_engine.suite import Dataset, Item

Task = Literal["closed", "open", "pair", "measure"]
"""``pair`` is closed and open form of the same items; ``measure`` tells their prompts' lengths."""
Fault = Literal["checkpoint", "evaluation", "memory", "batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A frozen list of items that are answered together.

    Planned once per suite, processor and mode; the same for every checkpoint and any number of
    workers, so that neither scheduling nor the number of devices can move a score. ``datasets`` and
    ``tokens`` (prompt tokens, image tokens included; empty while they are unknown) are per item.
    ``rotated`` says per item whether its closed form is also asked in every other rotation of its
    options (empty: none is), ``cloze`` whether its options' texts are scored, too.
    """

    batch_id: int
    items: tuple[Item, ...]
    datasets: tuple[Dataset, ...]
    suite_directory: Path
    tokens: tuple[int, ...] = ()
    rotated: tuple[bool, ...] = ()
    cloze: bool = False

    def part(self, rows: slice) -> Batch:
        """Return some of the items, with everything that is theirs."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        own: dict[str, Any] = {
            name: value[rows] for name, value in values.items() if isinstance(value, tuple)
        }
        return replace(self, **own)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A pinned checkpoint as workers see it.

    ``processor`` is its processor's digest; ``base`` is an adapter's base model.
    """

    checkpoint_id: int
    step: int
    directory: Path
    digest: str
    processor: str = ""
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
    probe: Batch | None = None
    """Items on which a worker that meets this architecture first proves its shortcuts."""


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
    cloze_logprobs: tuple[float, ...] | None = None
    cloze_correct: bool | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """One item's closed outcome with its options rotated left by ``permutation`` places.

    ``option_logprobs`` are in the order of the letters; without them there is a ``reason``.
    """

    key: tuple[str, str]
    permutation: int
    reason: str | None = None
    option_logprobs: tuple[float, ...] | None = None
    prompt_tokens: int | None = None
    prefill_s: float | None = None


@dataclass(frozen=True, slots=True)
class TimedSpan:
    """A stretch of the worker's time; epoch seconds."""

    kind: Literal["load", "input", "prefill", "decode", "score"]
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker is up. ``gpu_uuid`` is the device's own name for itself.

    ``device_kind`` is what devices of equal memory have in common, for example a GPU's model.
    ``pid`` is the process id on its machine.
    """

    gpu_uuid: str
    device_kind: str = ""
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker's process is alive; whether its work goes on is for its deadline to tell.

    ``waits``: files that it needs are still on their way to its machine.
    """

    waits: bool = False


@dataclass(frozen=True, slots=True)
class Lengths:
    """Prompt tokens of one item's forms; None for a form it lacks or a picture that is broken."""

    key: tuple[str, str]
    closed: int | None
    open: int | None


@dataclass(frozen=True, slots=True)
class ClosedPart:
    """The closed results of a ``pair`` unit that is still writing its open answers."""

    unit_id: int
    results: tuple[ItemResult, ...]
    spans: tuple[TimedSpan, ...]
    rotations: tuple[Rotated, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitDone:
    """A unit's results, in the order of its items. ``notes`` are worth an event each.

    Of a ``pair`` the open ones; of ``measure`` none, but ``lengths``. ``rotations`` come with the
    closed results.
    """

    unit_id: int
    results: tuple[ItemResult, ...]
    spans: tuple[TimedSpan, ...]
    notes: tuple[str, ...] = ()
    work: Work = field(default_factory=Work)
    lengths: tuple[Lengths, ...] = ()
    rotations: tuple[Rotated, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitFailed:
    """A unit that gave no results.

    ``checkpoint``: nothing of this checkpoint can be evaluated; ``evaluation``: not in this mode.
    ``memory``: the batch needs more than the device has; ``batch``: it can't be run as it is (an
    unexpected error); smaller parts of it may in both cases.
    """

    unit_id: int
    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker's process ended without being asked to.

    ``blameless``: its machine went away with it, so that nothing speaks against what it had.
    """

    reason: str
    blameless: bool = False


FromWorker = WorkerReady | Heartbeat | ClosedPart | UnitDone | UnitFailed | WorkerLost
