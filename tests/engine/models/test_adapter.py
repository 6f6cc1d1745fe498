"""The adapter against transformers itself: one item at a time, by another path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from ctv_engine.models.answers import ClosedAnswer, OpenAnswer, Unanswered
from ctv_engine.models.loading import CheckpointError, resolve_dtype
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import Question, TransformersAdapter
from ctv_engine.suite import closed_text, open_text

torch.set_num_threads(1)

BATCH_SIZES = [1, 4, 16]
NEW_TOKENS = 8
CPU = torch.device("cpu")


def loaded(directory: Path, **options: Any) -> TransformersAdapter:
    adapter = TransformersAdapter(CPU, **options)
    adapter.load(directory)
    return adapter


def copy_of(checkpoint: Path, home: Path) -> Path:
    return Path(shutil.copytree(checkpoint, home / checkpoint.name))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def closed_questions(suite: Any) -> list[Question]:
    return [
        Question(suite.image_path(i), closed_text(i), len(i.options), i.gold_index)
        for i in suite.items
    ]


@pytest.fixture(scope="module")
def open_questions(suite: Any) -> list[Question]:
    return [
        Question(suite.image_path(i), open_text(i, suite.dataset(i.dataset))) for i in suite.items
    ]


def in_batches(
    ask: Callable[[Sequence[Question]], list[Any]], questions: Sequence[Question], size: int
) -> list[Any]:
    return [
        answer
        for start in range(0, len(questions), size)
        for answer in ask(questions[start : start + size])
    ]


def closed_logprobs(
    adapter: TransformersAdapter, questions: Sequence[Question], size: int = 16
) -> torch.Tensor:
    answers = in_batches(lambda part: adapter.closed(part, Trace()), questions, size)
    return torch.tensor([answer.score.option_logprobs for answer in answers])


# --- the other path -----------------------------------------------------------------------------


class Plain:
    """A checkpoint straight through transformers, item by item, with no padding."""

    def __init__(self, directory: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(directory)
        self.model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32)
        self.model.eval()

    def inputs(self, question: Question) -> Any:
        content = [{"type": "image"}, {"type": "text", "text": question.text}]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        image = Image.open(question.image).convert("RGB")
        return self.processor(text=prompt, images=image, return_tensors="pt")

    def closed(self, questions: Sequence[Question]) -> torch.Tensor:
        """Return log-probabilities of A … D, shape (questions, 4)."""
        letters = self.processor.tokenizer.convert_tokens_to_ids(["A", "B", "C", "D"])
        with torch.no_grad():
            rows = [self.model(**self.inputs(q)).logits[0, -1] for q in questions]
        return torch.log_softmax(torch.stack(rows), dim=-1)[:, letters]

    def open(self, question: Question, **options: Any) -> list[int]:
        """Return the new token ids."""
        inputs = self.inputs(question)
        options = {"max_new_tokens": NEW_TOKENS, "do_sample": False, **options}
        output = self.model.generate(**inputs, **options)
        ids: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
        return ids


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


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_closed_probabilities_equal_a_plain_forward(
    checkpoints: list[Path], plain: Plain, closed_questions: list[Question], size: int
) -> None:
    ours = closed_logprobs(loaded(checkpoints[0]), closed_questions, size)
    reference = plain.closed(closed_questions)
    assert (ours - reference).abs().max() < 1e-5
    assert reference.std(dim=0).min() > 0.01  # the items differ by more than the tolerance


def test_closed_answers_carry_the_rest(
    checkpoints: list[Path], plain: Plain, closed_questions: list[Question]
) -> None:
    trace = Trace()
    answers = loaded(checkpoints[0]).closed(closed_questions[:6], trace)
    for question, answer, row in zip(
        closed_questions, answers, plain.closed(closed_questions[:6]), strict=False
    ):
        assert isinstance(answer, ClosedAnswer)
        assert answer.prompt_tokens == plain.inputs(question)["input_ids"].shape[1]
        assert answer.score.answer_index == int(row.argmax())
        assert answer.score.correct == (int(row.argmax()) == question.gold_index)
        gold_prob = float(torch.softmax(row, dim=-1)[question.gold_index])
        assert answer.score.gold_prob == pytest.approx(gold_prob, abs=1e-5)
        assert answer.score.option_mass == pytest.approx(float(row.exp().sum()), abs=1e-5)


def test_closed_prefill_shares_add_up_to_the_prefill(
    checkpoints: list[Path], closed_questions: list[Question]
) -> None:
    trace = Trace()
    answers = in_batches(
        lambda part: loaded(checkpoints[0]).closed(part, trace), closed_questions, 10
    )
    assert trace.seconds("prefill") > 0
    assert sum(a.prefill_s for a in answers) == pytest.approx(trace.seconds("prefill"), abs=1e-9)
    assert [span.kind for span in trace.spans][:3] == ["input", "prefill", "score"]


def test_options_of_different_number_in_one_batch(
    checkpoints: list[Path], suite: Any, plain: Plain
) -> None:
    image = suite.image_path(suite.items[0])
    questions = [
        Question(image, "Which?\nA. red\nB. blue", 2, 0),
        Question(image, "Which?\nA. red\nB. blue\nC. black\nD. white", 4, 0),
    ]
    reference = plain.closed(questions)
    adapter = loaded(checkpoints[0])
    answers = adapter.closed(questions, Trace())
    for answer, row, options in zip(answers, reference, (2, 4), strict=True):
        assert isinstance(answer, ClosedAnswer)
        assert answer.score.option_logprobs == pytest.approx(row[:options].tolist(), abs=1e-5)


# --- open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_open_text_equals_generate(
    stopping: Path, open_questions: list[Question], size: int
) -> None:
    plain = Plain(stopping)
    adapter = loaded(stopping)
    ends = plain.model.generation_config.eos_token_id
    answers = in_batches(lambda p: adapter.open(p, NEW_TOKENS, Trace()), open_questions, size)
    reasons = set()
    for question, answer in zip(open_questions, answers, strict=True):
        ids = plain.open(question)
        assert isinstance(answer, OpenAnswer)
        assert (
            answer.text == plain.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        )
        assert answer.output_tokens == len(ids)
        assert answer.prompt_tokens == plain.inputs(question)["input_ids"].shape[1]
        assert answer.finish_reason == ("stop" if ids[-1] in ends else "length")
        reasons.add(answer.finish_reason)
    assert reasons == {"stop", "length"}


def test_open_seconds_add_up_to_the_spans(stopping: Path, open_questions: list[Question]) -> None:
    trace = Trace()
    adapter = loaded(stopping)
    answers = in_batches(lambda p: adapter.open(p, NEW_TOKENS, trace), open_questions, 8)
    assert len({a.output_tokens for a in answers}) > 1
    for kind, shares in (
        ("prefill", [a.prefill_s for a in answers]),
        ("decode", [a.decode_s for a in answers]),
    ):
        assert trace.seconds(kind) > 0  # type: ignore[arg-type]
        assert sum(shares) == pytest.approx(trace.seconds(kind), abs=1e-6)  # type: ignore[arg-type]


def test_decoding_begins_where_the_prefill_ends(
    checkpoints: list[Path], open_questions: list[Question]
) -> None:
    trace = Trace()
    loaded(checkpoints[0]).open(open_questions[:2], NEW_TOKENS, trace)
    (prefill,) = [s for s in trace.spans if s.kind == "prefill"]
    (decode,) = [s for s in trace.spans if s.kind == "decode"]
    assert prefill.started_at < prefill.ended_at == decode.started_at < decode.ended_at


def test_a_row_that_ended_early_has_a_smaller_share(
    stopping: Path, open_questions: list[Question]
) -> None:
    answers = loaded(stopping).open(open_questions, NEW_TOKENS, Trace())
    by_length = sorted((a.output_tokens, a.decode_s) for a in answers)  # type: ignore[union-attr]
    assert by_length[0][0] < by_length[-1][0]
    assert by_length[0][1] < by_length[-1][1]


def test_one_token_needs_no_decoding(
    checkpoints: list[Path], plain: Plain, open_questions: list[Question]
) -> None:
    trace = Trace()
    answers = loaded(checkpoints[0]).open(open_questions[:4], 1, trace)
    assert trace.seconds("decode") == 0
    for question, answer in zip(open_questions, answers, strict=False):
        assert isinstance(answer, OpenAnswer)
        assert (answer.output_tokens, answer.decode_s) == (1, 0.0)
        ids = plain.open(question, max_new_tokens=1)
        assert (
            answer.text == plain.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        )


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
    tmp_path: Path,
    wishes: dict[str, Any],
) -> None:
    wanted = loaded(checkpoints[0]).open(open_questions, NEW_TOKENS, Trace())
    directory = copy_of(checkpoints[0], tmp_path)
    edit_json(directory / "generation_config.json", **wishes)
    found = loaded(directory).open(open_questions, NEW_TOKENS, Trace())
    assert [a.text for a in found] == [a.text for a in wanted]  # type: ignore[union-attr]


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
    tmp_path: Path,
    content: bytes,
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    adapter = loaded(checkpoints[0])
    closed = [*closed_questions[:2], Question(broken, "What?", 4, 0), *closed_questions[2:4]]
    answers = adapter.closed(closed, Trace())
    assert isinstance(answers[2], Unanswered)
    assert "image broken.png can't be decoded" in answers[2].reason
    rest = [a.score.option_logprobs for a in answers if isinstance(a, ClosedAnswer)]
    reference = closed_logprobs(adapter, closed_questions[:4])
    assert (torch.tensor(rest) - reference).abs().max() < 1e-5
    answers_open = adapter.open([Question(broken, "What?"), open_questions[0]], 4, Trace())
    assert isinstance(answers_open[0], Unanswered) and isinstance(answers_open[1], OpenAnswer)


def test_a_batch_of_nothing_but_broken_pictures(checkpoints: list[Path], tmp_path: Path) -> None:
    missing = Question(tmp_path / "missing.png", "What?", 2, 0)
    adapter = loaded(checkpoints[0])
    for answers in (adapter.closed([missing] * 2, Trace()), adapter.open([missing], 4, Trace())):
        assert all(isinstance(a, Unanswered) and "missing.png" in a.reason for a in answers)


def test_a_question_longer_than_the_context_costs_one_item(
    checkpoints: list[Path], closed_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    long = Question(closed_questions[0].image, "please " * 300, 4, 0)
    answers = adapter.closed([closed_questions[0], long, closed_questions[1]], Trace())
    assert isinstance(answers[1], Unanswered)
    assert "do not fit the model's context of 256" in answers[1].reason
    rest = [a.score.option_logprobs for a in answers if isinstance(a, ClosedAnswer)]
    reference = closed_logprobs(adapter, closed_questions[:2])
    assert (torch.tensor(rest) - reference).abs().max() < 1e-5
    assert isinstance(adapter.closed([long], Trace())[0], Unanswered)


def test_room_for_the_answer_counts(
    checkpoints: list[Path], plain: Plain, open_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    tokens = plain.inputs(open_questions[0])["input_ids"].shape[1]
    fits, not_quite = 256 - tokens, 256 - tokens + 1
    assert isinstance(adapter.open(open_questions[:1], fits, Trace())[0], OpenAnswer)
    (answer,) = adapter.open(open_questions[:1], not_quite, Trace())
    assert isinstance(answer, Unanswered)
    assert f"prompt of {tokens} tokens and up to {not_quite} new ones" in answer.reason


# --- from checkpoint to checkpoint --------------------------------------------------------------


def addresses(adapter: TransformersAdapter) -> dict[str, int]:
    return {name: p.data_ptr() for name, p in adapter.model.named_parameters()}


def everything(
    adapter: TransformersAdapter, closed: list[Question], open_: list[Question]
) -> tuple[object, ...]:
    texts = [a.text for a in adapter.open(open_, 4, Trace())]  # type: ignore[union-attr]
    return (closed_logprobs(adapter, closed).tolist(), texts)


def test_a_swap_in_place_is_bit_equal_to_a_fresh_load(
    checkpoints: list[Path], closed_questions: list[Question], open_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    before = addresses(adapter)
    results = []
    for directory in (*checkpoints[1:], checkpoints[0]):
        adapter.load(directory)
        results.append(everything(adapter, closed_questions, open_questions))
        assert results[-1] == everything(loaded(directory), closed_questions, open_questions)
        assert addresses(adapter) == before
    assert results[0] != results[1] != results[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: edit_json(
            d / "config.json",
            text_config={**json.loads((d / "config.json").read_text())["text_config"]}
            | {"rms_norm_eps": 0.5},
        ),
        lambda d: (d / "chat_template.jinja").write_text(tiny.TEMPLATE.replace("user", "me") + "!"),
        lambda d: edit_json(d / "generation_config.json", eos_token_id=[2, *range(60, 200)]),
    ],
    ids=["config", "chat template", "end tokens"],
)
def test_a_swap_notices_what_else_changed(
    checkpoints: list[Path],
    closed_questions: list[Question],
    open_questions: list[Question],
    tmp_path: Path,
    change: Callable[[Path], None],
) -> None:
    directory = copy_of(checkpoints[1], tmp_path)
    change(directory)
    adapter = loaded(checkpoints[0])
    adapter.load(directory)
    swapped = everything(adapter, closed_questions, open_questions)
    assert swapped == everything(loaded(directory), closed_questions, open_questions)
    assert swapped != everything(loaded(checkpoints[1]), closed_questions, open_questions)


def test_answers_do_not_depend_on_the_file_any_more(
    checkpoints: list[Path], closed_questions: list[Question], tmp_path: Path
) -> None:
    directory = copy_of(checkpoints[0], tmp_path)
    adapter = loaded(directory)
    before = closed_logprobs(adapter, closed_questions)
    weights = directory / "model.safetensors"
    with weights.open("r+b") as file:
        file.write(bytes(weights.stat().st_size))
    assert closed_logprobs(adapter, closed_questions).equal(before)


def test_a_processor_from_elsewhere(
    checkpoints: list[Path], closed_questions: list[Question], tmp_path: Path
) -> None:
    directory = tmp_path / "weights-only"
    directory.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(checkpoints[1] / name, directory)
    ours = closed_logprobs(loaded(directory, processor_directory=checkpoints[0]), closed_questions)
    assert ours.equal(closed_logprobs(loaded(checkpoints[1]), closed_questions))


# --- checkpoints that can't be evaluated --------------------------------------------------------


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / "model.safetensors"
        weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(weights)
        save_file(weights, path, metadata={"format": "pt"})

    return spoil


def a_weight(weights: dict[str, torch.Tensor]) -> str:
    return next(name for name in sorted(weights) if "layers.0" in name)


def poison(value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda weights: weights[a_weight(weights)].view(-1)[0].fill_(value)


def remove(*patterns: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        for pattern in patterns:
            for path in directory.glob(pattern):
                path.unlink()

    return spoil


def truncate(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def text_only_llama(directory: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    remove("*.safetensors", "config.json")(directory)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)


def bert(directory: Path) -> None:
    from transformers import BertConfig, BertModel

    remove("*.safetensors", "config.json")(directory)
    config = BertConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    BertModel(config).save_pretrained(directory)


def larger_tokenizer(directory: Path) -> None:
    processor = AutoProcessor.from_pretrained(directory)
    processor.tokenizer.add_tokens([f"<extra-{n}>" for n in range(50)])
    processor.save_pretrained(directory)


def unknown_architecture(directory: Path) -> None:
    edit_json(directory / "config.json", model_type="from-the-future", architectures=["Future"])


REFUSED: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    (
        "NaN weights",
        edit_weights(poison(float("nan"))),
        ("NaN or infinite weights in 1 tensors", "layers.0", "diverged"),
    ),
    ("infinite weights", edit_weights(poison(float("inf"))), ("NaN or infinite weights",)),
    ("truncated", truncate, ("can't be read",)),
    (
        "no processor",
        remove("*processor*", "token*", "*.jinja"),
        ("no usable processor", "--processor"),
    ),
    ("no picture processor", remove("*processor*"), ("processor", "--processor")),
    ("no chat template", remove("*.jinja"), ("no chat template",)),
    ("a text-only Llama", text_only_llama, ("not a model that this engine can load",)),
    ("a BERT", bert, ("not a model that this engine can load",)),
    ("unknown architecture", unknown_architecture, ("from-the-future",)),
    (
        "missing weight",
        edit_weights(lambda weights: weights.pop(a_weight(weights))),
        ("weights do not fit its config", "missing keys", "layers.0"),
    ),
    (
        "weight too many",
        edit_weights(lambda weights: weights.update(more=torch.zeros(2))),
        ("weights do not fit its config", "unexpected keys: more"),
    ),
    (
        "weight of another shape",
        edit_weights(lambda w: w.update({a_weight(w): torch.zeros(3, 5)})),
        ("layers.0",),
    ),
    (
        "tokenizer larger than the embedding",
        larger_tokenizer,
        ("tokenizer has ids up to", "embedding", "do not belong together"),
    ),
    ("deleted", shutil.rmtree, ("deleted",)),
    ("no weights", remove("*.safetensors"), ("can't be read", "model.safetensors")),
]


@pytest.mark.parametrize(
    ("spoil", "words"), [(s, w) for _, s, w in REFUSED], ids=[name for name, *_ in REFUSED]
)
def test_a_checkpoint_that_can_not_be_evaluated(
    checkpoints: list[Path],
    closed_questions: list[Question],
    tmp_path: Path,
    spoil: Callable[[Path], object],
    words: tuple[str, ...],
) -> None:
    directory = copy_of(checkpoints[1], tmp_path)
    spoil(directory)
    for adapter in (TransformersAdapter(CPU), loaded(checkpoints[0])):
        with pytest.raises(CheckpointError) as caught:
            adapter.load(directory)
        message = str(caught.value)
        assert directory.name in message
        assert "\n" not in message
        for word in words:
            assert word in message
        assert adapter.model is None
        adapter.load(checkpoints[0])  # the next one is none the worse for it
        fresh = closed_logprobs(loaded(checkpoints[0]), closed_questions[:2])
        assert closed_logprobs(adapter, closed_questions[:2]).equal(fresh)


def test_deleted_while_its_weights_were_to_be_read(checkpoints: list[Path], tmp_path: Path) -> None:
    directory = copy_of(checkpoints[0], tmp_path)
    shutil.rmtree(directory)
    with pytest.raises(CheckpointError, match=r"gone|deleted"):
        loaded(directory, processor_directory=checkpoints[0])


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", "auto"),
        ("float32", "cuda", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cuda", torch.float16),
    ],
)
def test_dtypes(name: str, device: str, dtype: object) -> None:
    assert resolve_dtype(name, torch.device(device)) == dtype


# --- self-check ---------------------------------------------------------------------------------


def of_different_length(questions: list[Question]) -> list[Question]:
    by_length = sorted(questions, key=lambda q: len(q.text))
    return [by_length[0], by_length[len(by_length) // 2], by_length[-1]]


def test_the_self_check_passes_on_a_model_that_batches_well(
    checkpoints: list[Path], closed_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    assert adapter.self_check(of_different_length(closed_questions)) is None
    assert adapter.batchable


def test_the_self_check_turns_wrong_batches_off_and_says_so(
    checkpoints: list[Path],
    plain: Plain,
    closed_questions: list[Question],
    open_questions: list[Question],
) -> None:
    adapter = loaded(checkpoints[0])
    adapter.processor.tokenizer.padding_side = "right"
    wrong = (closed_logprobs(adapter, closed_questions) - plain.closed(closed_questions)).abs()
    assert wrong.max() > 0.1
    note = adapter.self_check(of_different_length(closed_questions))
    assert note is not None
    for words in ("LlavaForConditionalGeneration", "padded batch differ by up to", "one by one"):
        assert words in note
    assert not adapter.batchable
    right = (closed_logprobs(adapter, closed_questions) - plain.closed(closed_questions)).abs()
    assert right.max() < 1e-5
    answers = adapter.open(open_questions[:4], NEW_TOKENS, Trace())
    for question, answer in zip(open_questions, answers, strict=False):
        ids = plain.open(question)
        assert isinstance(answer, OpenAnswer)
        assert (
            answer.text == plain.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        )
        assert answer.output_tokens == len(ids)


def test_a_self_check_of_one_item_says_nothing(
    checkpoints: list[Path], closed_questions: list[Question]
) -> None:
    adapter = loaded(checkpoints[0])
    adapter.processor.tokenizer.padding_side = "right"
    assert adapter.self_check(closed_questions[:1]) is None
    assert adapter.batchable
