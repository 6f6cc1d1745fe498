"""What a worker does with a unit: make its checkpoint resident, prepare inputs, answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ctv_engine.models.input_cache import InputCache
from ctv_engine.models.work import Work
from ctv_engine.runtime.devices import own_uuid
from ctv_engine.runtime.further import Further, ask_further
from ctv_engine.runtime.messages import (
    Batch,
    Checkpoint,
    ClosedPart,
    FromWorker,
    ItemResult,
    Lengths,
    Rotated,
    Task,
    TimedSpan,
    Unit,
    UnitDone,
    UnitFailed,
)
from ctv_engine.suite import CLOSED_INSTRUCTION, LETTERS, Dataset, Item, closed_text, open_text

if TYPE_CHECKING:
    import torch

    from ctv_engine.models.inputs import Question
    from ctv_engine.models.trace import Span, Trace
    from ctv_engine.models.transformers_adapter import (
        Chunk,
        ClosedOutcome,
        OpenOutcome,
        TransformersAdapter,
    )

PROBE_ITEMS = 4
Form = Literal["closed", "open"]
Send = Callable[[FromWorker], None]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is started with. ``device`` is ``cpu:N`` or ``cuda:N``.

    ``visible`` is the UUID of its GPU or MIG instance; the worker's process sees no other.
    ``slots`` is the most rows that are decoded at once, ``batch_tokens`` bounds what is prefilled
    at once. No ``cache_directory``, no input cache. ``host`` is the worker's machine, where there
    are several; with ``own_cache`` the cache is where it would be on that machine.
    """

    device: str
    dtype: str
    processor: Path | None
    slots: int = 32
    batch_tokens: int = 8192
    cache_directory: Path | None = None
    cache_bytes: int = 0
    visible: str | None = None
    host: str | None = None
    own_cache: bool = False


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A unit's inputs, made while others ran; ``work`` is what that took."""

    epoch: int
    chunks: list[Chunk]
    work: Work


class Worker:
    """Answers units; the resident checkpoint changes when a unit asks for another."""

    def __init__(self, settings: WorkerSettings) -> None:
        import torch

        from ctv_engine.models.transformers_adapter import TransformersAdapter

        silence()
        device = on_device(settings.device)
        if device.type == "cpu":
            where = f"{settings.host}-" if settings.host else ""
            self.gpu_uuid = f"cpu-{where}{settings.device.partition(':')[2] or 0}"
            self.device_kind = "cpu"
        else:
            properties = torch.cuda.get_device_properties(device)
            self.gpu_uuid = own_uuid(str(properties.uuid), settings.visible)
            self.device_kind = f"{properties.name}, {properties.total_memory:,} bytes"
        cache = None
        if settings.cache_directory is not None:
            cache = InputCache(settings.cache_directory, settings.cache_bytes)
        self._adapter: TransformersAdapter = TransformersAdapter(
            device,
            settings.dtype,
            settings.processor,
            cache=cache,
            slots=settings.slots,
            refill=max(1, settings.slots // 4),
        )
        self._batch_tokens = settings.batch_tokens
        self._resident: str | None = None
        self._out_of_memory = torch.OutOfMemoryError
        self._synchronise = (
            (lambda: None) if device.type == "cpu" else lambda: torch.cuda.synchronize(device)
        )
        self._inputs = ThreadPoolExecutor(1, thread_name_prefix="inputs")
        self._ahead: dict[int, Future[_Ahead | None]] = {}

    # --- the next unit's inputs, while this one runs ------------------------------------------

    def expect(self, unit: Unit) -> None:
        """Begin to make a unit's inputs in another thread; :meth:`run` follows in time."""
        if unit.task != "measure":
            self._ahead[unit.unit_id] = self._inputs.submit(self._prepare_ahead, unit)

    def _prepare_ahead(self, unit: Unit) -> _Ahead | None:
        epoch, work = self._adapter.epoch, Work()
        if unit.checkpoint.processor != self._adapter.processor_digest:
            return None
        try:
            return _Ahead(epoch, self._prepare(unit.task, unit.batch, work), work)
        except Exception:  # the same fault will show, with a place to report it, when the unit runs
            return None

    def _take_prepared(self, unit: Unit, trace: Trace) -> list[Chunk]:
        """Return the unit's inputs; what the device waits for them is a span of its own."""
        ahead = self._ahead.pop(unit.unit_id, None)
        with trace.span("input"):
            prepared = ahead.result() if ahead is not None else None
            if prepared is not None:
                self._adapter.work.add(prepared.work)
                if prepared.epoch == self._adapter.epoch:
                    return prepared.chunks
            return self._prepare(unit.task, unit.batch)

    def _prepare(self, task: Task, batch: Batch, work: Work | None = None) -> list[Chunk]:
        adapter = self._adapter
        if task == "closed":
            return adapter.prepare(questions(batch, ("closed",)), len(batch.items), work=work)
        rows = adapter.refill
        if batch.tokens:
            rows = max(1, min(rows, self._batch_tokens // max(batch.tokens)))
        if task == "open":
            return adapter.prepare(questions(batch, ("open",)), rows, work=work)
        both = questions(batch, ("closed", "open"))
        return adapter.prepare(both, 2 * rows, together=2, work=work)

    # --- one unit -----------------------------------------------------------------------------

    def run(self, unit: Unit, send: Send) -> UnitDone | UnitFailed:
        """Answer one unit; ``send`` takes what is ready before the end.

        Whatever goes wrong becomes a message that says so.
        """
        from ctv_engine.models.letters import LetterError
        from ctv_engine.models.loading import CheckpointError
        from ctv_engine.models.trace import Trace

        trace = Trace(self._synchronise)
        before = self._adapter.work.copy()
        notes: list[str] = []
        results: tuple[ItemResult, ...] = ()
        lengths: tuple[Lengths, ...] = ()
        rotations: tuple[Rotated, ...] = ()
        try:
            self._make_resident(unit.checkpoint, trace)
            if unit.task == "measure":
                with trace.span("input"):
                    lengths = self._measure(unit.batch)
            else:
                proven = self._adapter.abilities.checked
                notes += self._self_check(unit, trace)
                if not proven:  # what was prepared meanwhile may rely on what is disproved
                    self._adapter.epoch += 1
                before = self._adapter.work.copy()  # a check's work is not the evaluation's
                chunks = self._take_prepared(unit, trace)
                further = self._further(unit, trace)
                results = self._answer(unit, chunks, trace, send, further)
                notes += further.notes
                if unit.task == "closed":
                    rotations = further.rotations
        except CheckpointError as error:
            self._ahead.pop(unit.unit_id, None)
            return UnitFailed(unit.unit_id, "checkpoint", str(error))
        except LetterError as error:
            return UnitFailed(unit.unit_id, "evaluation", str(error))
        except self._out_of_memory as error:
            return UnitFailed(unit.unit_id, "memory", f"out of memory: {line_of(error)}")
        except Exception as error:  # an unknown fault must cost this batch, not the worker
            print(f"batch {unit.batch.batch_id}: {error!r}", file=sys.stderr, flush=True)
            return UnitFailed(unit.unit_id, "batch", f"{type(error).__name__}: {line_of(error)}")
        notes += self._adapter.notes
        self._adapter.notes.clear()
        cache = self._adapter.cache
        if cache is not None and cache.fault:
            notes.append(cache.fault)
            cache.fault = None
        work = self._adapter.work.copy().since(before)
        return UnitDone(
            unit.unit_id, results, timed(trace.spans), tuple(notes), work, lengths, rotations
        )

    def _make_resident(self, checkpoint: Checkpoint, trace: Trace) -> None:
        if self._resident == checkpoint.digest:
            return
        self._resident = None
        with trace.span("load"):
            self._adapter.load(checkpoint.directory, checkpoint.base)
        self._resident = checkpoint.digest

    def _measure(self, batch: Batch) -> tuple[Lengths, ...]:
        found: list[dict[Form, int | None]] = [{} for _ in batch.items]
        forms: tuple[Form, ...] = ("closed", "open")
        for form in forms:
            asked = [
                place
                for place, item in enumerate(batch.items)
                if form == "open" or item.gold_index is not None
            ]
            if not asked:
                continue
            part = [question(batch, batch.items[p], batch.datasets[p], form) for p in asked]
            for place, length in zip(asked, self._adapter.inputs.lengths(part), strict=True):
                found[place][form] = length
        return tuple(
            Lengths((item.dataset, item.key), lengths.get("closed"), lengths.get("open"))
            for item, lengths in zip(batch.items, found, strict=True)
        )

    def _self_check(self, unit: Unit, trace: Trace) -> list[str]:
        """Prove once per architecture which shortcuts answer as the plain path does."""
        from ctv_engine.models.self_check import self_check

        notes: list[str] = []
        # Should all of the probe's pictures be broken, the unit's own items may do.
        for batch in (unit.probe, unit.batch.part(slice(0, PROBE_ITEMS))):
            if self._adapter.abilities.checked or batch is None:
                continue
            with trace.span("load"):
                notes += self_check(self._adapter, probe_questions(batch))
        return notes

    # --- answers ------------------------------------------------------------------------------

    def _further(self, unit: Unit, trace: Trace) -> Further:
        if unit.task not in ("closed", "pair"):
            return Further()
        return ask_further(self._adapter, unit.batch, trace, batch_tokens=self._batch_tokens)

    def _answer(
        self,
        unit: Unit,
        chunks: Sequence[Chunk],
        trace: Trace,
        send: Send,
        further: Further,
    ) -> tuple[ItemResult, ...]:
        batch = unit.batch
        if unit.task == "closed":
            answers = self._adapter.closed(chunks, trace)
            return tuple(
                further.added_to(closed_result(item, answer))
                for item, answer in zip(batch.items, answers, strict=True)
            )
        if unit.task == "open":
            opened = self._adapter.open(chunks, trace)
        else:
            opened = self._pair(unit, chunks, trace, send, further)
        with trace.span("score"):
            return tuple(
                open_result(item, dataset, answer)
                for item, dataset, answer in zip(batch.items, batch.datasets, opened, strict=True)
            )

    def _pair(
        self,
        unit: Unit,
        chunks: Sequence[Chunk],
        trace: Trace,
        send: Send,
        further: Further,
    ) -> list[OpenOutcome]:
        """Answer both forms; the closed results leave as soon as the last of them is there.

        What both forms were prefilled in together is booked to each in proportion to its tokens,
        what was asked further to the closed one.
        """
        before = list(trace.spans)
        trace.spans.clear()
        items = unit.batch.items
        closed: dict[int, ClosedOutcome] = {}
        lengths = [
            (chunk.places[index] % 2, length)
            for chunk in chunks
            if any(chunk.places[index] % 2 == 0 for index in chunk.prepared.kept)
            for index, length in zip(chunk.prepared.kept, chunk.prepared.lengths, strict=True)
        ]
        total = sum(length for _, length in lengths)
        share = sum(length for form, length in lengths if form == 0) / total if total else 0.5

        def collect(outcomes: dict[int, ClosedOutcome]) -> None:
            closed.update(outcomes)
            if outcomes and len(closed) == len(items):
                results = tuple(
                    further.added_to(closed_result(items[p // 2], closed[p]))
                    for p in sorted(closed)
                )
                ours, rest = divided(trace.spans, share)
                trace.spans[:] = rest
                send(ClosedPart(unit.unit_id, results, timed(before + ours), further.rotations))

        opened = self._adapter.pair(chunks, trace, collect)
        return [opened[2 * place + 1] for place in range(len(items))]


def silence() -> None:
    """Keep the model library's progress bars and advice off the terminal."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def on_device(name: str) -> torch.device:
    """Return a device by our name for it, and make it this process's own.

    On a CPU a worker is one thread: more of them get in each other's way.
    """
    import torch

    kind, _, number = name.partition(":")
    if kind == "cpu":
        torch.set_num_threads(1)
        return torch.device("cpu")
    device = torch.device("cuda", int(number or 0))
    torch.cuda.set_device(device)
    return device


def question(batch: Batch, item: Item, dataset: Dataset, form: Form) -> Question:
    """Return one form of an item as an adapter takes it."""
    from ctv_engine.models.cached_images import Picture
    from ctv_engine.models.inputs import Question

    picture = Picture(batch.suite_directory / item.image, item.image_digest)
    if form == "closed":
        return Question(picture, closed_text(item), len(item.options), item.gold_index or 0)
    return Question(picture, open_text(item, dataset), max_new_tokens=dataset.max_new_tokens)


def questions(batch: Batch, forms: Sequence[Form]) -> list[Question]:
    """Return the forms of every item, an item's forms next to each other."""
    return [
        question(batch, item, dataset, form)
        for item, dataset in zip(batch.items, batch.datasets, strict=True)
        for form in forms
    ]


def probe_questions(batch: Batch) -> list[Question]:
    """Return two prompts about every item's picture, so that what is proven is always the same.

    An item without options is asked openly in two wordings.
    """
    asked: list[Question] = []
    for item, dataset in zip(batch.items, batch.datasets, strict=True):
        opened = question(batch, item, dataset, "open")
        if item.gold_index is None:
            asked.append(replace(opened, text=f"{opened.text}\n{CLOSED_INSTRUCTION}"))
        else:
            asked.append(question(batch, item, dataset, "closed"))
        asked.append(opened)
    return asked


def closed_result(item: Item, answer: ClosedOutcome) -> ItemResult:
    """Return a closed outcome as a result of its item."""
    from ctv_engine.models.answers import Unanswered

    key = (item.dataset, item.key)
    if isinstance(answer, Unanswered):
        return ItemResult(key, reason=answer.reason)
    score = answer.score
    return ItemResult(
        key,
        answer=LETTERS[score.answer_index],
        score=float(score.correct),
        correct=score.correct,
        gold_logprob=score.gold_logprob,
        gold_prob=score.gold_prob,
        option_mass=score.option_mass,
        option_logprobs=score.option_logprobs,
        prompt_tokens=answer.prompt_tokens,
        prefill_s=answer.prefill_s,
    )


def open_result(item: Item, dataset: Dataset, answer: OpenOutcome) -> ItemResult:
    """Return an open outcome, scored, as a result of its item."""
    from ctv_engine.models.answers import Unanswered
    from ctv_engine.scoring.open_metrics import score_open

    key = (item.dataset, item.key)
    if isinstance(answer, Unanswered):
        return ItemResult(key, reason=answer.reason)
    return ItemResult(
        key,
        answer=answer.text,
        score=score_open(dataset.open_metric, answer.text, item.answers, item.meta),
        prompt_tokens=answer.prompt_tokens,
        output_tokens=answer.output_tokens,
        finish_reason=answer.finish_reason,
        prefill_s=answer.prefill_s,
        decode_s=answer.decode_s,
    )


def divided(spans: Sequence[Span], share: float) -> tuple[list[Span], list[Span]]:
    """Split a pair's prefills in time, the first ``share`` of each to the closed form.

    Loading and input go to the closed form, which comes first, decode to the open one.
    """
    from ctv_engine.models.trace import Span

    closed: list[Span] = []
    opened: list[Span] = []
    for span in spans:
        if span.kind == "prefill":
            middle = span.started_at + share * span.seconds
            closed.append(Span(span.kind, span.started_at, middle))
            opened.append(Span(span.kind, middle, span.ended_at))
        else:
            (opened if span.kind == "decode" else closed).append(span)
    return closed, opened


def timed(spans: Sequence[Span]) -> tuple[TimedSpan, ...]:
    """Return spans as a message carries them."""
    return tuple(TimedSpan(span.kind, span.started_at, span.ended_at) for span in spans)


def line_of(error: BaseException) -> str:
    """Return the first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
