"""From checkpoint to checkpoint on one adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import asking
import pytest
import tiny
from adapting import (
    closed_logprobs,
    copy_of,
    edit_json,
    proven,
)
from asking import loaded, with_cap, words

from ctv_engine.models.inputs import Question
from ctv_engine.models.transformers_adapter import TransformersAdapter


def addresses(adapter: TransformersAdapter) -> dict[str, int]:
    return {name: p.data_ptr() for name, p in adapter.model.named_parameters()}


def everything(
    adapter: TransformersAdapter, closed: list[Question], open_: list[Question]
) -> tuple[object, ...]:
    texts = words(asking.opened(adapter, with_cap(open_, 4), 8))
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


def test_what_was_proven_stays_proven_through_a_swap(
    checkpoints: list[Path], probe: list[Question], tmp_path: Path
) -> None:
    adapter = proven(checkpoints[0], probe)
    epoch = adapter.epoch
    adapter.load(checkpoints[1])
    assert adapter.abilities.checked and adapter.abilities.share
    assert adapter.epoch == epoch, "inputs that were prepared before still fit"
    other = copy_of(checkpoints[1], tmp_path)
    edit_json(other / "config.json", tie_word_embeddings=True, projector_hidden_act="relu")
    adapter.load(other)
    assert not adapter.abilities.checked and not adapter.abilities.batch
    assert adapter.epoch > epoch


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
