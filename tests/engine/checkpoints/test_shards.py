"""Weights in a training framework's shards: recognised, and refused with the command that helps."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny

from ctv_engine.checkpoints.completeness import inspect

STEP = 10

SHARDS: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = [
    (
        "FSDP",
        f"checkpoint-{STEP}",
        ("pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"),
        (
            "sharded FSDP weights",
            "`accelerate merge-weights {dir}/pytorch_model_fsdp_0 {dir}`",
            "config.json",
            "FULL_STATE_DICT",
        ),
    ),
    (
        "FSDP in one file a rank",
        f"checkpoint-{STEP}",
        ("pytorch_model_fsdp_0_rank0.bin", "pytorch_model_fsdp_0_rank1.bin"),
        ("sharded FSDP weights", "no command merges", "FULL_STATE_DICT"),
    ),
    (
        "FSDP in one pickled file",
        f"checkpoint-{STEP}",
        ("pytorch_model_fsdp.bin",),
        ("pickled", "only safetensors are loaded", "safe_serialization=True"),
    ),
    (
        "DeepSpeed by the Trainer",
        f"checkpoint-{STEP}",
        (
            f"global_step{STEP}/zero_pp_rank_0_mp_rank_00_optim_states.pt",
            "latest",
            "zero_to_fp32.py",
        ),
        (
            "DeepSpeed shards",
            "`python {dir}/zero_to_fp32.py {dir} {dir} --safe_serialization`",
        ),
    ),
    (
        "DeepSpeed without its script",
        f"checkpoint-{STEP}",
        (f"global_step{STEP}/mp_rank_00_model_states.pt", "latest"),
        (
            "DeepSpeed shards",
            "`python -m deepspeed.utils.zero_to_fp32 {dir} {dir} --safe_serialization`",
        ),
    ),
    (
        "DeepSpeed by itself",
        f"global_step{STEP}",
        ("mp_rank_00_model_states.pt", "../latest", "../zero_to_fp32.py"),
        (
            "DeepSpeed shards",
            "`python {run}/zero_to_fp32.py {run} {dir} --tag global_step10 --safe_serialization`",
        ),
    ),
    (
        "Megatron",
        f"iter_00000{STEP}",
        ("mp_rank_00/model_optim_rng.pt", "mp_rank_01/model_optim_rng.pt"),
        (
            "Megatron shards",
            "convert_checkpoints.py export --hf-model MODEL --megatron-path {dir} --hf-path {dir}",
        ),
    ),
    (
        "Megatron's distributed checkpoint",
        f"iter_00000{STEP}",
        (".metadata", "__0_0.distcp", "common.pt", "metadata.json"),
        ("Megatron shards", "--megatron-path {dir}"),
    ),
    (
        "torch distributed checkpoint",
        f"step-{STEP}",
        (".metadata", "__0_0.distcp", "__1_0.distcp"),
        (
            "torch distributed checkpoint",
            "`python -m torch.distributed.checkpoint.format_utils dcp_to_torch {dir}"
            " {dir}/gathered.pt`",
        ),
    ),
    (
        "pickled",
        f"checkpoint-{STEP}",
        ("pytorch_model.bin",),
        ("pickled", "only safetensors are loaded", "safe_serialization=True"),
    ),
    (
        "pickled shards",
        f"checkpoint-{STEP}",
        ("pytorch_model-00001-of-00002.bin",),
        ("pickled", "safe_serialization=True"),
    ),
]


@pytest.mark.parametrize("space", ["", "a run/"], ids=["", "path with a space"])
@pytest.mark.parametrize(
    ("name", "files", "words"), [row[1:] for row in SHARDS], ids=[row[0] for row in SHARDS]
)
def test_shards_are_refused_with_the_command_that_converts_them(
    tmp_path: Path, name: str, files: tuple[str, ...], words: tuple[str, ...], space: str
) -> None:
    run = tmp_path / f"{space}run"
    directory = tiny.bare_checkpoint(run / name, STEP)
    (directory / "model.safetensors").unlink()
    for file in files:
        path = directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = inspect(directory, STEP)
    assert found.verdict == "unusable"
    for word in words:
        # what a shell reads is the path, be there a space in it or not
        expected = word.format(dir=directory, run=run)
        assert _unquoted(expected, run) in _unquoted(found.reason or "", run)
    for command in re.findall("`([^`]+)`", found.reason or ""):
        assert all(Path(part).is_absolute() for part in shlex.split(command) if "/run" in part)


def _unquoted(text: str, run: Path) -> str:
    """Take the quotation marks from paths below ``run``."""
    return re.sub(rf"'({re.escape(str(run))}[^']*)'", r"\1", text)


@pytest.mark.parametrize("files", [row[2] for row in SHARDS], ids=[row[0] for row in SHARDS])
def test_shards_beside_whole_weights_do_no_harm(tmp_path: Path, files: tuple[str, ...]) -> None:
    directory = tiny.bare_checkpoint(tmp_path / "run" / f"checkpoint-{STEP}", STEP)
    for file in files:
        path = directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert inspect(directory, STEP).verdict == "whole"


@pytest.mark.skipif(not find_spec("accelerate"), reason="accelerate is not installed")
def test_the_command_for_fsdp_really_makes_a_whole_checkpoint(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    """Save as accelerate saves an FSDP model, run what the refusal says, and load the outcome."""
    import torch
    import torch.distributed.checkpoint as dcp
    from transformers import AutoModelForImageTextToText

    from ctv_engine.models.loading import load_model

    directory = tmp_path / checkpoints[0].name
    shutil.copytree(checkpoints[0], directory)
    (directory / "model.safetensors").unlink()
    model = AutoModelForImageTextToText.from_pretrained(checkpoints[0], dtype=torch.float32)
    writer = dcp.FileSystemWriter(directory / "pytorch_model_fsdp_0")
    dcp.save({"model": model.state_dict()}, storage_writer=writer, no_dist=True)

    reason = inspect(directory, STEP).reason or ""
    command = shlex.split(re.findall("`([^`]+)`", reason)[0])
    assert command[0] == "accelerate"
    beside = str(Path(sys.executable).parent / command[0])
    subprocess.run([beside, *command[1:]], check=True, capture_output=True, timeout=120)

    assert inspect(directory, STEP).verdict == "whole"
    merged = load_model(directory, torch.float32).state_dict()
    for key, value in model.state_dict().items():
        assert merged[key].equal(value), key
