"""Every model family through the adapter, against transformers itself, one item at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import asking
import families
import pytest
import torch
from asking import loaded, logprobs, prove, question, words
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from ctv_engine.models.inputs import Question
from ctv_engine.models.transformers_adapter import TransformersAdapter
from ctv_engine.models.work import Work

torch.set_num_threads(1)

NEW_TOKENS = 6
NO_TORCHVISION = ("mistral3", "qwen2_5_vl", "internvl")
"""Families whose processor wants torchvision, which is not installed where these tests run."""
NO_SHARED_PREFIX = {
    "gemma3": "its cache doesn't keep every position of every layer",
    "paligemma": "log-probabilities behind a shared prefix differ by up to",
}
"""Why a family can't: layers with a sliding window; prompts that are read in both directions."""


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
    wording = ("What colour is the square?", "What is shown in the picture? " * 3, "What?")
    options = "\nA. red\nB. blue\nC. black\nD. white\n"
    end = "Answer with the letter of the right option only."
    return [
        question(picture, wording[number % 3] + options + end, 4, number % 4)
        for number, picture in enumerate(pictures)
    ]


@pytest.fixture(scope="module")
def open_questions(questions: list[Question]) -> list[Question]:
    """The same pictures, asked openly; every other answer may be half as long."""
    return [
        question(asked.picture.path, asked.text.split("\n")[0], cap=NEW_TOKENS // (1 + number % 2))
        for number, asked in enumerate(questions)
    ]


def proven(directory: Path, probe: Sequence[Question], **options: int) -> TransformersAdapter:
    """Return an adapter with every shortcut that this family allows."""
    adapter = loaded(directory, **options)
    prove(adapter, probe)
    assert adapter.abilities.checked and adapter.abilities.batch and adapter.abilities.stepwise
    return adapter


# --- the other path -----------------------------------------------------------------------------


def by_auto_processor(directory: Path, asked: Question) -> dict[str, torch.Tensor]:
    """Return one item's inputs as transformers' own processor makes them."""
    processor = AutoProcessor.from_pretrained(directory)
    content = [{"type": "image"}, {"type": "text", "text": asked.text}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    begins = prompt.startswith(processor.tokenizer.bos_token)
    image = Image.open(asked.picture.path).convert("RGB")
    inputs = processor(
        text=prompt, images=image, return_tensors="pt", add_special_tokens=not begins
    )
    inputs.pop("labels", None)
    return dict(inputs)


def by_hand(family: str) -> Callable[[Path, Question], dict[str, torch.Tensor]]:
    """Make one item's inputs from tokenizer and picture part, the picture's tokens by hand."""

    def make(directory: Path, asked: Question) -> dict[str, torch.Tensor]:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        image = Image.open(asked.picture.path).convert("RGB")
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
        content = [{"type": "image"}, {"type": "text", "text": asked.text}]
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

    def inputs(self, asked: Question) -> dict[str, torch.Tensor]:
        return self._make(self.directory, asked)

    @torch.no_grad()
    def closed(self, questions: Sequence[Question]) -> torch.Tensor:
        """Return log-probabilities of A … D, with or without a space, shape (questions, 4)."""
        vocabulary = self.tokenizer.get_vocab()
        bare, spaced = ([vocabulary[space + letter] for letter in "ABCD"] for space in ("", "Ġ"))
        rows = [self.model(**self.inputs(q)).logits[0, -1] for q in questions]
        logprobs = torch.log_softmax(torch.stack(rows), dim=-1)
        return torch.logaddexp(logprobs[:, bare], logprobs[:, spaced])

    def open(self, asked: Question) -> list[int]:
        """Return the new token ids."""
        inputs = self.inputs(asked)
        output = self.model.generate(**inputs, max_new_tokens=asked.max_new_tokens, do_sample=False)
        ids: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
        return ids

    def words(self, questions: Sequence[Question]) -> list[tuple[str, int, int]]:
        """Return text, prompt tokens and new tokens of every answer."""
        rows = [self.open(asked) for asked in questions]
        assert len({tuple(row) for row in rows}) > 1
        return [
            (
                self.tokenizer.decode(row, skip_special_tokens=True).strip(),
                self.inputs(asked)["input_ids"].shape[1],
                len(row),
            )
            for asked, row in zip(questions, rows, strict=True)
        ]


@pytest.fixture(scope="module")
def plain(family: str, pair: tuple[Path, Path]) -> Plain:
    return Plain(family, pair[0])


@pytest.fixture(scope="module")
def probe(questions: list[Question], open_questions: list[Question]) -> list[Question]:
    return asking.both_forms(questions[:3], open_questions[:3])


@pytest.fixture(scope="module")
def closed_reference(plain: Plain, questions: list[Question]) -> torch.Tensor:
    reference = plain.closed(questions)
    assert reference.std(dim=0).min() > 0.001  # the items differ by more than the tolerance
    return reference


@pytest.fixture(scope="module")
def open_reference(plain: Plain, open_questions: list[Question]) -> list[tuple[str, int, int]]:
    return plain.words(open_questions)


# --- what is proven -----------------------------------------------------------------------------


def test_what_the_self_check_proves(
    family: str, pair: tuple[Path, Path], probe: list[Question]
) -> None:
    adapter = loaded(pair[0])
    notes = prove(adapter, probe)
    abilities = adapter.abilities
    assert abilities.batch and abilities.stepwise
    assert abilities.share == (family not in NO_SHARED_PREFIX)
    assert adapter.inputs.uses_cache
    if abilities.share:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith(f"{type(adapter.model).__name__}: {NO_SHARED_PREFIX[family]}")
        assert note.endswith("every prompt is prefilled whole")


# --- closed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4])
def test_closed_probabilities_equal_a_plain_forward(
    pair: tuple[Path, Path],
    probe: list[Question],
    questions: list[Question],
    closed_reference: torch.Tensor,
    size: int,
) -> None:
    adapter = proven(pair[0], probe)
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, questions, size))
    assert (found - closed_reference).abs().max() < 1e-5
    assert adapter.work.since(before).forwards == -(-len(questions) // size)


def test_closed_probabilities_of_the_plain_path(
    pair: tuple[Path, Path], questions: list[Question], closed_reference: torch.Tensor
) -> None:
    adapter = loaded(pair[0])
    found = logprobs(asking.closed(adapter, questions, 4))
    assert (found - closed_reference).abs().max() < 1e-5
    assert adapter.work.forwards == len(questions)


def test_several_questions_about_one_picture(
    family: str, pair: tuple[Path, Path], plain: Plain, probe: list[Question], home: Path
) -> None:
    pictures = families.make_pictures(home / "pictures")[:3]
    asked = [
        question(picture, f"{text}\nA. red\nB. blue\nC. black\nD. white", 4)
        for picture in pictures
        for text in ("What?", "What colour is the square? " * 2, "What is shown in the picture?")
    ]
    adapter = proven(pair[0], probe)
    before = adapter.work.copy()
    found = logprobs(asking.closed(adapter, asked, len(asked)))
    reference = plain.closed(asked)
    assert (found - reference).abs().max() < 1e-5
    assert (reference[0] - reference[1]).abs().max() > 0.001, "the question counts"
    done = adapter.work.since(before)
    if family in NO_SHARED_PREFIX:
        assert (done.shared_tokens, done.forwards) == (0, 1)
    else:
        ids = [plain.inputs(one)["input_ids"][0].tolist() for one in asked]
        saved = [2 * common(*ids[start : start + 3]) for start in (0, 3, 6)]
        assert (done.shared_tokens, done.forwards) == (sum(saved), 2)
        assert min(saved) > 2 * 4, "the picture's tokens are among them"


def common(*prompts: list[int]) -> int:
    """Return how many tokens all prompts begin with, but for their own last."""
    columns = list(zip(*(prompt[:-1] for prompt in prompts), strict=False))
    return next((n for n, column in enumerate(columns) if len({*column}) > 1), len(columns))


def test_letters_are_read_where_the_processor_ends_the_prompt(
    home: Path, questions: list[Question], open_questions: list[Question]
) -> None:
    """After a space "A" is no token of its own, but PaliGemma's processor adds a new line."""
    directory = families.build_family("paligemma", home / "space")
    template = (directory / "chat_template.jinja").read_text()
    (directory / "chat_template.jinja").write_text(template + " ")
    reference = Plain("paligemma", directory).closed(questions)
    for adapter in (loaded(directory), proven(directory, [*questions[:3], *open_questions[:3]])):
        found = logprobs(asking.closed(adapter, questions, 4))
        assert (found - reference).abs().max() < 1e-5


def test_the_picture_counts(
    pair: tuple[Path, Path], questions: list[Question], probe: list[Question]
) -> None:
    same_words = [replace(q, text=questions[0].text, gold_index=0) for q in questions]
    for adapter in (loaded(pair[0]), proven(pair[0], probe)):
        assert logprobs(asking.closed(adapter, same_words, 1)).std(dim=0).min() > 0.001


# --- open ---------------------------------------------------------------------------------------


def steps_of(answers: Sequence[tuple[str, int, int]]) -> int:
    """Return the rows of decode forwards if none runs on after its answer's end."""
    return sum(tokens - 1 for *_, tokens in answers)


@pytest.mark.parametrize(("size", "slots"), [(1, 1), (2, 3), (4, 4)])
def test_open_text_equals_generate(
    pair: tuple[Path, Path],
    probe: list[Question],
    open_questions: list[Question],
    open_reference: list[tuple[str, int, int]],
    size: int,
    slots: int,
) -> None:
    """With fewer slots than items, so that rows end, leave and make room while others go on."""
    adapter = proven(pair[0], probe, slots=slots)
    before = adapter.work.copy()
    assert words(asking.opened(adapter, open_questions, size)) == open_reference
    assert adapter.work.since(before).row_steps == steps_of(open_reference)


def test_open_text_of_the_plain_path(
    pair: tuple[Path, Path],
    open_questions: list[Question],
    open_reference: list[tuple[str, int, int]],
) -> None:
    assert words(asking.opened(loaded(pair[0]), open_questions, 4)) == open_reference


@pytest.mark.parametrize(("size", "slots"), [(1, 1), (2, 3), (4, 4)])
def test_pairs_equal_closed_and_open(
    family: str,
    pair: tuple[Path, Path],
    probe: list[Question],
    questions: list[Question],
    open_questions: list[Question],
    closed_reference: torch.Tensor,
    open_reference: list[tuple[str, int, int]],
    size: int,
    slots: int,
) -> None:
    adapter = proven(pair[0], probe, slots=slots)
    before = adapter.work.copy()
    scored, answers = asking.paired(adapter, questions, open_questions, size)
    assert (logprobs(scored) - closed_reference).abs().max() < 1e-5
    assert words(answers) == open_reference
    done = adapter.work.since(before)
    assert done.row_steps == steps_of(open_reference)
    check_pairs_share(family, done, len(questions))


def check_pairs_share(family: str, done: Work, items: int) -> None:
    if family in NO_SHARED_PREFIX:
        assert done.shared_tokens == 0
    else:
        assert done.shared_tokens > 4 * items, "a picture's tokens are read once for both forms"


def test_pairs_of_the_plain_path(
    pair: tuple[Path, Path],
    questions: list[Question],
    open_questions: list[Question],
    closed_reference: torch.Tensor,
    open_reference: list[tuple[str, int, int]],
) -> None:
    adapter = loaded(pair[0])
    scored, answers = asking.paired(adapter, questions, open_questions, 4)
    assert (logprobs(scored) - closed_reference).abs().max() < 1e-5
    assert words(answers) == open_reference
    assert adapter.work.shared_tokens == 0


# --- from checkpoint to checkpoint --------------------------------------------------------------


def test_answers_are_right_even_where_batches_are_not(
    pair: tuple[Path, Path],
    plain: Plain,
    questions: list[Question],
    open_questions: list[Question],
    closed_reference: torch.Tensor,
    open_reference: list[tuple[str, int, int]],
) -> None:
    """Padding on the wrong side spoils batches; the self-check sees it and says so."""
    adapter = loaded(pair[0])
    adapter.inputs.tokenizer.padding_side = "right"
    adapter.abilities.batch = True
    found = logprobs(asking.closed(adapter, questions, 6))
    wrong = float((found - closed_reference).abs().max())
    notes = prove(adapter, [*questions[:3], *open_questions[:3]])
    spoiled = any("items are run one by one" in note for note in notes)
    assert spoiled == (wrong > 0.1)  # InternVL's processor pads left all the same
    assert adapter.abilities.batch != spoiled
    found = logprobs(asking.closed(adapter, questions, 6))
    assert (found - closed_reference).abs().max() < 1e-5
    assert words(asking.opened(adapter, open_questions[:3], 3)) == open_reference[:3]


def test_a_swap_in_place_is_bit_equal_to_a_fresh_load(
    pair: tuple[Path, Path],
    questions: list[Question],
    open_questions: list[Question],
    probe: list[Question],
) -> None:
    adapter = proven(pair[0], probe)
    before = {name: value.data_ptr() for name, value in adapter.model.named_parameters()}
    results = []
    for directory in (pair[1], pair[0]):
        adapter.load(directory)
        fresh = proven(directory, probe)
        assert adapter.abilities == fresh.abilities
        for ask in (
            lambda a: asking.paired(a, questions, open_questions, 4),
            lambda a: (asking.closed(a, questions, 4), asking.opened(a, open_questions, 4)),
        ):
            (scored, answers), (scored_fresh, answers_fresh) = ask(adapter), ask(fresh)
            assert logprobs(scored).equal(logprobs(scored_fresh))
            assert words(answers) == words(answers_fresh)
        results.append(logprobs(scored))
    assert {n: value.data_ptr() for n, value in adapter.model.named_parameters()} == before
    assert not results[0].equal(results[1])
