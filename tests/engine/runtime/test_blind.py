"""Hiding parts of the question from a real, tiny checkpoint."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from PIL import Image

from ctv_engine.models.cached_images import Picture
from ctv_engine.models.inputs import Question
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import TransformersAdapter
from ctv_engine.runtime.answering import WorkerSettings, closed_result, on_device
from ctv_engine.runtime.blind import GREY, WAYS, GreyPictures, ask_blind, options_text
from ctv_engine.runtime.messages import ItemResult
from ctv_engine.suite import Dataset, DraftItem, closed_text, read_suite, write_suite

SETTINGS = WorkerSettings("cpu:0", "float32", None, batch_tokens=512)
Found = dict[str, dict[tuple[str, str], ItemResult]]


def png(size: tuple[int, int], colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def blind_suite(directory: Path) -> Any:
    """Items ``picture-…`` differ in the picture alone, ``question-…`` in the question alone."""
    red, blue = png((40, 30), (250, 0, 0)), png((40, 30), (0, 0, 250))
    asked = {
        "picture-1": ("Which colour?", red),
        "picture-2": ("Which colour?", blue),
        "question-1": ("How dark is it?", red),
        "question-2": ("Which colour is the square please?", red),
    }
    options = ("red", "green", "blue")
    drafts = [DraftItem("d", k, q, i, ("red",), options, 0) for k, (q, i) in asked.items()]
    write_suite(
        directory, name="s", kind="paired", datasets=[Dataset("d", "exact_match", 4)], items=drafts
    )
    head = (directory / "suite.toml").read_text()
    kept = head.replace('kind = "paired"', 'kind = "paired"\noption_order = "file"')
    (directory / "suite.toml").write_text(kept)
    return read_suite(directory)


def ask(checkpoint: Path, suite: Any) -> Found:
    ways = ask_blind(checkpoint, suite, SETTINGS, 3)
    return {way.way: {one.key: one for one in way.results} for way in ways}


@pytest.fixture(scope="module")
def asked(checkpoints: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Found]:
    suite = blind_suite(tmp_path_factory.mktemp("blind") / "suite")
    return suite, ask(checkpoints[0], suite)


def same(found: Found, way: str, one: str, other: str) -> bool:
    first, second = found[way]["d", one], found[way]["d", other]
    assert first.option_logprobs is not None and second.option_logprobs is not None
    return first.option_logprobs == pytest.approx(second.option_logprobs, abs=1e-5)


def test_what_is_hidden_makes_no_difference_and_what_is_seen_does(asked: tuple[Any, Found]) -> None:
    _, found = asked
    assert tuple(found) == WAYS
    pictures, questions = ("picture-1", "picture-2"), ("question-1", "question-2")
    expected = {
        "everything": (False, False),
        "no-image": (True, False),
        "no-question": (False, True),
        "options-only": (True, True),
    }
    told = {way: (same(found, way, *pictures), same(found, way, *questions)) for way in found}
    assert told == expected


def test_with_everything_the_answers_are_those_of_a_run(
    asked: tuple[Any, Found], checkpoints: list[Path]
) -> None:
    suite, found = asked
    adapter = TransformersAdapter(on_device("cpu:0"), "float32")
    adapter.load(checkpoints[0])
    for item in suite.items:
        picture = Picture(suite.image_path(item), item.image_digest)
        plain = Question(picture, closed_text(item), len(item.options), item.gold_index)
        (answer,) = adapter.closed(adapter.prepare([plain], 1), Trace())
        result, blind = closed_result(item, answer), found["everything"][item.dataset, item.key]
        assert blind.option_logprobs == pytest.approx(result.option_logprobs, abs=1e-4)
        assert blind.prompt_tokens == result.prompt_tokens


def test_a_hidden_picture_takes_as_many_tokens(asked: tuple[Any, Found]) -> None:
    _, found = asked
    for key, result in found["everything"].items():
        assert found["no-image"][key].prompt_tokens == result.prompt_tokens
        shorter = found["no-question"][key].prompt_tokens
        assert shorter is not None and result.prompt_tokens is not None
        assert shorter < result.prompt_tokens


def test_a_hidden_question_leaves_options_and_instruction(asked: tuple[Any, Found]) -> None:
    suite, _ = asked
    assert {options_text(item) for item in suite.items} == {
        "A. red\nB. green\nC. blue\nAnswer with the option's letter."
    }


def test_a_grey_picture_has_the_size_of_the_one_that_it_hides(tmp_path: Path) -> None:
    grey = GreyPictures(tmp_path)
    made = []
    for number, size in enumerate([(7, 9), (9, 7), (7, 9)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(size, (number, 2, 3)))
        hidden = grey.instead_of(Picture(path, str(number)))
        with Image.open(hidden.path) as image:
            assert image.size == size
            assert image.getcolors() == [(size[0] * size[1], GREY)]
        made.append(hidden)
    assert made[0] == made[2]
    assert made[0].digest != made[1].digest


def test_a_broken_picture_costs_its_item_alone_in_every_way(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    suite = blind_suite(tmp_path / "suite")
    name = "d", "picture-2"
    (item,) = (item for item in suite.items if (item.dataset, item.key) == name)
    found = ask(checkpoints[0], tiny.with_broken_picture(suite, item))
    for way in WAYS:
        missing = {key: one.reason for key, one in found[way].items() if one.correct is None}
        assert missing.keys() == {name}
        assert "can't be decoded" in str(missing[name])
    shutil.rmtree(tmp_path / "suite")
