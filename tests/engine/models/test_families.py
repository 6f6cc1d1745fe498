"""Every model family through the adapter, against transformers itself, one item at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import families
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from ctv_engine.models.answers import ClosedAnswer, OpenAnswer
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import Question, TransformersAdapter

torch.set_num_threads(1)

NEW_TOKENS = 6
NO_TORCHVISION = ("mistral3", "qwen2_5_vl", "internvl")
"""Families whose processor wants torchvision, which is not installed where these tests run."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module", params=families.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(family: str, home: Path) -> tuple[Path, Path]:
    """Two checkpoints of the family."""
    first, second = (
        families.build_family(family, home / family / f"checkpoint-{seed}", seed) for seed in (0, 1)
    )
    return first, second


@pytest.fixture(scope="module")
def questions(home: Path) -> list[Question]:
    """Questions of very different length about pictures of different shape."""
    pictures = families.make_pictures(home / "pictures")
    words = ("What colour is the square?", "What is shown in the picture? " * 3, "What?")
    options = "\nA. red\nB. blue\nC. black\nD. white\n"
    end = "Answer with the letter of the right option only."
    return [
        Question(picture, words[number % 3] + options + end, 4, number % 4)
        for number, picture in enumerate(pictures)
    ]


# --- the other path -----------------------------------------------------------------------------


def by_auto_processor(directory: Path, question: Question) -> dict[str, torch.Tensor]:
    """Return one item's inputs as transformers' own processor makes them."""
    processor = AutoProcessor.from_pretrained(directory)
    content = [{"type": "image"}, {"type": "text", "text": question.text}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    begins = prompt.startswith(processor.tokenizer.bos_token)
    image = Image.open(question.image).convert("RGB")
    inputs = processor(
        text=prompt, images=image, return_tensors="pt", add_special_tokens=not begins
    )
    inputs.pop("labels", None)
    return dict(inputs)


def by_hand(family: str) -> Callable[[Path, Question], dict[str, torch.Tensor]]:
    """Make one item's inputs from tokenizer and picture part, the picture's tokens by hand."""

    def make(directory: Path, question: Question) -> dict[str, torch.Tensor]:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        image = Image.open(question.image).convert("RGB")
        options = {"patch_size": 2 * families.PATCH} if family == "mistral3" else {}
        inputs = dict(
            AutoImageProcessor.from_pretrained(directory)(image, return_tensors="pt", **options)
        )
        if family == "qwen2_5_vl":
            mark = "<|image_pad|>"
            expanded = mark * (int(inputs["image_grid_thw"].prod()) // 4)
        elif family == "internvl":
            mark = "<IMG_CONTEXT>"
            tiles = inputs.pop("num_patches")
            expanded = f"<img>{mark * (4 * int(tiles))}</img>"
        else:
            mark = "[IMG]"
            height, width = (int(side) // 16 for side in inputs["image_sizes"][0])
            expanded = (mark * width + "[IMG_BREAK]") * height
            expanded = expanded.removesuffix("[IMG_BREAK]") + "[IMG_END]"
        content = [{"type": "image"}, {"type": "text", "text": question.text}]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        text = tokenizer(
            prompt.replace(mark, expanded), add_special_tokens=False, return_tensors="pt"
        )
        inputs |= {name: text[name] for name in ("input_ids", "attention_mask")}
        if family == "qwen2_5_vl":
            image_id = tokenizer.convert_tokens_to_ids(mark)
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == image_id).long()
        return inputs

    return make


class Plain:
    """A checkpoint straight through transformers, item by item, with no padding."""

    def __init__(self, family: str, directory: Path) -> None:
        self.directory = directory
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32)
        self.model.eval()
        self._make = by_hand(family) if family in NO_TORCHVISION else by_auto_processor

    def inputs(self, question: Question) -> dict[str, torch.Tensor]:
        return self._make(self.directory, question)

    @torch.no_grad()
    def closed(self, questions: Sequence[Question]) -> torch.Tensor:
        """Return log-probabilities of A … D, with or without a space, shape (questions, 4)."""
        vocabulary = self.tokenizer.get_vocab()
        bare, spaced = ([vocabulary[space + letter] for letter in "ABCD"] for space in ("", "Ġ"))
        rows = [self.model(**self.inputs(q)).logits[0, -1] for q in questions]
        logprobs = torch.log_softmax(torch.stack(rows), dim=-1)
        return torch.logaddexp(logprobs[:, bare], logprobs[:, spaced])

    def open(self, question: Question) -> list[int]:
        """Return the new token ids."""
        inputs = self.inputs(question)
        output = self.model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        ids: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
        return ids


def loaded(directory: Path) -> TransformersAdapter:
    adapter = TransformersAdapter(torch.device("cpu"))
    adapter.load(directory)
    return adapter


def closed(adapter: TransformersAdapter, questions: list[Question], size: int) -> torch.Tensor:
    answers = [
        answer
        for start in range(0, len(questions), size)
        for answer in adapter.closed(questions[start : start + size], Trace())
    ]
    assert all(isinstance(answer, ClosedAnswer) for answer in answers), answers
    return torch.tensor([answer.score.option_logprobs for answer in answers])  # type: ignore[union-attr]


def opened(
    adapter: TransformersAdapter, questions: list[Question], size: int
) -> list[tuple[str, int, int]]:
    answers = [
        answer
        for start in range(0, len(questions), size)
        for answer in adapter.open(questions[start : start + size], NEW_TOKENS, Trace())
    ]
    assert all(isinstance(answer, OpenAnswer) for answer in answers), answers
    return [(a.text, a.prompt_tokens, a.output_tokens) for a in answers]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def plain(family: str, pair: tuple[Path, Path]) -> Plain:
    return Plain(family, pair[0])


@pytest.mark.parametrize("size", [1, 4])
def test_closed_probabilities_equal_a_plain_forward(
    pair: tuple[Path, Path], plain: Plain, questions: list[Question], size: int
) -> None:
    reference = plain.closed(questions)
    assert (closed(loaded(pair[0]), questions, size) - reference).abs().max() < 1e-5
    assert reference.std(dim=0).min() > 0.001  # the items differ by more than the tolerance


def test_letters_are_read_where_the_processor_ends_the_prompt(
    home: Path, questions: list[Question]
) -> None:
    """After a space "A" is no token of its own, but PaliGemma's processor adds a new line."""
    directory = families.build_family("paligemma", home / "space")
    template = (directory / "chat_template.jinja").read_text()
    (directory / "chat_template.jinja").write_text(template + " ")
    reference = Plain("paligemma", directory).closed(questions)
    assert (closed(loaded(directory), questions, 4) - reference).abs().max() < 1e-5


@pytest.mark.parametrize("size", [1, 4])
def test_open_text_equals_generate(
    pair: tuple[Path, Path], plain: Plain, questions: list[Question], size: int
) -> None:
    rows = [plain.open(question) for question in questions]
    assert opened(loaded(pair[0]), questions, size) == [
        (
            plain.tokenizer.decode(row, skip_special_tokens=True).strip(),
            plain.inputs(question)["input_ids"].shape[1],
            len(row),
        )
        for question, row in zip(questions, rows, strict=True)
    ]
    assert len({tuple(row) for row in rows}) > 1


def test_the_picture_counts(pair: tuple[Path, Path], questions: list[Question]) -> None:
    adapter = loaded(pair[0])
    same_words = [Question(q.image, questions[0].text, 4, 0) for q in questions]
    assert closed(adapter, same_words, 1).std(dim=0).min() > 0.001


def test_the_self_check_finds_nothing(pair: tuple[Path, Path], questions: list[Question]) -> None:
    adapter = loaded(pair[0])
    assert adapter.self_check(questions[:3]) is None
    assert adapter.batchable


def test_answers_are_right_even_where_batches_are_not(
    pair: tuple[Path, Path], plain: Plain, questions: list[Question]
) -> None:
    """Padding on the wrong side spoils batches; the self-check sees it and says so."""
    adapter = loaded(pair[0])
    adapter.processor.tokenizer.padding_side = "right"
    reference = plain.closed(questions)
    wrong = float((closed(adapter, questions, 6) - reference).abs().max())
    note = adapter.self_check(questions[:3])
    assert (note is not None) == (wrong > 0.1)  # InternVL's processor pads left all the same
    if note is not None:
        assert "items are run one by one" in note
    assert (closed(adapter, questions, 6) - reference).abs().max() < 1e-5
    rows = [plain.open(question) for question in questions[:3]]
    texts = [plain.tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
    assert [text for text, *_ in opened(adapter, questions[:3], 3)] == texts


def test_a_swap_in_place_is_bit_equal_to_a_fresh_load(
    pair: tuple[Path, Path], questions: list[Question]
) -> None:
    adapter = loaded(pair[0])
    before = {name: value.data_ptr() for name, value in adapter.model.named_parameters()}
    results = []
    for directory in (pair[1], pair[0]):
        adapter.load(directory)
        fresh = loaded(directory)
        assert closed(adapter, questions, 4).equal(closed(fresh, questions, 4))
        assert opened(adapter, questions, 4) == opened(fresh, questions, 4)
        results.append(closed(adapter, questions, 4))
    assert {n: value.data_ptr() for n, value in adapter.model.named_parameters()} == before
    assert not results[0].equal(results[1])
