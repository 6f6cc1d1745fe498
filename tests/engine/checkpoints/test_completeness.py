"""When a directory is a whole checkpoint, and what is said of one that is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from ctv_engine.checkpoints.completeness import ExpectedSteps, inspect, recorded_step, step_of

STEP = 10
WEIGHTS = tiny.safetensors_bytes()
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A whole checkpoint that a test may spoil."""
    return tiny.bare_checkpoint(tmp_path / f"checkpoint-{STEP}", STEP)


def put(name: str, content: bytes | str = b"") -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def drop(*names: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        for name in names:
            (directory / name).unlink()

    return change


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        for one in changes:
            one(directory)

    return change


def header(value: object, data: bytes = b"") -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text + data


def shard(index: object, *present: str) -> Callable[[Path], None]:
    """Replace the single weight file by an index and the shards that are ``present``."""
    return both(
        drop("model.safetensors"),
        put("model.safetensors.index.json", json.dumps(index)),
        *(put(name, WEIGHTS) for name in present),
    )


def index_of(*names: str) -> dict[str, object]:
    return {"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(names)}}


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("checkpoint_500", 500),
        ("Checkpoint-7", 7),
        ("ckpt-0010", 10),
        ("global_step500", 500),
        ("step_3", 3),
        ("iter_0000100", 100),
        ("epoch-2", 2),
        ("checkpoint-500.tmp", None),
        ("tmp-checkpoint-500", None),
        ("checkpoint-best", None),
        ("checkpoint-", None),
        ("500", None),
        ("runs", None),
    ],
)
def test_the_step_is_read_from_the_name(name: str, step: int | None) -> None:
    assert step_of(Path("/somewhere") / name) == step


@pytest.mark.parametrize(
    ("content", "step"),
    [
        ('{"global_step": 70}', 70),
        ('{"epoch": 1}', None),
        ('{"global_step": null}', None),
        ("[70]", None),
        ('{"global_st', None),
        (None, None),
    ],
)
def test_the_step_is_read_from_the_trainer_state(
    tmp_path: Path, content: str | None, step: int | None
) -> None:
    if content is not None:
        (tmp_path / "trainer_state.json").write_text(content)
    assert recorded_step(tmp_path) == step


# --- whole --------------------------------------------------------------------------------------

WHOLE: list[tuple[str, Callable[[Path], None]]] = [
    ("as the Trainer leaves it", lambda _: None),
    (
        "as save_pretrained leaves it",
        drop("training_args.bin", "optimizer.pt", "trainer_state.json"),
    ),
    ("in shards", shard(index_of(*SHARDS, SHARDS[0]), *SHARDS)),
    ("weights without tensors", put("model.safetensors", header({}))),
    ("with a folder of other files", put("runs/events.out", b"x")),
    (
        "ZeRO-3 with gathered weights",
        put("global_step10/zero_pp_rank_0_mp_rank_00_optim_states.pt"),
    ),
    ("pickled weights beside", put("pytorch_model.bin", b"x")),
]


@pytest.mark.parametrize("change", [c for _, c in WHOLE], ids=[name for name, _ in WHOLE])
def test_whole(directory: Path, change: Callable[[Path], None]) -> None:
    change(directory)
    found = inspect(directory, STEP)
    assert (found.verdict, found.reason, found.marked) == ("whole", None, False)


def test_the_files_that_the_engine_needs(directory: Path) -> None:
    put("vocab.txt")(directory)
    put("spiece.model")(directory)
    put("runs/hparams.json", "{}")(directory)
    assert inspect(directory, STEP).files == (
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "spiece.model",
        "tokenizer.json",
        "trainer_state.json",
        "vocab.txt",
    )


def test_shards_in_a_folder_are_needed_too(directory: Path) -> None:
    shard(index_of("weights/a.safetensors"), "weights/a.safetensors")(directory)
    assert "weights/a.safetensors" in inspect(directory, STEP).files


@pytest.mark.parametrize("marker", ["_SUCCESS", "STABLE"])
def test_a_positive_marker_is_seen(directory: Path, marker: str) -> None:
    put(marker)(directory)
    assert inspect(directory, STEP).marked


@pytest.mark.parametrize(
    ("save_steps", "max_steps", "expected"),
    [
        (500, 2000, ExpectedSteps(500, 2000)),
        (0.1, 2000, ExpectedSteps(None, 2000)),
        (None, -1, ExpectedSteps(None, None)),
    ],
)
def test_what_the_trainer_says_of_its_other_checkpoints(
    directory: Path, save_steps: object, max_steps: object, expected: ExpectedSteps
) -> None:
    state = {"global_step": STEP, "save_steps": save_steps, "max_steps": max_steps}
    put("trainer_state.json", json.dumps(state))(directory)
    assert inspect(directory, STEP).expected == expected


def test_a_directory_without_a_step_in_its_name_may_be_of_any_step(directory: Path) -> None:
    assert inspect(directory, None).verdict == "whole"


# --- half-written -------------------------------------------------------------------------------

WRITING: list[tuple[str, Callable[[Path], None], tuple[str, ...]]] = [
    (
        "empty",
        lambda d: [path.unlink() for path in d.iterdir()] and None,
        ("no config.json yet",),
    ),
    ("no config", drop("config.json"), ("no config.json yet",)),
    ("half a config", put("config.json", '{"model_'), ("config.json is not whole",)),
    ("empty config", put("config.json"), ("config.json is not whole",)),
    ("no weights", drop("model.safetensors"), ("no weights (model.safetensors) yet",)),
    ("empty weights", put("model.safetensors"), ("model.safetensors has no header yet",)),
    (
        "five bytes",
        put("model.safetensors", WEIGHTS[:5]),
        ("model.safetensors has no header yet",),
    ),
    (
        "half a header",
        put("model.safetensors", WEIGHTS[:20]),
        ("model.safetensors has no whole header",),
    ),
    (
        "one byte short",
        put("model.safetensors", WEIGHTS[:-1]),
        ("model.safetensors is 1 bytes short", "still being written?"),
    ),
    (
        "2,000 bytes short",
        put("model.safetensors", tiny.safetensors_bytes(1000)[:-2000]),
        ("model.safetensors is 2,000 bytes short",),
    ),
    (
        "three bytes longer",
        put("model.safetensors", WEIGHTS + b"xyz"),
        ("model.safetensors is 3 bytes longer",),
    ),
    (
        "allocated, not written",
        put("model.safetensors", bytes(500)),
        ("no readable header",),
    ),
    (
        "header of an absurd length",
        put("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
        ("model.safetensors has no whole header",),
    ),
    (
        "header is not JSON",
        put("model.safetensors", header(b"{not json}")),
        ("no readable header",),
    ),
    (
        "header is not text",
        put("model.safetensors", header(b"\xff\xfe\xff\xfe")),
        ("no readable header",),
    ),
    ("header is a list", put("model.safetensors", header([1, 2])), ("no readable header",)),
    (
        "header without offsets",
        put("model.safetensors", header({"w": {"dtype": "F32", "shape": [1]}})),
        ("no readable header",),
    ),
    (
        "header with a bare number",
        put("model.safetensors", header({"w": 1})),
        ("no readable header",),
    ),
    ("no shard", shard(index_of(*SHARDS)), (SHARDS[0], "2 of 2 shards")),
    ("one shard", shard(index_of(*SHARDS), SHARDS[0]), (SHARDS[1], "missing (1 of 2 shards)")),
    (
        "one shard short",
        both(shard(index_of(*SHARDS), *SHARDS), put(SHARDS[1], WEIGHTS[:-7])),
        (f"{SHARDS[1]} is 7 bytes short",),
    ),
    (
        "half an index",
        both(drop("model.safetensors"), put("model.safetensors.index.json", '{"weight')),
        ("model.safetensors.index.json is not whole",),
    ),
    ("index without a map", shard({"metadata": {}}), ("index.json is not whole",)),
    ("index is a list", shard(["a"]), ("index.json is not whole",)),
    ("index is null", shard(None), ("index.json is not whole",)),
    ("index of nothing", shard({"weight_map": {}}), ("index.json",)),
    (
        "index points upwards",
        shard(index_of("../other/model.safetensors")),
        ("points outside the directory", "../other/model.safetensors"),
    ),
    (
        "index points elsewhere",
        shard(index_of("/etc/model.safetensors")),
        ("points outside the directory", "/etc/model.safetensors"),
    ),
    (
        "no trainer state yet",
        drop("trainer_state.json"),
        ("trainer_state.json is missing or not whole",),
    ),
    (
        "half a trainer state",
        put("trainer_state.json", '{"global_st'),
        ("trainer_state.json is missing or not whole",),
    ),
    (
        "trainer state is a list",
        put("trainer_state.json", "[]"),
        ("trainer_state.json is missing or not whole",),
    ),
    (
        "trainer state of another step",
        put("trainer_state.json", '{"global_step": 20}'),
        ("trainer_state.json is of step 20",),
    ),
    (
        "temporary file of safetensors 0.8",
        put(".tmpAbC123", bytes(10)),
        (".tmpAbC123 is a file being written",),
    ),
    (
        "temporary file",
        put("model.safetensors.tmp", bytes(10)),
        ("model.safetensors.tmp is a file being written",),
    ),
    (
        "temporary file below",
        put("global_step10/.metadata.tmp"),
        ("global_step10/.metadata.tmp",),
    ),
    (
        "just-in-time checkpoint",
        put("checkpoint-is-incomplete.txt"),
        ("checkpoint-is-incomplete.txt says that it is still being written",),
    ),
    ("unfinished", put("unfinished"), ("unfinished says",)),
    (".unfinished", put(".unfinished"), (".unfinished says",)),
    (
        "unfinished despite a positive marker",
        both(put("_SUCCESS"), put("unfinished")),
        ("unfinished says",),
    ),
]


@pytest.mark.parametrize(
    ("change", "words"), [(c, w) for _, c, w in WRITING], ids=[name for name, *_ in WRITING]
)
def test_half_written(
    directory: Path, change: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    change(directory)
    found = inspect(directory, STEP)
    assert found.verdict == "writing"
    for word in words:
        assert word in (found.reason or "")


# --- changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        put("README.md", "x"),
        put("config.json", '{"model_type": "more"}'),
        drop("optimizer.pt"),
        put("runs/events", "x"),
    ],
    ids=["added", "changed", "removed", "added below"],
)
def test_any_change_changes_the_fingerprint(
    directory: Path, change: Callable[[Path], None]
) -> None:
    before = inspect(directory, STEP).fingerprint
    assert inspect(directory, STEP).fingerprint == before
    change(directory)
    assert inspect(directory, STEP).fingerprint != before


def test_a_directory_that_is_gone(directory: Path) -> None:
    shutil.rmtree(directory)
    with pytest.raises(FileNotFoundError):
        inspect(directory, STEP)


def test_what_transformers_saves_is_whole(checkpoints: list[Path]) -> None:
    for path, step in zip(checkpoints, (10, 20, 30), strict=True):
        assert inspect(path, step).verdict == "whole"
