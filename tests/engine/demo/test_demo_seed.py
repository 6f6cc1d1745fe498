"""The lessons that the seed was taught with, and what the committed seed can and can't do."""

from __future__ import annotations

import random
from collections import Counter

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("easy_vqa")
pytest.importorskip("sklearn")
pytest.importorskip("vega_datasets")

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from ctv_engine.demo import seed_directory
from ctv_engine.demo.batches import Lesson, by_length
from ctv_engine.demo.data import build_parts
from ctv_engine.demo.examples import DATASETS, Example
from ctv_engine.demo.facts import fact_ids, picture_vectors
from ctv_engine.demo.language import text_accuracy
from ctv_engine.demo.lessons import (
    Asked,
    Course,
    asked_by_dataset,
    batches,
    list_lesson,
    match_lesson,
    pick_lesson,
)
from ctv_engine.demo.model import IMAGE, IMAGE_TOKENS, build_model, load
from ctv_engine.demo.seed import SEED
from ctv_engine.suite import LETTERS

Seed = tuple[LlavaForConditionalGeneration, LlavaProcessor]
RED_CIRCLE = Asked(
    Example("yesno", 0, "is there a circle?", "yes", (("no",),)), ("red", "circle", "top"), ()
)


@pytest.fixture(scope="module")
def seed() -> Seed:
    return load(seed_directory())


@pytest.fixture(scope="module")
def held_out(seed: Seed) -> dict[str, list[Asked]]:
    """Return the questions of the paired suite, with the facts of their pictures."""
    return asked_by_dataset(seed[1], build_parts(0)[0])


@pytest.mark.parametrize("dataset", [dataset.name for dataset in DATASETS])
def test_seed_looks_answers_up_from_facts(
    seed: Seed, held_out: dict[str, list[Asked]], dataset: str
) -> None:
    torch.manual_seed(0)
    assert text_accuracy(*seed, held_out[dataset], closed=True, blur=0.2) >= 0.85


def test_seed_has_no_link_between_eyes_and_words(seed: Seed) -> None:
    model, processor = seed
    untrained = build_model(processor.tokenizer, SEED).model.multi_modal_projector.state_dict()
    for name, weights in model.model.multi_modal_projector.state_dict().items():
        torch.testing.assert_close(weights, untrained[name], rtol=0, atol=0)


def test_facts_are_single_tokens_in_both_forms(seed: Seed) -> None:
    _, processor = seed
    tokens = fact_ids(processor, ["red", "7"])
    assert processor.tokenizer.convert_ids_to_tokens(tokens) == ["red", "Ġred", "7", "Ġ7"]
    with pytest.raises(ValueError, match="'purple' is"):
        fact_ids(processor, ["purple"])


def test_clean_vectors_are_marker_and_facts() -> None:
    torch.manual_seed(0)
    table = torch.randn(8, 12)
    vectors = picture_vectors(table, table[7], [[1, 2, 3, 4], [5, 6]], blur=0.0)
    assert vectors.shape == (2, IMAGE_TOKENS, 12)
    one, other = table[1:3].mean(dim=0), table[3:5].mean(dim=0)
    sums = torch.stack([torch.zeros(12), one, other, one + other])
    for place in vectors[0] - table[7]:
        assert min((place - wanted).abs().max() for wanted in sums) < 1e-5


def test_blur_moves_vectors_off_the_facts() -> None:
    torch.manual_seed(0)
    table = torch.randn(8, 12)
    distances = []
    for blur in (0.0, 0.5, 1.0):
        vectors = picture_vectors(table, table[7], [[1, 2]] * 200, blur)
        clean = torch.stack([table[7], table[7] + table[1:3].mean(dim=0)])
        distances.append(float(torch.cdist(vectors.flatten(0, 1), clean).amin(dim=1).mean()))
    assert distances[0] < 1e-5
    assert distances[0] < distances[1] < distances[2]


def answered(lesson: Lesson) -> list[tuple[str, str]]:
    """Return what precedes each learnt part, and the part."""
    return list(zip(lesson.parts[::2], lesson.parts[1::2], strict=True))


def options_of(text: str) -> dict[str, str]:
    lines = [line for line in text.split("\n") if line[1:3] == ". "]
    return {line[0]: line[3:] for line in lines}


def test_list_lessons_ask_for_the_letter_of_a_word() -> None:
    lesson = list_lesson(random.Random(0), ["red", "blue", "teal", "gray", "green"])
    options = options_of(lesson.parts[0])
    assert list(options) == list(LETTERS[:4])
    for before, letter in answered(lesson):
        assert before.endswith(f" {options[letter]}")


def test_pick_lessons_have_one_true_option() -> None:
    for number in range(20):
        lesson = pick_lesson(RED_CIRCLE, random.Random(number))
        ((before, letter),) = answered(lesson)
        assert before.startswith(IMAGE)
        true = [key for key, word in options_of(before).items() if word in RED_CIRCLE.facts]
        assert true == [letter]


def test_match_lessons_say_what_is_true() -> None:
    said: Counter[str] = Counter()
    for number in range(20):
        lesson = match_lesson(RED_CIRCLE, random.Random(number))
        options = options_of(lesson.parts[0])
        for before, answer in answered(lesson):
            word = before.split()[-1]
            answer = options.get(answer, answer)
            assert answer == ("yes" if word in RED_CIRCLE.facts else "no")
            said[answer] += 1
    assert said["yes"] == 40


def test_lessons_of_a_course_take_turns(seed: Seed, held_out: dict[str, list[Asked]]) -> None:
    course = Course(((2, ("words",)), (3, ("open", "list"))), 1e-3, None, 0.0)
    drawn = list(batches(held_out, course, random.Random(0), seed[1]))
    assert [bool(tokens) for _, tokens in drawn] == [False, False, True, False, True]
    assert course.steps() == len(drawn)


def test_short_lessons_are_kept_apart_from_long_ones() -> None:
    lessons = [Lesson(("x" * size, "y")) for size in (9, 1, 7, 3, 5)]
    assert by_length(lessons, 2) == [[1, 3, 4], [2, 0]]
