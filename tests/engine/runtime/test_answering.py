"""One worker, in this process: units in, messages out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import asking
import pytest
import tiny
import torch
from asking import words

from ctv_engine.models.answers import ClosedAnswer
from ctv_engine.models.processor_files import processor_digest
from ctv_engine.models.transformers_adapter import Abilities
from ctv_engine.runtime.answering import Worker, WorkerSettings
from ctv_engine.runtime.messages import (
    Batch,
    Checkpoint,
    ClosedPart,
    FromWorker,
    ItemResult,
    Lengths,
    Task,
    Unit,
    UnitDone,
    UnitFailed,
)
from ctv_engine.suite import LETTERS, Suite, read_suite

torch.set_num_threads(1)

SETTINGS = WorkerSettings("cpu:0", "float32", None, slots=3, batch_tokens=10**6)


def whole(suite: Suite, places: slice = slice(None)) -> Batch:
    """Return items of a suite as one batch."""
    items = suite.items[places]
    datasets = tuple(suite.dataset(item.dataset) for item in items)
    return Batch(0, items, datasets, suite.directory)


def unit(directory: Path, task: Task, batch: Batch, **values: Any) -> Unit:
    digest = processor_digest(directory)
    checkpoint = Checkpoint(1, 10, directory, str(directory), digest)
    return Unit(1, 7, checkpoint, task, batch, attempt=1, **values)


class Desk:
    """A worker and everything that it has sent."""

    def __init__(self, **values: Any) -> None:
        self.worker = Worker(replace(SETTINGS, **values))
        self.sent: list[FromWorker] = []

    def run(self, one: Unit) -> UnitDone | UnitFailed:
        return self.worker.run(one, self.sent.append)

    def done(self, one: Unit) -> UnitDone:
        message = self.run(one)
        assert isinstance(message, UnitDone), message
        return message

    def pair(self, one: Unit) -> tuple[ClosedPart, UnitDone]:
        message = self.done(one)
        (part,) = self.sent
        assert isinstance(part, ClosedPart)
        self.sent.clear()
        return part, message


def kinds(message: UnitDone | ClosedPart) -> list[str]:
    return [span.kind for span in message.spans]


def seconds(message: UnitDone | ClosedPart, kind: str) -> float:
    return sum(s.ended_at - s.started_at for s in message.spans if s.kind == kind)


def without_time(results: tuple[ItemResult, ...]) -> list[ItemResult]:
    return [replace(result, prefill_s=None, decode_s=None) for result in results]


# --- measuring ----------------------------------------------------------------------------------


def with_broken_picture(suite: Suite, home: Path) -> Suite:
    """Return a copy of a suite whose first item's picture can't be decoded, and its twins'."""
    copy = read_suite(Path(shutil.copytree(suite.directory, home / "suite")))
    return tiny.with_broken_picture(copy, copy.items[0])


def test_measuring_tells_the_prompts_lengths(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    copy = with_broken_picture(suite, tmp_path)
    batch = whole(copy)
    bare = replace(batch.items[2], options=(), gold_index=None)
    batch = replace(batch, items=(*batch.items[:2], bare, *batch.items[3:]))
    desk = Desk()
    message = desk.done(unit(checkpoints[0], "measure", batch))
    assert (message.results, desk.sent) == ((), [])
    assert kinds(message) == ["load", "input"]
    closed = asking.closed_questions(suite)
    opened = asking.open_questions(suite, 8)
    adapter = asking.loaded(checkpoints[0])
    broken = suite.items[0].image
    assert message.lengths == tuple(
        Lengths(
            (item.dataset, item.key),
            None if item.image == broken or n == 2 else adapter.inputs.lengths([closed[n]])[0],
            None if item.image == broken else adapter.inputs.lengths([opened[n]])[0],
        )
        for n, item in enumerate(suite.items)
    )
    assert len({found.open for found in message.lengths}) > 3
    assert message.work.forwards == 0
    assert not desk.worker._adapter.abilities.checked, "lengths need no proof"


# --- answering ----------------------------------------------------------------------------------


def test_closed_answers(checkpoints: list[Path], suite: Suite) -> None:
    message = Desk().done(unit(checkpoints[0], "closed", whole(suite)))
    wanted = asking.closed(asking.loaded(checkpoints[0]), asking.closed_questions(suite), 1)
    assert [result.key for result in message.results] == [(i.dataset, i.key) for i in suite.items]
    for result, answer in zip(message.results, wanted, strict=True):
        assert isinstance(answer, ClosedAnswer)
        score = answer.score
        assert result.option_logprobs == pytest.approx(score.option_logprobs, abs=1e-5)
        assert (result.answer, result.correct) == (LETTERS[score.answer_index], score.correct)
        assert result.prompt_tokens == answer.prompt_tokens
    assert sum(r.prefill_s or 0 for r in message.results) == pytest.approx(
        seconds(message, "prefill")
    )
    assert message.work.shared_tokens > 0, "two questions about each picture"


def test_open_answers(checkpoints: list[Path], suite: Suite) -> None:
    for name in ("short", "long"):
        items = tuple(item for item in suite.items if item.dataset == name)
        batch = Batch(0, items, (suite.dataset(name),) * len(items), suite.directory)
        message = Desk().done(unit(checkpoints[0], "open", batch))
        questions = asking.open_questions(
            replace(suite, items=items), suite.dataset(name).max_new_tokens
        )
        wanted = words(asking.opened(asking.loaded(checkpoints[0]), questions, 1))
        assert [(r.answer, r.prompt_tokens, r.output_tokens) for r in message.results] == wanted
        assert message.work.row_steps == sum(tokens - 1 for *_, tokens in wanted)


@pytest.mark.parametrize("slots", [1, 3, 32])
def test_a_pair_is_closed_and_open_and_its_closed_part_comes_first(
    checkpoints: list[Path], suite: Suite, slots: int
) -> None:
    batch = whole(suite)
    part, message = Desk(slots=slots).pair(unit(checkpoints[0], "pair", batch))
    closed = Desk().done(unit(checkpoints[0], "closed", batch))
    opened = Desk().done(unit(checkpoints[0], "open", batch))
    assert part.unit_id == message.unit_id
    for found, wanted in zip(part.results, closed.results, strict=True):
        assert found.key == wanted.key
        assert found.option_logprobs == pytest.approx(wanted.option_logprobs, abs=1e-5)
        assert (found.answer, found.prompt_tokens) == (wanted.answer, wanted.prompt_tokens)
    assert without_time(message.results) == without_time(opened.results)

    assert {*kinds(part)} == {"load", "input", "prefill", "score"}
    assert {*kinds(message)} == {"prefill", "decode", "score"}
    own = [seconds(m, "prefill") for m in (part, message)]
    spent = [sum(r.prefill_s or 0 for r in m.results) for m in (part, message)]
    assert sum(spent) == pytest.approx(sum(own)), "nothing is booked twice or lost"
    assert min(own) > 0.2 * sum(own)
    assert sum(r.decode_s or 0 for r in message.results) == pytest.approx(
        seconds(message, "decode")
    )


def test_spans_follow_one_another(checkpoints: list[Path], suite: Suite) -> None:
    desk = Desk()
    first = desk.done(unit(checkpoints[0], "closed", whole(suite)))
    assert kinds(first) == ["load", "load", "input", "prefill", "score"], "the second is the check"
    second = desk.done(unit(checkpoints[0], "closed", whole(suite)))
    assert kinds(second) == ["input", "prefill", "score"]
    opened = desk.done(unit(checkpoints[1], "open", whole(suite)))
    assert kinds(opened)[:3] == ["load", "input", "prefill"], "proven already"
    for message in (first, second, opened):
        ends = [at for span in message.spans for at in (span.started_at, span.ended_at)]
        assert ends == sorted(ends)


def test_a_checks_work_is_not_the_units(checkpoints: list[Path], suite: Suite) -> None:
    desk = Desk()
    first, second = (desk.done(unit(checkpoints[0], "closed", whole(suite))) for _ in range(2))
    assert first.work == second.work
    assert second.work.forwards == 2
    assert second.work.images_decoded == 12, "there is no cache, so every picture once a batch"


def test_a_broken_picture_costs_its_own_items(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    copy = with_broken_picture(suite, tmp_path)
    broken = [n for n, item in enumerate(copy.items) if item.image == copy.items[0].image]
    probe = whole(copy, slice(2, 8))
    desk = Desk()
    part, message = desk.pair(unit(checkpoints[0], "pair", whole(copy), probe=probe))
    closed = desk.done(unit(checkpoints[0], "closed", whole(copy), probe=probe))
    for results in (part.results, message.results, closed.results):
        assert [r.key for r in results] == [(i.dataset, i.key) for i in suite.items]
        assert [n for n, r in enumerate(results) if r.reason] == broken
        assert all("can't be decoded" in (results[n].reason or "") for n in broken)
    all_broken = replace(copy, items=tuple(copy.items[n] for n in broken))
    part, message = desk.pair(unit(checkpoints[0], "pair", whole(all_broken), probe=probe))
    assert all(r.reason for r in (*part.results, *message.results))
    assert len(part.results) == len(message.results) == len(broken)


def test_a_picture_that_was_changed_under_way_is_not_taken_for_the_suites(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    copy = read_suite(Path(shutil.copytree(suite.directory, tmp_path / "suite")))
    changed = [n for n, item in enumerate(copy.items) if item.image == copy.items[0].image]
    other = next(item for item in copy.items if item.image != copy.items[0].image)
    path = copy.image_path(copy.items[0])
    path.write_bytes(copy.image_path(other).read_bytes())
    done = Desk().done(unit(checkpoints[0], "closed", whole(copy), probe=whole(copy, slice(2, 8))))
    assert [n for n, r in enumerate(done.results) if r.reason] == changed
    for n in changed:
        reason = done.results[n].reason or ""
        assert f"was changed since the suite was read ({path})" in reason


# --- which worker it was does not matter --------------------------------------------------------


def test_a_second_worker_answers_bit_for_bit_the_same(
    checkpoints: list[Path], suite: Suite
) -> None:
    one = unit(checkpoints[0], "pair", whole(suite))
    results = [Desk().pair(one) for _ in range(2)]
    assert without_time(results[0][0].results) == without_time(results[1][0].results)
    assert without_time(results[0][1].results) == without_time(results[1][1].results)


@pytest.mark.parametrize("options", [True, False], ids=["with options", "without options"])
def test_what_a_worker_met_first_does_not_matter(
    checkpoints: list[Path], suite: Suite, gold: Suite, options: bool
) -> None:
    """A gold suite may have no closed form; the shortcuts are proven all the same."""
    first = whole(gold)
    if not options:
        bare = tuple(replace(item, options=(), gold_index=None) for item in first.items)
        first = replace(first, items=bare)
    asked = unit(checkpoints[0], "pair", whole(suite), probe=whole(suite, slice(0, 3)))
    fresh = Desk()
    wanted = fresh.pair(asked)
    desk = Desk()
    desk.done(unit(checkpoints[0], "open", first, probe=first.part(slice(0, 3))))
    everything = Abilities(checked=True, batch=True, share=True, stepwise=True)
    assert desk.worker._adapter.abilities == fresh.worker._adapter.abilities == everything
    for found, part in zip(desk.pair(asked), wanted, strict=True):
        assert without_time(found.results) == without_time(part.results)
        assert logprobs_of(found.results) == logprobs_of(part.results)


def logprobs_of(results: tuple[ItemResult, ...]) -> list[object]:
    return [result.option_logprobs for result in results]


def test_the_next_checkpoint_decodes_no_picture(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"cache_directory": tmp_path / "cache", "cache_bytes": 10**9}
    desk = Desk(**values)
    pictures = len({item.image_digest for item in suite.items})
    measured = desk.done(unit(checkpoints[0], "measure", whole(suite)))
    assert measured.work.images_decoded == pictures
    for directory in checkpoints:
        _, message = desk.pair(unit(directory, "pair", whole(suite)))
        assert message.work.images_decoded == 0
        assert message.work.images_reused >= 2 * len(suite.items)
    _, message = Desk(**values).pair(unit(checkpoints[0], "pair", whole(suite)))
    assert message.work.images_decoded == 0, "nor does another worker"


# --- faults -------------------------------------------------------------------------------------


def letters_of_two_tokens(directory: Path) -> None:
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"Regex": "B$"}, "content": "bb"}
    path.write_text(json.dumps(tokenizer))


@pytest.mark.parametrize("task", ["closed", "pair"])
def test_a_letter_that_is_not_one_token_ends_the_evaluation(
    checkpoints: list[Path], suite: Suite, tmp_path: Path, task: Task
) -> None:
    directory = Path(shutil.copytree(checkpoints[0], tmp_path / "letters"))
    letters_of_two_tokens(directory)
    desk = Desk()
    message = desk.run(unit(directory, task, whole(suite)))
    assert isinstance(message, UnitFailed) and message.fault == "evaluation"
    assert "'B' is not one token" in message.reason
    assert desk.sent == []
    opened = desk.done(unit(directory, "open", whole(suite)))
    assert all(result.reason is None for result in opened.results)


def test_a_checkpoint_that_is_gone(checkpoints: list[Path], suite: Suite, tmp_path: Path) -> None:
    desk = Desk()
    desk.done(unit(checkpoints[0], "closed", whole(suite)))
    for task in ("measure", "closed", "open", "pair"):
        gone = Checkpoint(2, 20, tmp_path / "gone", "gone", "")
        message = desk.run(replace(unit(checkpoints[0], task, whole(suite)), checkpoint=gone))  # type: ignore[arg-type]
        assert isinstance(message, UnitFailed) and message.fault == "checkpoint"
    desk.done(unit(checkpoints[0], "closed", whole(suite)))


@pytest.mark.parametrize(
    ("error", "fault", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "memory", "out of memory"),
        (RuntimeError("strange\nsecond line"), "batch", "RuntimeError: strange"),
        (ValueError(), "batch", "ValueError"),
    ],
)
def test_what_goes_wrong_in_a_batch_costs_the_batch(
    checkpoints: list[Path],
    suite: Suite,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    fault: str,
    words: str,
) -> None:
    desk = Desk()
    one = unit(checkpoints[0], "closed", whole(suite))
    wanted = desk.done(one)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(desk.worker._adapter.forward, "last_logits", fail)
        patch.setattr(desk.worker._adapter.forward, "prefill", fail)
        message = desk.run(one)
    assert isinstance(message, UnitFailed)
    assert message.fault == fault
    assert words in message.reason and "\n" not in message.reason
    assert without_time(desk.done(one).results) == without_time(wanted.results)


def test_a_cache_that_can_not_be_written_is_told_once(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("in the way")
    desk = Desk(cache_directory=tmp_path / "cache", cache_bytes=10**9)
    messages = [desk.done(unit(checkpoints[0], "closed", whole(suite))) for _ in range(3)]
    notes = [note for message in messages for note in message.notes]
    assert len(notes) == 1 and "can't be written" in notes[0]
    wanted = Desk().done(unit(checkpoints[0], "closed", whole(suite)))
    assert without_time(messages[0].results) == without_time(wanted.results)


def test_what_the_self_check_refuses_is_told_once_per_architecture(
    checkpoints: list[Path], suite: Suite, tmp_path: Path
) -> None:
    template = tiny.TEMPLATE.replace("<image>\n", "").replace("<|im_end|>", "<image>\n<|im_end|>")
    directories = []
    for number in (0, 1):
        directory = Path(shutil.copytree(checkpoints[number], tmp_path / str(number)))
        (directory / "chat_template.jinja").write_text(template)
        directories.append(directory)
    desk = Desk()
    told = [desk.done(unit(d, "closed", whole(suite))).notes for d in directories]
    assert len(told[0]) == 1 and "no common beginning that holds the picture" in told[0][0]
    assert told[1] == ()
