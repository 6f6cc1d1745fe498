"""One worker process: keeps a model resident on one device and answers batches."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from ctv_engine.runtime.messages import (
    Checkpoint,
    FromWorker,
    Heartbeat,
    ItemResult,
    TimedSpan,
    Unit,
    UnitDone,
    UnitFailed,
    WorkerLost,
    WorkerReady,
)
from ctv_engine.suite import LETTERS

if TYPE_CHECKING:
    from ctv_engine.models.trace import Trace
    from ctv_engine.models.transformers_adapter import Question, TransformersAdapter

HEARTBEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is started with. ``device`` is ``cpu:N`` or ``cuda:N``."""

    device: str
    dtype: str
    processor: Path | None


def run_worker(pipe: Connection, settings: WorkerSettings) -> None:
    """Serve units from ``pipe`` until it closes. torch is imported here and nowhere before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    line = Line(pipe)
    threading.Thread(target=_beat, args=(line, os.getppid()), daemon=True).start()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        worker = Worker(settings)
    except (RuntimeError, AssertionError, ImportError, OSError) as error:
        line.send(WorkerLost(f"{settings.device} can't be used: {_line(error)}"))
        return
    line.send(WorkerReady(worker.gpu_uuid, worker.device_kind))
    while True:
        try:
            unit: Unit = pipe.recv()
        except (EOFError, OSError):
            return
        message = worker.run(unit)
        try:
            line.send(message)
        except OSError:
            return


class Line:
    """A worker's end of its pipe, for two threads that speak: one message at a time."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._turn = threading.Lock()

    def send(self, message: FromWorker) -> None:
        """Send a message.

        Raises:
            OSError: the coordinator is gone.
        """
        with self._turn:
            self._pipe.send(message)


def _beat(line: Line, parent: int) -> None:
    """Prove that the process lives; leave with the coordinator, even in the middle of a batch."""
    while os.getppid() == parent:
        try:
            line.send(Heartbeat())
        except OSError:
            break
        time.sleep(HEARTBEAT_S)
    os._exit(1)


class Worker:
    """Answers units; the resident checkpoint changes when a unit asks for another."""

    def __init__(self, settings: WorkerSettings) -> None:
        import torch
        import transformers

        from ctv_engine.models.transformers_adapter import TransformersAdapter

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        kind, _, number = settings.device.partition(":")
        if kind == "cpu":
            torch.set_num_threads(1)
            self.gpu_uuid = f"cpu-{number or 0}"
            self.device_kind = "cpu"
            device = torch.device("cpu")
        else:
            device = torch.device(settings.device)
            torch.cuda.set_device(device)
            properties = torch.cuda.get_device_properties(device)
            self.gpu_uuid = f"GPU-{properties.uuid}"
            self.device_kind = f"{properties.name}, {properties.total_memory:,} bytes"
        self._adapter: TransformersAdapter = TransformersAdapter(
            device, settings.dtype, settings.processor
        )
        self._resident: str | None = None
        self._checked: type | None = None
        self._out_of_memory = torch.OutOfMemoryError
        self._synchronise = (
            (lambda: None) if kind == "cpu" else lambda: torch.cuda.synchronize(device)
        )

    def run(self, unit: Unit) -> UnitDone | UnitFailed:
        """Answer one unit. Whatever goes wrong becomes a message that says so."""
        from ctv_engine.models.letters import LetterError
        from ctv_engine.models.loading import CheckpointError
        from ctv_engine.models.trace import Trace

        trace = Trace(self._synchronise)
        notes: list[str] = []
        try:
            self._make_resident(unit.checkpoint, trace)
            notes += self._self_check(unit, trace)
            results = self._answer(unit, trace)
        except (CheckpointError, LetterError) as error:
            return UnitFailed(unit.unit_id, "checkpoint", str(error))
        except self._out_of_memory as error:
            return UnitFailed(unit.unit_id, "memory", f"out of memory: {_line(error)}")
        except Exception as error:  # an unknown fault must cost this batch, not the worker
            print(f"batch {unit.batch.batch_id}: {error!r}", file=sys.stderr, flush=True)
            return UnitFailed(unit.unit_id, "batch", f"{type(error).__name__}: {_line(error)}")
        spans = tuple(TimedSpan(s.kind, s.started_at, s.ended_at) for s in trace.spans)
        return UnitDone(unit.unit_id, results, spans, tuple(notes))

    def _make_resident(self, checkpoint: Checkpoint, trace: Trace) -> None:
        if self._resident == checkpoint.digest:
            return
        self._resident = None
        with trace.span("load"):
            self._adapter.load(checkpoint.directory)
        self._resident = checkpoint.digest

    def _self_check(self, unit: Unit, trace: Trace) -> list[str]:
        """Check once per architecture that a padded batch answers as single items do."""
        kind = type(self._adapter.model)
        if self._checked is kind or len(unit.batch.items) < 2:
            return []
        self._checked = kind
        questions = sorted(self._questions(unit), key=lambda question: len(question.text))
        spread = [questions[0], questions[len(questions) // 2], questions[-1]]
        with trace.span("load"):
            note = self._adapter.self_check(spread)
        return [note] if note else []

    def _questions(self, unit: Unit) -> list[Question]:
        from ctv_engine.models.transformers_adapter import Question

        return [
            Question(
                unit.batch.suite_directory / item.image,
                text,
                len(item.options),
                item.gold_index or 0,
            )
            for item, text in zip(unit.batch.items, unit.batch.texts, strict=True)
        ]

    def _answer(self, unit: Unit, trace: Trace) -> tuple[ItemResult, ...]:
        questions = self._questions(unit)
        if unit.task == "closed":
            return self._closed(unit, questions, trace)
        return self._open(unit, questions, trace)

    def _closed(
        self, unit: Unit, questions: list[Question], trace: Trace
    ) -> tuple[ItemResult, ...]:
        from ctv_engine.models.answers import Unanswered

        results: list[ItemResult] = []
        answers = self._adapter.closed(questions, trace)
        for item, answer in zip(unit.batch.items, answers, strict=True):
            key = (item.dataset, item.key)
            if isinstance(answer, Unanswered):
                results.append(ItemResult(key, reason=answer.reason))
                continue
            score = answer.score
            results.append(
                ItemResult(
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
            )
        return tuple(results)

    def _open(self, unit: Unit, questions: list[Question], trace: Trace) -> tuple[ItemResult, ...]:
        from ctv_engine.models.answers import Unanswered
        from ctv_engine.scoring.open_metrics import score_open

        results: list[ItemResult] = []
        answers = self._adapter.open(questions, unit.batch.max_new_tokens, trace)
        with trace.span("score"):
            for item, answer in zip(unit.batch.items, answers, strict=True):
                key = (item.dataset, item.key)
                if isinstance(answer, Unanswered):
                    results.append(ItemResult(key, reason=answer.reason))
                    continue
                results.append(
                    ItemResult(
                        key,
                        answer=answer.text,
                        score=score_open(unit.batch.metric, answer.text, item.answers),
                        prompt_tokens=answer.prompt_tokens,
                        output_tokens=answer.output_tokens,
                        finish_reason=answer.finish_reason,
                        prefill_s=answer.prefill_s,
                        decode_s=answer.decode_s,
                    )
                )
        return tuple(results)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
