"""Checkpoints that hold only an adapter (LoRA and its kin), and the base model they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PICKLED = ("adapter_model.bin", "non_lora_trainables.bin")
_FULL_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


class BaseModelError(ValueError):
    """The base model of an adapter can't be found; the text says how to name it."""


def holds_adapter(names: set[str]) -> bool:
    """Tell whether a directory's files are an adapter's: whole weights beside it come first."""
    return ADAPTER_CONFIG in names and not any(name in names for name in _FULL_WEIGHTS)


def pickled_part(names: set[str]) -> str | None:
    """Return why an adapter can't be used: a part of what was trained is pickled."""
    for name in _PICKLED:
        if name in names and (name != _PICKLED[0] or ADAPTER_WEIGHTS not in names):
            return (
                f"{name} is pickled, and only safetensors are loaded; save the adapter with"
                " safe_serialization=True, and what else is trained as modules_to_save"
            )
    return None


def base_of(directory: Path, given: Path | None) -> Path | None:
    """Return the directory of the base model; None for a checkpoint that needs none.

    ``given`` is the user's answer and comes before what the adapter was trained on.

    Raises:
        BaseModelError: the base is no directory here, or no model.
    """
    names = {path.name for path in directory.iterdir()}
    if not holds_adapter(names):
        return None
    if given is not None:
        base = given
    else:
        named = adapter_config(directory).get("base_model_name_or_path")
        if not isinstance(named, str) or not Path(named).is_dir():
            raise BaseModelError(
                f"it is an adapter for {named!r}, which is no directory here;"
                " name its base model's directory with --base"
            )
        base = Path(named).resolve()
    if not (base / "config.json").is_file():
        raise BaseModelError(f"its base model {base} has no config.json; name another with --base")
    return base


def base_files(base: Path) -> list[str]:
    """Return the files that make a base model what it is: configuration and weights."""
    return [*sorted(path.name for path in base.glob("*.safetensors")), "config.json"]


def adapter_config(directory: Path) -> dict[str, Any]:
    """Read an adapter's configuration.

    Raises:
        ValueError: it is no JSON object with the adapter's kind.
        FileNotFoundError: there is none.
    """
    config = json.loads((directory / ADAPTER_CONFIG).read_bytes())
    if not isinstance(config, dict) or "peft_type" not in config:
        raise ValueError("no JSON object with a peft_type")
    return config
