"""What the engine costs beside the model: a whole closed evaluation against bare forwards."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial

import torch

from bench.clock import Timed, interleaved
from bench.report import Result
from bench.stage import Stage, answered
from ctv_engine.runtime.answering import Worker, questions
from ctv_engine.runtime.messages import Unit, UnitDone

BAR = 1.05


def whole_evaluation(worker: Worker, units: list[Unit]) -> list[UnitDone]:
    """Answer units as a worker process does: inputs, prefill, scores, a message for the pipe."""
    done = [answered(worker, unit) for unit in units]
    for one in done:
        pickle.dumps(one)
    return done


def bare_forwards(worker: Worker, units: list[Unit]) -> Callable[[], None]:
    """Return nothing but the model's forwards of the same batches, inputs made beforehand."""
    adapter = worker._adapter
    model = adapter.forward.model
    inputs = [
        adapter.on_device(chunk.prepared)
        for unit in units
        for chunk in adapter.prepare(questions(unit.batch, ("closed",)), len(unit.batch.items))
    ]

    @torch.inference_mode()
    def run() -> None:
        for one in inputs:
            model(**one, logits_to_keep=1, use_cache=False)

    return run


def engine_over_forward(stage: Stage, rounds: int, bar: float | None = BAR) -> list[Result]:
    """Time a closed evaluation from the warm input cache against its bare forwards.

    Unit by unit, so that the two that are compared follow each other closely.
    """
    worker = stage.worker(cache=True)
    lengths, _ = stage.measured(worker)
    units = [
        stage.unit(number, 1, "closed", batch)
        for number, batch in enumerate(stage.plan("closed", lengths), start=1)
    ]
    done = whole_evaluation(worker, units)  # self-check, letters and cache are done with now
    timed = Timed.of(
        interleaved(
            {
                "whole": partial(whole_evaluation, worker, [unit]),
                "bare": bare_forwards(worker, [unit]),
            },
            rounds,
        )
        for unit in units
    )
    forwards = sum(one.work.forwards for one in done)
    decoded = sum(one.work.images_decoded for one in done)
    assert forwards == len(units) and not decoded, "not the forwards that are timed against"
    against = "bare forwards of the same batches"
    ratio = timed.ratio("whole", "bare")
    return [Result("engine over bare forward", stage.config, ratio, "x", against, bar)]
