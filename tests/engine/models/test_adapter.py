"""The adapter against transformers itself: one item at a time, by another path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asking
import pytest
import tiny
import torch
from adapting import (
    BATCH_SIZES,
    SLOTS,
    Plain,
    closed_logprobs,
    copy_of,
    edit_json,
    proven,
)
from asking import loaded, logprobs, question, with_cap, words

from ctv_engine.models.answers import ClosedAnswer, OpenAnswer, Unanswered
from ctv_engine.models.inputs import Question
from ctv_engine.models.trace import Trace
from ctv_engine.suite import Suite


@pytest.fixture(scope="module")
def plain(checkpoints: list[Path]) -> Plain:
    return Plain(checkpoints[0])


@pytest.fixture(scope="module")
def stopping(checkpoints: list[Path], open_questions: list[Question], tmp_path_factory: Any) -> Any:
    """A checkpoint that ends some of its answers early, others not."""
    directory = copy_of(checkpoints[0], tmp_path_factory.mktemp("stopping"))
    free = Plain(directory)
    rows = [free.open(q, eos_token_id=-1) for q in open_questions]

    def stopped(token: int) -> int:
        return sum(token in row[1:-1] for row in rows)

    token = min({t for row in rows for t in row[1:-1]}, key=lambda t: abs(stopped(t) - 12))
    edit_json(directory / "generation_config.json", eos_token_id=[2, token])
    return directory


# --- closed -------------------------------------------------------------------------------------


def check_closed(ours: torch.Tensor, reference: torch.Tensor) -> None:
    assert (ours - reference).abs().max() < 1e-5
    assert reference.std(dim=0).min() > 0.01  # the items differ by more than the tolerance


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_closed_probabilities_equal_a_plain_forward(
    checkpoints: list[Path],
    plain: Plain,
    closed_questions: list[Question],
    probe: list[Question],
    size: int,
) -> None:
    adapter = proven(checkpoints[0], probe)
    before = adapter.work.copy()
    ours = closed_logprobs(adapter, closed_questions, size)
    check_closed(ours, plain.closed(closed_questions))
    done = adapter.work.since(before)
    pictures = len({q.picture.digest for q in closed_questions})
    assert 2 * pictures == len(closed_questions), "two questions about each picture"
    if size == 1:
        assert (done.forwards, done.shared_tokens) == (len(closed_questions), 0)
    else:  # one forward for the pictures' prefixes, one for the endings
        assert done.forwards == 2 * -(-len(closed_questions) // size)
        assert done.shared_tokens > pictures * 4, "every picture's four tokens once less"


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_closed_probabilities_of_padded_batches(
    checkpoints: list[Path],
    plain: Plain,
    closed_questions: list[Question],
    probe: list[Question],
    size: int,
) -> None:
    adapter = proven(checkpoints[0], probe)
    adapter.abilities.share = False
    before = adapter.work.copy()
    ours = closed_logprobs(adapter, closed_questions, size)
    check_closed(ours, plain.closed(closed_questions))
    done = adapter.work.since(before)
    assert (done.forwards, done.shared_tokens) == (-(-len(closed_questions) // size), 0)
    assert (done.processed_tokens > done.prompt_tokens) == (size > 1), "there was padding"


def test_an_adapter_that_has_proven_nothing_takes_the_plain_path(
    checkpoints: list[Path],
    plain: Plain,
    closed_questions: list[Question],
    open_questions: list[Question],
) -> None:
    adapter = loaded(checkpoints[0])
    assert not adapter.abilities.checked
    ours = closed_logprobs(adapter, closed_questions, 16)
    check_closed(ours, plain.closed(closed_questions))
    assert adapter.work.forwards == len(closed_questions)
    assert adapter.work.shared_tokens == 0
    texts = [text for text, *_ in words(asking.opened(adapter, open_questions[:5], 16))]
    assert texts == [plain.text(plain.open(q)) for q in open_questions[:5]]
    assert adapter.work.processed_tokens == adapter.work.prompt_tokens, "no padding"


def test_closed_answers_carry_the_rest(
    checkpoints: list[Path], plain: Plain, closed_questions: list[Question], probe: list[Question]
) -> None:
    answers = asking.closed(proven(checkpoints[0], probe), closed_questions[:6], 6)
    for asked, answer, row in zip(
        closed_questions, answers, plain.closed(closed_questions[:6]), strict=False
    ):
        assert isinstance(answer, ClosedAnswer)
        assert answer.prompt_tokens == plain.inputs(asked)["input_ids"].shape[1]
        assert answer.score.answer_index == int(row.argmax())
        assert answer.score.correct == (int(row.argmax()) == asked.gold_index)
        gold_prob = float(torch.softmax(row, dim=-1)[asked.gold_index])
        assert answer.score.gold_prob == pytest.approx(gold_prob, abs=1e-5)
        assert answer.score.option_mass == pytest.approx(float(row.exp().sum()), abs=1e-5)


def test_closed_prefill_shares_add_up_to_the_prefill(
    checkpoints: list[Path], closed_questions: list[Question], probe: list[Question]
) -> None:
    trace = Trace()
    answers = asking.closed(proven(checkpoints[0], probe), closed_questions, 10, trace)
    assert trace.seconds("prefill") > 0
    spent = [a.prefill_s for a in answers if isinstance(a, ClosedAnswer)]
    assert len(spent) == len(closed_questions)
    assert sum(spent) == pytest.approx(trace.seconds("prefill"), abs=1e-9)
    assert [span.kind for span in trace.spans] == ["prefill", "score"] * 3


def test_options_of_different_number_in_one_batch(
    checkpoints: list[Path], suite: Suite, plain: Plain, probe: list[Question]
) -> None:
    image = suite.image_path(suite.items[0])
    questions = [
        question(image, "Which?\nA. red\nB. blue", 2),
        question(image, "Which?\nA. red\nB. blue\nC. black\nD. white", 4),
    ]
    reference = plain.closed(questions)
    answers = asking.closed(proven(checkpoints[0], probe), questions, 2)
    for answer, row, options in zip(answers, reference, (2, 4), strict=True):
        assert isinstance(answer, ClosedAnswer)
        assert answer.score.option_logprobs == pytest.approx(row[:options].tolist(), abs=1e-5)


# --- open ---------------------------------------------------------------------------------------


def check_open(
    plain: Plain, questions: Sequence[Question], answers: Sequence[object]
) -> set[object]:
    """Compare answers with ``generate``, one item at a time; return the finish reasons."""
    ends = plain.model.generation_config.eos_token_id
    reasons = set()
    for asked, answer in zip(questions, answers, strict=True):
        ids = plain.open(asked)
        assert isinstance(answer, OpenAnswer)
        assert answer.text == plain.text(ids)
        assert answer.output_tokens == len(ids)
        assert answer.prompt_tokens == plain.inputs(asked)["input_ids"].shape[1]
        assert answer.finish_reason == ("stop" if ids[-1] in ends else "length")
        reasons.add(answer.finish_reason)
    return reasons


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_open_text_equals_generate(
    stopping: Path, open_questions: list[Question], probe: list[Question], size: int
) -> None:
    adapter = proven(stopping, probe, slots=SLOTS[size])
    assert adapter.slots < len(open_questions)
    before = adapter.work.copy()
    answers = asking.opened(adapter, open_questions, size)
    assert check_open(Plain(stopping), open_questions, answers) == {"stop", "length"}
    steps = sum(tokens - 1 for *_, tokens in words(answers))
    assert adapter.work.since(before).row_steps == steps, "no row took part after its end"


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_open_text_of_the_plain_path_equals_generate(
    stopping: Path, open_questions: list[Question], probe: list[Question], size: int
) -> None:
    adapter = proven(stopping, probe)
    adapter.abilities.stepwise = adapter.abilities.share = False
    answers = asking.opened(adapter, open_questions, size)
    assert check_open(Plain(stopping), open_questions, answers) == {"stop", "length"}


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_pairs_equal_closed_and_open(
    stopping: Path,
    closed_questions: list[Question],
    open_questions: list[Question],
    probe: list[Question],
    size: int,
) -> None:
    plain = Plain(stopping)
    adapter = proven(stopping, probe, slots=SLOTS[size])
    before = adapter.work.copy()
    scored, answers = asking.paired(adapter, closed_questions, open_questions, size)
    check_closed(logprobs(scored), plain.closed(closed_questions))
    assert check_open(plain, open_questions, answers) == {"stop", "length"}
    done = adapter.work.since(before)
    assert done.row_steps == sum(tokens - 1 for *_, tokens in words(answers))
    assert done.shared_tokens > 4 * len(open_questions), "the open forms' pictures for nothing"


def test_pairs_without_shortcuts_equal_closed_and_open(
    stopping: Path, closed_questions: list[Question], open_questions: list[Question]
) -> None:
    plain = Plain(stopping)
    adapter = loaded(stopping)
    scored, answers = asking.paired(adapter, closed_questions, open_questions, 8)
    check_closed(logprobs(scored), plain.closed(closed_questions))
    assert check_open(plain, open_questions, answers) == {"stop", "length"}
    assert adapter.work.processed_tokens == adapter.work.prompt_tokens, "no padding"
    assert adapter.work.shared_tokens == 0


@pytest.mark.parametrize("stepwise", [True, False])
def test_open_seconds_add_up_to_the_spans(
    stopping: Path, open_questions: list[Question], probe: list[Question], stepwise: bool
) -> None:
    trace = Trace()
    adapter = proven(stopping, probe, slots=10)
    adapter.abilities.stepwise = stepwise
    answers = asking.opened(adapter, open_questions, 8, trace)
    assert len({tokens for *_, tokens in words(answers)}) > 1
    for kind, shares in (
        ("prefill", [a.prefill_s for a in answers]),  # type: ignore[union-attr]
        ("decode", [a.decode_s for a in answers]),  # type: ignore[union-attr]
    ):
        assert trace.seconds(kind) > 0  # type: ignore[arg-type]
        assert sum(shares) == pytest.approx(trace.seconds(kind), abs=1e-6)  # type: ignore[arg-type]


def test_decoding_begins_where_the_prefill_ends(
    checkpoints: list[Path], open_questions: list[Question], probe: list[Question]
) -> None:
    adapter = proven(checkpoints[0], probe)
    for stepwise in (True, False):
        trace = Trace()
        adapter.abilities.stepwise = stepwise
        asking.opened(adapter, open_questions[:2], 2, trace)
        (prefill,) = [s for s in trace.spans if s.kind == "prefill"]
        (decode,) = [s for s in trace.spans if s.kind == "decode"]
        assert prefill.started_at < prefill.ended_at <= decode.started_at < decode.ended_at
    assert prefill.ended_at == decode.started_at, "in one call of generate nothing lies between"


def test_a_row_that_ended_early_has_a_smaller_share(
    stopping: Path, open_questions: list[Question], probe: list[Question]
) -> None:
    answers = asking.opened(proven(stopping, probe), open_questions, 24)
    by_length = sorted((a.output_tokens, a.decode_s) for a in answers)  # type: ignore[union-attr]
    assert by_length[0][0] < by_length[-1][0]
    assert by_length[0][1] < by_length[-1][1]


def test_one_token_needs_no_decoding(
    checkpoints: list[Path], plain: Plain, open_questions: list[Question], probe: list[Question]
) -> None:
    adapter = proven(checkpoints[0], probe)
    for stepwise in (True, False):
        trace = Trace()
        adapter.abilities.stepwise = stepwise
        answers = asking.opened(adapter, with_cap(open_questions[:4], 1), 4, trace)
        assert trace.seconds("decode") == 0
        for asked, answer in zip(open_questions[:4], answers, strict=True):
            assert isinstance(answer, OpenAnswer)
            assert (answer.output_tokens, answer.decode_s) == (1, 0.0)
            assert answer.text == plain.text(plain.open(asked, max_new_tokens=1))


@pytest.mark.parametrize(
    "wishes",
    [
        {"do_sample": True, "temperature": 9.0, "top_k": 500},
        {"repetition_penalty": 9.0},
        {"no_repeat_ngram_size": 1},
        {"num_beams": 4, "length_penalty": -3.0},
        {"suppress_tokens": list(range(3, 200))},
        {"max_length": 5},
        {"min_new_tokens": 5, "begin_suppress_tokens": [2]},
    ],
    ids=lambda wishes: next(iter(wishes)),
)
def test_greedy_means_greedy_whatever_the_checkpoint_asks_for(
    checkpoints: list[Path],
    open_questions: list[Question],
    probe: list[Question],
    tmp_path: Path,
    wishes: dict[str, Any],
) -> None:
    wanted = words(asking.opened(proven(checkpoints[0], probe), open_questions, 24))
    directory = copy_of(checkpoints[0], tmp_path)
    edit_json(directory / "generation_config.json", **wishes)
    adapter = proven(directory, probe)
    assert words(asking.opened(adapter, open_questions, 24)) == wanted
    adapter.abilities.stepwise = False
    assert words(asking.opened(adapter, open_questions, 24)) == wanted


# --- one item's fault ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n but no picture", b"", tiny.square_png((1, 2, 3), 1)[:60]],
    ids=["magic only", "empty", "truncated"],
)
def test_a_picture_that_can_not_be_decoded_costs_one_item(
    checkpoints: list[Path],
    closed_questions: list[Question],
    open_questions: list[Question],
    probe: list[Question],
    tmp_path: Path,
    content: bytes,
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    adapter = proven(checkpoints[0], probe)
    closed = [*closed_questions[:2], question(broken, "What?", 4), *closed_questions[2:4]]
    opened = [*open_questions[:2], question(broken, "What?", cap=4), *open_questions[2:4]]
    reference = closed_logprobs(adapter, closed_questions[:4])
    texts = words(asking.opened(adapter, open_questions[:4], 5))

    def check(answers: Sequence[object]) -> list[Any]:
        assert isinstance(answers[2], Unanswered)
        assert "image broken.png can't be decoded" in answers[2].reason
        return [*answers[:2], *answers[3:]]

    rest = check(asking.closed(adapter, closed, 5))
    assert (logprobs(rest) - reference).abs().max() < 1e-5
    assert words(check(asking.opened(adapter, opened, 5))) == texts
    scored, answers = map(check, asking.paired(adapter, closed, opened, 5))
    assert (logprobs(scored) - reference).abs().max() < 1e-5
    assert words(answers) == texts
    pair = asking.opened(adapter, [question(broken, "What?", cap=4), open_questions[0]], 2)
    assert isinstance(pair[0], Unanswered) and isinstance(pair[1], OpenAnswer)


@pytest.mark.parametrize("size", [1, 2])
def test_a_batch_of_nothing_but_broken_pictures(
    checkpoints: list[Path], probe: list[Question], tmp_path: Path, size: int
) -> None:
    closed = [question(tmp_path / "missing.png", "What?", 2)] * 2
    opened = [question(tmp_path / "missing.png", "What?", cap=4)] * 2
    adapter = proven(checkpoints[0], probe)
    for answers in (
        asking.closed(adapter, closed, size),
        asking.opened(adapter, opened, size),
        *asking.paired(adapter, closed, opened, size),
    ):
        assert len(answers) == 2
        assert all(isinstance(a, Unanswered) and "missing.png" in a.reason for a in answers)


def test_a_question_longer_than_the_context_costs_one_item(
    checkpoints: list[Path], closed_questions: list[Question], probe: list[Question]
) -> None:
    adapter = proven(checkpoints[0], probe)
    long = question(closed_questions[0].picture.path, "please " * 300, 4)
    answers = asking.closed(adapter, [closed_questions[0], long, closed_questions[1]], 3)
    assert isinstance(answers[1], Unanswered)
    assert "do not fit the model's context of 256" in answers[1].reason
    reference = closed_logprobs(adapter, closed_questions[:2])
    assert (logprobs([answers[0], answers[2]]) - reference).abs().max() < 1e-5
    assert isinstance(asking.closed(adapter, [long], 1)[0], Unanswered)


def test_room_for_the_answer_counts(
    checkpoints: list[Path], plain: Plain, open_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    tokens = plain.inputs(open_questions[0])["input_ids"].shape[1]
    fits, not_quite = 256 - tokens, 256 - tokens + 1
    assert isinstance(asking.opened(adapter, with_cap(open_questions[:1], fits), 1)[0], OpenAnswer)
    (answer,) = asking.opened(adapter, with_cap(open_questions[:1], not_quite), 1)
    assert isinstance(answer, Unanswered)
    assert f"prompt of {tokens} tokens and up to {not_quite} new ones" in answer.reason


def test_a_pair_whose_open_answer_has_no_room_keeps_its_closed_score(
    checkpoints: list[Path],
    plain: Plain,
    closed_questions: list[Question],
    open_questions: list[Question],
    probe: list[Question],
) -> None:
    for adapter in (proven(checkpoints[0], probe), loaded(checkpoints[0])):
        opened = [*with_cap(open_questions[:1], 250), open_questions[2]]
        closed = [closed_questions[0], closed_questions[2]]
        scored, answers = asking.paired(adapter, closed, opened, 2)
        check = (logprobs(scored) - plain.closed(closed)).abs().max()
        assert check < 1e-5
        assert isinstance(answers[0], Unanswered) and "do not fit" in answers[0].reason
        assert words(answers[1:])[0][0] == plain.text(plain.open(opened[1]))
