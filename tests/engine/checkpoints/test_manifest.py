"""A trainer's own word that a checkpoint is whole: the file and the callback that writes it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny
from watched import Run

from ctv_engine.checkpoints.completeness import inspect
from ctv_engine.checkpoints.manifest import (
    MANIFEST_FILE,
    Manifest,
    ManifestError,
    mark_complete,
    read_manifest,
)


def test_a_marked_checkpoint_needs_no_quiet_period(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = run.save(10)
    mark_complete(path, 10)
    run.poll(1)
    assert run.kinds(10) == ["found", "ready"]
    pin = run.only("ready").pin
    assert pin is not None and not (pin.directory / MANIFEST_FILE).exists()


def test_the_manifest_names_every_file_and_its_bytes(tmp_path: Path) -> None:
    path = tiny.bare_checkpoint(tmp_path / "checkpoint-10", 10)
    (path / "sub").mkdir()
    (path / "sub" / "x.bin").write_bytes(b"123")
    mark_complete(path, 10)
    found = read_manifest(path)
    sizes = {
        p.relative_to(path).as_posix(): p.stat().st_size for p in path.rglob("*") if p.is_file()
    }
    del sizes[MANIFEST_FILE]
    assert found == Manifest(10, sizes)
    assert found.files["sub/x.bin"] == 3
    mark_complete(path, 10)
    assert read_manifest(path) == found


CHANGES = {
    "a file is gone": (lambda p: (p / "config.json").unlink(), "config.json is missing, which"),
    "a file is short": (
        lambda p: os.truncate(p / "model.safetensors", 20),
        "model.safetensors has 20 bytes, complete.json says",
    ),
    "another step": (
        lambda p: (p / MANIFEST_FILE).write_text('{"format": 1, "step": 20, "files": {"a": 1}}'),
        "complete.json is of step 20",
    ),
    "cut": (lambda p: (p / MANIFEST_FILE).write_text('{"form'), "complete.json is not whole"),
    "another format": (lambda p: (p / MANIFEST_FILE).write_text("{}"), "not of format 1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_manifest_does_not_bear_out_is_not_whole(name: str, tmp_path: Path) -> None:
    change, reason = CHANGES[name]
    path = tiny.bare_checkpoint(tmp_path / "checkpoint-10", 10)
    mark_complete(path, 10)
    assert inspect(path, 10).verdict == "whole"
    change(path)
    found = inspect(path, 10)
    assert found.verdict == "writing"
    assert reason in (found.reason or "")


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 1, "step": "10", "files": {"a": 1}}',
        '{"format": 1, "step": 10, "files": {}}',
        '{"format": 1, "step": 10, "files": {"a": -1}}',
        "[]",
    ],
)
def test_a_manifest_that_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(ManifestError, match=MANIFEST_FILE):
        read_manifest(tmp_path)


def test_an_empty_directory_can_not_be_complete(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing there"):
        mark_complete(tmp_path, 1)


def test_the_real_trainer_marks_its_checkpoints(tmp_path: Path, checkpoints: list[Path]) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, Trainer, TrainingArguments

    from ctv_engine.checkpoints.callback import MarkComplete

    torch.set_num_threads(1)
    model = AutoModelForImageTextToText.from_pretrained(checkpoints[0])
    rows = [{"input_ids": [5, 6, 7, 8], "labels": [5, 6, 7, 8]}] * 4
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"),
        max_steps=4,
        save_steps=2,
        save_total_limit=1,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,  # type: ignore[arg-type]
        callbacks=[MarkComplete()],
    ).train()
    (last,) = (tmp_path / "run").glob("checkpoint-*")
    found = read_manifest(last)
    assert found is not None and found.step == 4
    assert {"config.json", "model.safetensors", "trainer_state.json"} <= found.files.keys()
    assert json.loads((last / "trainer_state.json").read_text())["global_step"] == 4
    inspected = inspect(last, 4)
    assert (inspected.verdict, inspected.marked) == ("whole", True)
