"""Rotations and cloze scores of a worker's units, beside answers that they leave as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import asking
import pytest
import torch
from asking import question

from ctv_engine.models.answers import ClosedAnswer
from ctv_engine.models.processor_files import processor_digest
from ctv_engine.runtime.answering import Worker, WorkerSettings
from ctv_engine.runtime.further import rotated
from ctv_engine.runtime.messages import (
    Batch,
    Checkpoint,
    ClosedPart,
    FromWorker,
    ItemResult,
    Task,
    Unit,
    UnitDone,
)
from ctv_engine.suite import Suite, closed_text

torch.set_num_threads(1)

SETTINGS = WorkerSettings("cpu:0", "float32", None, slots=4, batch_tokens=400)
ITEMS = 6


def batch_of(suite: Suite, **values: Any) -> Batch:
    items = suite.items[:ITEMS]
    datasets = tuple(suite.dataset(item.dataset) for item in items)
    return Batch(0, items, datasets, suite.directory, tokens=(60,) * ITEMS, **values)


def answered(directory: Path, task: Task, batch: Batch) -> tuple[list[FromWorker], UnitDone]:
    """Return what a fresh worker sends before the end, and its last message."""
    checkpoint = Checkpoint(1, 10, directory, str(directory), processor_digest(directory))
    sent: list[FromWorker] = []
    done = Worker(SETTINGS).run(Unit(1, 7, checkpoint, task, batch, attempt=1), sent.append)
    assert isinstance(done, UnitDone), done
    return sent, done


def without(results: tuple[ItemResult, ...]) -> list[ItemResult]:
    """Return results without times and without what is asked further."""
    none = dict.fromkeys(("prefill_s", "decode_s", "cloze_logprobs", "cloze_correct"))
    return [replace(result, **none) for result in results]


def test_rotating_turns_options_and_key_together(suite: Suite) -> None:
    for item in suite.items[:ITEMS]:
        turned = [rotated(item, permutation) for permutation in range(4)]
        assert turned[0] == item
        assert [one.options[0] for one in turned] == list(item.options)
        assert {one.options[one.gold_index or 0] for one in turned} == {
            item.options[item.gold_index or 0]
        }


@pytest.mark.parametrize("task", ["closed", "pair"])
def test_answers_are_bit_equal_whatever_is_asked_further(
    checkpoints: list[Path], suite: Suite, task: Task
) -> None:
    wanted = (True, False, True, True, False, True)
    _, plain = plainly = answered(checkpoints[0], task, batch_of(suite))
    _, done = further = answered(checkpoints[0], task, batch_of(suite, rotated=wanted, cloze=True))
    assert without(done.results) == without(plain.results)
    bearer: ClosedPart | UnitDone = done
    if task == "pair":
        ((before,), _), ((bearer,), _) = plainly, further  # type: ignore[assignment]
        assert isinstance(before, ClosedPart) and isinstance(bearer, ClosedPart)
        assert without(bearer.results) == without(before.results)
        assert (before.rotations, done.rotations) == ((), ())
    names = [(item.dataset, item.key) for item in suite.items[:ITEMS]]
    assert [(one.key, one.permutation) for one in bearer.rotations] == [
        (name, n) for name, asked in zip(names, wanted, strict=True) if asked for n in (1, 2, 3)
    ]
    assert all(result.cloze_logprobs for result in bearer.results)
    assert all(result.cloze_logprobs is None for result in plain.results)
    spent = sum(s.ended_at - s.started_at for s in bearer.spans if s.kind == "prefill")
    told = sum(one.prefill_s or 0.0 for one in (*bearer.results, *bearer.rotations))
    assert 0 < told < spent, "the cloze forwards' time is in the spans alone"


def test_a_rotation_is_answered_as_a_question_of_its_own(
    checkpoints: list[Path], suite: Suite
) -> None:
    _, done = answered(checkpoints[0], "closed", batch_of(suite, rotated=(True,) * ITEMS))
    turned = [rotated(item, n) for item in suite.items[:ITEMS] for n in (1, 2, 3)]
    asked = [
        question(suite.image_path(item), closed_text(item), 4, item.gold_index or 0)
        for item in turned
    ]
    alone = asking.closed(asking.loaded(checkpoints[0]), asked, 1)
    for one, answer in zip(done.rotations, alone, strict=True):
        assert isinstance(answer, ClosedAnswer)
        assert one.option_logprobs == pytest.approx(answer.score.option_logprobs, abs=1e-5)
        assert (one.prompt_tokens, one.reason) == (answer.prompt_tokens, None)


def test_what_can_not_be_asked_says_why(checkpoints: list[Path], suite: Suite) -> None:
    """A broken picture costs its own item; a text that is nothing its own cloze score."""
    batch = batch_of(suite, rotated=(True,) * ITEMS, cloze=True)
    broken = replace(batch.items[0], image="none.png", image_digest="none")
    empty = replace(batch.items[1], options=("red", "", "blue", "black"))
    third, wordy = batch.items[2], replace(batch.datasets[2], open_instruction="Be brief! " * 99)
    batch = replace(
        batch,
        items=(broken, empty, *batch.items[2:]),
        datasets=(*batch.datasets[:2], wordy, *batch.datasets[3:]),
    )
    _, done = answered(checkpoints[0], "closed", batch)
    assert done.results[0].reason and "none.png" in done.results[0].reason
    reasons = {one.reason for one in done.rotations if one.key == done.results[0].key}
    assert reasons == {done.results[0].reason}
    assert [result.cloze_logprobs is None for result in done.results] == [True] * 3 + [False] * 3
    notes = {note.partition(": ")[0]: note.partition(": ")[2] for note in done.notes}
    blank, long = (f"{one.dataset}/{one.key} has no cloze score" for one in (empty, third))
    assert notes.keys() == {blank, long}
    assert notes[blank] == "the text of option B has no token in this tokenizer"
    assert "do not fit the model's context of 256" in notes[long]
