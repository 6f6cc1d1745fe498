"""Weights in the shards of a training framework: what they are, and the command that merges them.

The commands write into the directory itself, so that a watched one is looked at again. They are for
the user to run: shards are pickled, and this engine reads nothing but safetensors.
"""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath

FSDP_FOLDER = "pytorch_model_fsdp_0"
MEGATRON_FILES = ("model_optim_rng.pt", "distrib_optim.pt", "common.pt")
_AND_CONFIG = "config.json and the processor's files belong beside them"


def refusal(directory: Path, names: set[str]) -> str | None:
    """Return why a directory without safetensors can't be used, with the way out.

    ``names`` are its files, relative to it. None: nothing is known of them.
    """
    if any(name.endswith(".safetensors") for name in names):
        return None
    here = shlex.quote(str(directory))
    files = {PurePosixPath(name).name for name in names}
    folders = {PurePosixPath(name).parts[0] for name in names if "/" in name}
    if FSDP_FOLDER in folders:
        inner = shlex.quote(str(directory / FSDP_FOLDER))
        return (
            f"it holds sharded FSDP weights; merge them with `accelerate merge-weights {inner}"
            f" {here}` ({_AND_CONFIG}), or save with FULL_STATE_DICT"
        )
    if any(name.startswith("pytorch_model_fsdp") and "rank" in name for name in files):
        return (
            "it holds sharded FSDP weights, one file per rank, which no command merges;"
            " save with FULL_STATE_DICT"
        )
    if files & set(MEGATRON_FILES):
        return (
            "it holds Megatron shards; convert them with Megatron-Bridge: `python"
            " examples/conversion/convert_checkpoints.py export --hf-model MODEL --megatron-path"
            f" {here} --hf-path {here}` (MODEL: the Hugging Face model that training began with)"
        )
    if deepspeed := _deepspeed(directory, files, folders):
        return f"it holds DeepSpeed shards; convert them with `{deepspeed}`"
    if ".metadata" in files or any(name.endswith(".distcp") for name in files):
        return (
            "it holds a torch distributed checkpoint; gather it with `python -m"
            f" torch.distributed.checkpoint.format_utils dcp_to_torch {here} {here}/gathered.pt`,"
            " load that into the model and save_pretrained() here"
        )
    if any(name.startswith("pytorch_model") and name.endswith(".bin") for name in files):
        return (
            "its weights are pickled (pytorch_model.bin), and only safetensors are loaded;"
            " save with safe_serialization=True"
        )
    return None


def _deepspeed(directory: Path, files: set[str], folders: set[str]) -> str | None:
    """Return the command for a DeepSpeed checkpoint; its script stands beside the tags' folders.

    A checkpoint of the Trainer has its tag's folder (``global_step10``) inside, one that DeepSpeed
    saved by itself is that folder.
    """
    shards = any(name.endswith(("_model_states.pt", "_optim_states.pt")) for name in files)
    if not shards and "zero_to_fp32.py" not in files:
        return None
    inside = any(folder.startswith("global_step") for folder in folders)
    home = directory if inside or "latest" in files else directory.parent
    tag = "" if home == directory else f" --tag {shlex.quote(directory.name)}"
    script = home / "zero_to_fp32.py"
    run = shlex.quote(str(script)) if script.is_file() else "-m deepspeed.utils.zero_to_fp32"
    where = f"{shlex.quote(str(home))} {shlex.quote(str(directory))}"
    return f"python {run} {where}{tag} --safe_serialization"
