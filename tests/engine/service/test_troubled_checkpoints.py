"""Checkpoints that are broken, changed under way or not what they seem, on the real engine."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import families
import pytest
import tiny
from engine_run import ANSWERS, EngineRun, let_go_on, settings_for


def _spoil_weights(directory: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(directory / "model.safetensors")
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def _drop_processor(directory: Path) -> None:
    for pattern in ("processor_config.json", "token*", "*.jinja"):
        for file in directory.glob(pattern):
            file.unlink()


def _make_text_model(directory: Path) -> None:
    config = {"model_type": "bert", "architectures": ["BertModel"]}
    (directory / "config.json").write_text(json.dumps(config))


def _truncate(directory: Path) -> None:
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1204])


@pytest.fixture(scope="session")
def spoiled(
    tmp_path_factory: pytest.TempPathFactory, checkpoints: list[Path], suite: Any
) -> EngineRun:
    """A run over four broken checkpoints and a good one."""
    place = tmp_path_factory.mktemp("spoiled")
    watched = place / "run"
    faults = {1: _spoil_weights, 2: _drop_processor, 3: _make_text_model, 4: _truncate}
    for step, spoil in faults.items():
        spoil(tiny.save_checkpoint(watched / f"checkpoint-{step}", step, seed=step, save_steps=1))
    tiny.save_checkpoint(watched / "checkpoint-5", 5, seed=5, save_steps=1)
    run = EngineRun(
        settings_for(place, suite, checkpoint_dir=str(watched), drain=True), forked=True
    )
    assert run.finish() == 0, run.output()
    return run


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (1, "NaN or infinite weights"),
        (2, "no usable processor"),
        (3, "is not a model that this engine can load"),
        (4, "1,204 bytes short of its header"),
    ],
)
def test_a_broken_checkpoint_fails_with_its_reason_and_the_rest_goes_on(
    spoiled: EngineRun, step: int, words: str
) -> None:
    [(state, reason, checkpoint_id)] = spoiled.query(
        "SELECT state, reason, id FROM checkpoints WHERE step = ?", step
    )
    assert state == "failed"
    assert words in reason
    events = spoiled.query(
        "SELECT message FROM events WHERE checkpoint_id = ? AND level = 'error'", checkpoint_id
    )
    assert any(words in message for (message,) in events)
    assert spoiled.query("SELECT state FROM checkpoints WHERE step = 5") == [("done",)]
    scored = spoiled.query(
        "SELECT count(*) FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
        " WHERE e.checkpoint_id = ?",
        checkpoint_id,
    )
    assert scored == [(0,)], "no value is invented"


def test_a_letter_that_is_not_one_token_fails_the_closed_evaluation_alone(
    tmp_path: Path, suite: Any, gold: Any
) -> None:
    watched = tmp_path / "run"
    directory = tiny.save_checkpoint(watched / "checkpoint-1", 1, save_steps=1)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {
        "type": "Replace",
        "pattern": {"Regex": "B$"},
        "content": "bb",
    }
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    run = EngineRun(
        settings_for(tmp_path, suite, gold, checkpoint_dir=str(watched), drain=True), forked=True
    )
    assert run.finish() == 0, run.output()
    [(state, reason)] = run.query("SELECT state, reason FROM checkpoints")
    assert state == "failed"
    assert "'B' is not one token" in reason
    evaluations = "SELECT state, done, reason FROM evaluations WHERE mode = ?"
    [(state, done, reason)] = run.query(evaluations, "closed")
    assert (state, done) == ("failed", 0)
    assert "'B' is not one token" in reason
    for mode, items in (("open", 24), ("gold", 32)):
        assert run.query(evaluations, mode) == [("done", items, None)]
    told = run.query("SELECT message FROM events WHERE level = 'error'")
    assert [("step 1 closed failed" in text, "'B'" in text) for (text,) in told] == [(True, True)]

    # written anew while no engine was there: the open answers of the old weights do not count
    shutil.rmtree(directory)
    tiny.save_checkpoint(directory, 1, seed=5, save_steps=1)
    second = EngineRun(run.settings, forked=True)
    assert second.finish() == 0, second.output()
    states = second.query("SELECT state FROM checkpoints ORDER BY id")
    assert states == [("failed",), ("done",)]
    answers = "SELECT answer FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
    answers += " WHERE mode = 'open' AND checkpoint_id = ? ORDER BY item_id"
    assert second.query(answers, 1) != second.query(answers, 2)
    assert len(second.query(answers, 2)) == 24


def test_weights_that_are_rewritten_in_place_under_the_pin_do_not_stand(
    tmp_path: Path, suite: Any, checkpoints: list[Path]
) -> None:
    """The pinned file is the writer's own: what it writes there is what workers read."""
    watched = tmp_path / "run"
    directory = tiny.save_checkpoint(watched / "checkpoint-10", 10, seed=1)
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), batch_size=1, every=1),
        forked=True,
        hold_after=1,
    )
    held = run.wait_until_held()
    new = (checkpoints[1] / "model.safetensors").read_bytes()
    with (directory / "model.safetensors").open("r+b") as file:
        file.write(new)
    let_go_on(held)
    run.wait("SELECT count(*) = 2 FROM checkpoints WHERE state IN ('done', 'failed')")
    (first, why), (second, _) = run.query("SELECT state, reason FROM checkpoints ORDER BY id")
    assert (first, second) == ("failed", "done")
    assert "written to while it was scored" in why
    told = "SELECT level FROM events WHERE message LIKE 'step 10 failed: its files were written%'"
    assert run.query(told) == [("error",)]
    states = run.query("SELECT DISTINCT state FROM trajectory WHERE step = 10")
    assert states == [("done",)]  # the second look's
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0


def test_adapters_are_scored_on_the_base_that_the_run_names(tmp_path: Path, suite: Any) -> None:
    """Two adapters on one base give other scores; one for a base that is nowhere is refused."""
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForImageTextToText

    base = tiny.save_checkpoint(tmp_path / "base", 0)
    watched = tmp_path / "run"
    for step in (1, 2):
        torch.manual_seed(step)
        model = AutoModelForImageTextToText.from_pretrained(base)
        config = peft.LoraConfig(target_modules=["q_proj", "o_proj"], init_lora_weights=False)
        directory = watched / f"checkpoint-{step}"
        peft.get_peft_model(model, config).save_pretrained(directory)
        settings = json.loads((directory / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = "org/somewhere"
        (directory / "adapter_config.json").write_text(json.dumps(settings))
    lost = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), drain=True), forked=True
    )
    assert lost.finish() == 0, lost.output()
    for state, reason in lost.query("SELECT state, reason FROM checkpoints"):
        assert state == "failed"
        assert "'org/somewhere', which is no directory here" in reason
        assert "--base" in reason
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), drain=True, base=str(base)),
        forked=True,
    )
    assert run.finish() == 0, run.output()
    assert run.query("SELECT state, reason FROM checkpoints") == [("done", None)] * 2
    rows = run.query(ANSWERS)
    first, second = ([row[2:] for row in rows if row[0] == step] for step in (1, 2))
    assert len(first) == len(second) == 48
    assert first != second


def test_what_every_worker_finds_out_is_told_once(tmp_path: Path, suite: Any) -> None:
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        pytest.skip("with torchvision there is nothing to tell")
    watched = tmp_path / "run"
    watched.mkdir()
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), devices="cpu:2", batch_size=2),
        forked=True,
    )
    run.wait("SELECT count(*) = 2 FROM workers WHERE state = 'ready'")
    families.build_family("qwen2_5_vl", tmp_path / "aside").rename(watched / "checkpoint-10")
    run.wait("SELECT state = 'done' FROM checkpoints")
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0, run.output()
    assert run.query("SELECT count(DISTINCT worker_id) FROM predictions") == [(2,)]
    told = run.query("SELECT level, kind FROM events WHERE message LIKE '%wants torchvision%'")
    assert told == [("warning", "model")]
