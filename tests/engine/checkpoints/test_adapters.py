"""Checkpoints that hold only an adapter: when they are whole, and which base they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from ctv_engine.checkpoints.completeness import inspect
from ctv_engine.checkpoints.pin import pin, still_holds
from ctv_engine.checkpoints.watch import Watcher

STEP = 10


def adapter_checkpoint(directory: Path, base: object, step: int = STEP, seed: int = 0) -> Path:
    """Write what the Trainer leaves of a model with an adapter, in its order."""
    directory.mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 4}
    for name, content in (
        ("README.md", b"# card"),
        ("adapter_model.safetensors", tiny.safetensors_bytes(seed=seed)),
        ("adapter_config.json", json.dumps(config).encode()),
        ("tokenizer.json", b"{}"),
        ("training_args.bin", b"args"),
        ("optimizer.pt", b"moments"),
        ("trainer_state.json", json.dumps({"global_step": step, "save_steps": 10}).encode()),
    ):
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.bare_checkpoint(tmp_path / "base", 0)


@pytest.fixture
def directory(tmp_path: Path, base: Path) -> Path:
    return adapter_checkpoint(tmp_path / "run" / f"checkpoint-{STEP}", str(base))


def test_an_adapter_with_its_base_here_is_whole(directory: Path, base: Path) -> None:
    found = inspect(directory, STEP)
    assert (found.verdict, found.reason, found.base) == ("whole", None, base)
    assert found.files == (
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "trainer_state.json",
    )


def test_the_base_that_the_user_names_comes_first(directory: Path, tmp_path: Path) -> None:
    other = tiny.bare_checkpoint(tmp_path / "other", 0)
    assert inspect(directory, STEP, other).base == other


def test_whole_weights_beside_an_adapter_come_first(directory: Path) -> None:
    tiny.bare_checkpoint(directory, STEP)
    found = inspect(directory, STEP)
    assert (found.verdict, found.base) == ("whole", None)
    assert "model.safetensors" in found.files
    assert not any(name.startswith("adapter") for name in found.files)


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(content)


def drop(name: str) -> Callable[[Path], object]:
    return lambda directory: (directory / name).unlink()


def shorten(directory: Path) -> None:
    path = directory / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def pickled(directory: Path) -> None:
    (directory / "adapter_model.safetensors").rename(directory / "adapter_model.bin")


def on(base: object) -> Callable[[Path], object]:
    config = {"peft_type": "LORA", "base_model_name_or_path": base}
    return write("adapter_config.json", json.dumps(config).encode())


NOT_WHOLE: list[tuple[str, Callable[[Path], object], str, tuple[str, ...]]] = [
    ("no weights", drop("adapter_model.safetensors"), "writing", ("adapter_model.safetensors",)),
    ("short weights", shorten, "writing", ("1 bytes short",)),
    ("half a config", write("adapter_config.json", b"{"), "writing", ("is not whole",)),
    ("another config", write("adapter_config.json", b"[1]"), "writing", ("is not whole",)),
    ("no trainer state", drop("trainer_state.json"), "writing", ("trainer_state.json",)),
    ("pickled", pickled, "unusable", ("adapter_model.bin is pickled", "safe_serialization=True")),
    (
        "more that was trained is pickled",
        write("non_lora_trainables.bin", b"x"),
        "unusable",
        ("non_lora_trainables.bin is pickled", "modules_to_save"),
    ),
    ("a base of the hub", on("org/model"), "unusable", ("'org/model'", "--base")),
    ("no base named", on(None), "unusable", ("no directory here", "--base")),
    ("a base that is no model", on("/"), "unusable", ("no config.json", "--base")),
]


@pytest.mark.parametrize(
    ("change", "verdict", "words"), [row[1:] for row in NOT_WHOLE], ids=[r[0] for r in NOT_WHOLE]
)
def test_an_adapter_that_is_not_whole(
    directory: Path, change: Callable[[Path], object], verdict: str, words: tuple[str, ...]
) -> None:
    change(directory)
    found = inspect(directory, STEP)
    assert found.verdict == verdict
    for word in words:
        assert word in (found.reason or "")


def test_the_base_is_part_of_an_adapters_identity(
    directory: Path, base: Path, tmp_path: Path
) -> None:
    files = inspect(directory, STEP).files
    pinned = pin(directory, files, tmp_path / "pins" / "a", base)
    assert pinned.base == base
    assert still_holds(pinned.directory, pinned.digest, base)
    other = tiny.bare_checkpoint(tmp_path / "other", 0, seed=1)
    assert pin(directory, files, tmp_path / "pins" / "b", other).digest != pinned.digest
    (base / "model.safetensors").write_bytes(tiny.safetensors_bytes(seed=2))
    assert not still_holds(pinned.directory, pinned.digest, base)


def test_a_watcher_pins_adapters_with_the_base_that_it_is_given(tmp_path: Path, base: Path) -> None:
    adapter_checkpoint(tmp_path / "run" / "checkpoint-10", "org/model")
    watcher = Watcher(tmp_path / "run", tmp_path / "pins", quiet_s=0, abandon_s=60, base=base)
    sightings = [sighting for _ in range(3) for sighting in watcher.poll()]
    [ready] = [sighting for sighting in sightings if sighting.kind == "ready"]
    assert ready.pin is not None
    assert ready.pin.base == base
    assert (ready.pin.directory / "adapter_model.safetensors").exists()


def test_an_adapter_that_is_written_anew_is_seen_anew(tmp_path: Path, base: Path) -> None:
    directory = adapter_checkpoint(tmp_path / "run" / "checkpoint-10", str(base))
    watcher = Watcher(tmp_path / "run", tmp_path / "pins", quiet_s=0, abandon_s=60)
    assert [s.kind for _ in range(3) for s in watcher.poll()] == ["found", "ready"]
    weights = directory / "adapter_model.safetensors"
    weights.unlink()
    weights.write_bytes(tiny.safetensors_bytes(values=20, seed=3))
    assert [s.kind for _ in range(3) for s in watcher.poll()] == ["found", "ready"]
