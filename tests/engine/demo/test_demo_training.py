"""The demo's model, its committed seed, and the checkpoints that training writes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from ctv_engine.demo import seed_directory
from ctv_engine.demo.batches import make_batch, pixel_values, question_lesson
from ctv_engine.demo.checkpoint import TrainerState, checkpoints
from ctv_engine.demo.data import PICTURES_FILE, QUESTIONS_FILE
from ctv_engine.demo.examples import DATASETS, Example
from ctv_engine.demo.model import build_model, build_processor, load, train_tokenizer
from ctv_engine.demo.train import Plan, learning_rate_factor, plan_steps, rate_scale, train
from ctv_engine.suite import LETTERS, closed_text

CHECKPOINT_FILES = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "chat_template.jinja",
    "tokenizer_config.json",
    "tokenizer.json",
    "processor_config.json",
    "trainer_state.json",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a training set of two pictures, one red and one blue, asked about in all datasets."""
    directory = tmp_path_factory.mktemp("train")
    pictures = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    pictures[0, ..., 0] = 255
    pictures[1, ..., 2] = 255
    np.save(directory / PICTURES_FILE, pictures)
    rows = [
        {
            "dataset": dataset.name,
            "picture": picture,
            "question": "what color is it?",
            "answer": answer,
            "distractor_sets": [[other]],
        }
        for dataset in DATASETS
        for picture, (answer, other) in enumerate((("red", "blue"), ("blue", "red")))
    ]
    (directory / QUESTIONS_FILE).write_text("\n".join(map(json.dumps, rows)) + "\n")
    return directory


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a saved model that was never trained."""
    directory = tmp_path_factory.mktemp("untrained")
    texts = ["what color is it?", " red", "red", " blue", "blue", "user\nassistant\n"] * 3
    processor = build_processor(train_tokenizer(texts))
    model = build_model(processor.tokenizer, seed=0)
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def run(data: Path, model: Path, out: Path, *, steps: int, every: int) -> TrainerState:
    return train(
        data,
        model,
        out,
        seconds=600,
        checkpoints_wanted=2,
        save_total_limit=2,
        plan=Plan(max_steps=steps, save_steps=every),
    )


def test_committed_seed_is_an_ordinary_checkpoint() -> None:
    directory = seed_directory()
    assert sum(file.stat().st_size for file in directory.iterdir()) <= 3_000_000
    model = AutoModelForImageTextToText.from_pretrained(directory)
    processor = AutoProcessor.from_pretrained(directory)
    assert model.num_parameters() < 1_000_000
    assert processor.tokenizer.padding_side == "left"
    generation = json.loads((directory / "generation_config.json").read_text())
    assert generation["eos_token_id"] == processor.tokenizer.eos_token_id
    assert generation["pad_token_id"] == processor.tokenizer.pad_token_id


def test_letters_are_single_tokens_after_the_prompt() -> None:
    processor = AutoProcessor.from_pretrained(seed_directory())
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "why?"}]}
    prompt = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    before = processor.tokenizer(prompt, add_special_tokens=False).input_ids
    seen = set()
    for letter in LETTERS:
        after = processor.tokenizer(prompt + letter, add_special_tokens=False).input_ids
        assert after[:-1] == before
        seen.add(after[-1])
    assert len(seen) == len(LETTERS)


def test_training_prompts_are_those_of_the_evaluation(data: Path, untrained: Path) -> None:
    _, processor = load(untrained)
    example = Example("colour", 0, "what color is it?", "red", (("blue", "gray", "teal"),))
    item = example.closed_item(random.Random(7))
    lesson = question_lesson(processor, example, True, random.Random(7))
    picture = np.load(data / PICTURES_FILE)[0]
    message = {
        "role": "user",
        "content": [
            {"type": "image", "image": picture},
            {"type": "text", "text": closed_text(item)},
        ],
    }
    asked = processor.apply_chat_template(
        [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    batch = make_batch(processor, [lesson])
    prompt = batch.input_ids[batch.labels < 0]
    assert prompt.tolist() == asked["input_ids"][0].tolist()
    assert item.gold_index is not None
    answer = processor.tokenizer.convert_tokens_to_ids(LETTERS[item.gold_index])
    assert batch.labels[batch.labels >= 0].tolist() == [answer, processor.tokenizer.eos_token_id]
    torch.testing.assert_close(pixel_values(picture[None], [0]), asked["pixel_values"])


def test_checkpoints_are_whole_ordered_and_rotated(
    data: Path, untrained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    state = run(data, untrained, out, steps=6, every=2)
    assert [path.name for path in checkpoints(out)] == ["checkpoint-4", "checkpoint-6"]
    for path in checkpoints(out):
        assert {file.name for file in path.iterdir()} == set(CHECKPOINT_FILES)
        times = [(path / name).stat().st_mtime_ns for name in CHECKPOINT_FILES]
        assert times[-1] == max(times)
        assert max(times[:2]) <= times[2]
        AutoModelForImageTextToText.from_pretrained(path)
        AutoProcessor.from_pretrained(path)
    saved = json.loads((checkpoints(out)[-1] / "trainer_state.json").read_text())
    assert (saved["global_step"], saved["max_steps"], saved["save_steps"]) == (6, 6, 2)
    assert saved["save_total_limit"] == 2
    assert [entry["step"] for entry in saved["log_history"]] == [2, 4, 6]
    assert state.global_step == 6


def test_loss_falls(data: Path, untrained: Path, tmp_path: Path) -> None:
    state = run(data, untrained, tmp_path / "run", steps=24, every=8)
    losses = [entry["loss"] for entry in state.log_history]
    assert losses[-1] < 0.8 * losses[0]


def test_same_seed_same_weights(data: Path, untrained: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(data, untrained, tmp_path / name, steps=2, every=2)
    one, two = ((tmp_path / n / "checkpoint-2/model.safetensors") for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_second_run_does_not_overwrite_the_first(
    data: Path, untrained: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(FileExistsError, match="already holds checkpoints"):
        run(data, untrained, tmp_path, steps=2, every=2)


@pytest.mark.parametrize(
    ("remaining_s", "step_s", "wanted", "most_s"),
    [
        (200.0, 0.3, 12, 200.0),
        (50.0, 0.3, 12, 50.0),
        (1190.0, 0.3, 12, 1190.0),
        (3.0, 1.0, 12, 10.0),
    ],
)
def test_plan_fits_the_budget(
    remaining_s: float, step_s: float, wanted: int, most_s: float
) -> None:
    done = 8
    plan = plan_steps(remaining_s, step_s, done, wanted)
    assert plan.max_steps % plan.save_steps == 0
    assert plan.save_steps >= done
    assert (plan.max_steps - done) * step_s <= most_s
    assert plan.max_steps // plan.save_steps <= wanted


def test_learning_rate_warms_up_and_stays_positive() -> None:
    factors = [learning_rate_factor(place / 100) for place in range(101)]
    assert factors[0] < 0.05
    assert 0.9 < max(factors) <= 1.0
    assert min(factors) > 0


@pytest.mark.parametrize(
    ("max_steps", "scale"), [(0, 1.0), (600, 1.0), (400, 1.5), (100, 2.5), (750, 0.8), (9000, 0.6)]
)
def test_fewer_steps_are_larger(max_steps: int, scale: float) -> None:
    assert rate_scale(max_steps) == pytest.approx(scale)


def test_sigterm_ends_training_cleanly(data: Path, untrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "-m", "ctv_engine.demo.train"),
            *("--data", str(data), "--seed-model", str(untrained), "--out", str(out)),
            *("--seconds", "60", "--checkpoints", "30"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("step ")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped at step" in rest
    assert all((path / "trainer_state.json").is_file() for path in checkpoints(out))


def test_missing_input_is_one_line(tmp_path: Path) -> None:
    process = subprocess.run(
        [
            *(sys.executable, "-m", "ctv_engine.demo.train"),
            *(
                "--data",
                str(tmp_path),
                "--seed-model",
                str(tmp_path),
                "--out",
                str(tmp_path / "run"),
            ),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert process.returncode == 2
    assert "no model.safetensors" in process.stderr
    assert "Traceback" not in process.stderr
