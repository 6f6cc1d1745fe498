"""Cloze scores against plain forwards of transformers over prompt and option, one at a time."""

from __future__ import annotations

from pathlib import Path

import families
import pytest
import torch
from adapting import Plain
from asking import loaded, prove, question
from PIL import Image

from ctv_engine.models.answers import Unanswered
from ctv_engine.models.cloze import ClozeScore, cloze
from ctv_engine.models.inputs import Question
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import TransformersAdapter

torch.set_num_threads(1)

BETWEEN = {"llava": " ", "idefics3": " ", "gemma3": ""}
"""What stands between the family's prompt and an answer."""
OPTIONS = (
    ("red", "red and blue", "black", "a red square on white"),
    ("What is shown", "What is", "one"),
    ("7", "71"),
)
KEYS = (3, 0, 1)


@pytest.fixture(scope="module", params=BETWEEN)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def directory(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.build_family(family, tmp_path_factory.mktemp(family) / "checkpoint-1", 0)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[Question]:
    """Three questions of different length; two about one picture."""
    first, second, *_ = families.make_pictures(tmp_path_factory.mktemp("pictures"))
    texts = ("What colour is the square?", "What is shown in the picture? " * 3, "What?")
    pictures = (first, second, first)
    return [question(p, text, cap=4) for p, text in zip(pictures, texts, strict=True)]


@pytest.fixture(scope="module")
def expected(directory: Path, family: str, questions: list[Question]) -> list[list[float]]:
    """Whole forwards over prompt and option, tokenised in one piece by the processor."""
    plain = Plain(directory)
    found: list[list[float]] = []
    for asked, options in zip(questions, OPTIONS, strict=True):
        before = plain.inputs(asked)["input_ids"].shape[1]
        rows = []
        for option in options:
            inputs = whole(plain, asked, BETWEEN[family] + option)
            with torch.no_grad():
                logits = plain.model(**inputs).logits[0].double()
            ids = inputs["input_ids"][0]
            steps = torch.log_softmax(logits[before - 1 : -1], dim=-1)
            total = steps.gather(1, ids[before:].unsqueeze(1)).sum()
            rows.append(float(total) / len(option))
        found.append(rows)
    return found


def whole(plain: Plain, asked: Question, answer: str) -> dict[str, torch.Tensor]:
    content = [{"type": "image"}, {"type": "text", "text": asked.text}]
    prompt = plain.processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    image = Image.open(asked.picture.path).convert("RGB")
    made = plain.processor(text=prompt + answer, images=image, return_tensors="pt")
    return dict(made)


def scored(
    adapter: TransformersAdapter, questions: list[Question], rows: int
) -> list[ClozeScore | Unanswered]:
    return cloze(adapter, adapter.prepare(questions, rows), OPTIONS, KEYS, Trace())


@pytest.mark.parametrize("rows", [1, 3])
def test_an_option_is_as_probable_as_in_a_forward_of_its_own(
    family: str,
    directory: Path,
    questions: list[Question],
    expected: list[list[float]],
    rows: int,
) -> None:
    adapter = loaded(directory)
    written = scored(adapter, questions, rows)
    prove(adapter, [*questions, question(questions[0].picture.path, "What is shown?", 2)])
    assert adapter.abilities.share == (family != "gemma3")
    before = adapter.work.copy()
    forked = scored(adapter, questions, rows)
    forwards = adapter.work.copy().since(before).forwards
    for outcomes in (written, forked):
        for outcome, values, key in zip(outcomes, expected, KEYS, strict=True):
            assert isinstance(outcome, ClozeScore)
            assert outcome.per_character == pytest.approx(values, abs=1e-5)
            assert outcome.correct == (values.index(max(values)) == key)
    if family != "gemma3":  # a picture's beginning, the prompts' ends, the options
        assert forwards == {1: 2 * 3, 3: 3}[rows]
