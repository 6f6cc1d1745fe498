"""Loading a checkpoint so that "it loaded" means "these are its weights".

transformers fills missing weights with random numbers and only warns; it loads NaN weights without
a word. Every such case is refused here, with the reason.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class CheckpointError(Exception):
    """A checkpoint that can't be evaluated; the text says why."""


def first_line(error: BaseException) -> str:
    """Return what another library's error says, cut to one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | str:
    """Return the dtype for a setting: ``auto`` is the checkpoint's own on a GPU, float32 on CPU."""
    if name != "auto":
        return _DTYPES[name]
    return torch.float32 if device.type == "cpu" else "auto"


def load_model(directory: Path, dtype: torch.dtype | str) -> Any:
    """Load a checkpoint's model on the CPU, from safetensors only, and check what was loaded.

    Raises:
        CheckpointError: unknown architecture, unreadable, missing, left-over or non-finite weights.
    """
    try:
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        model, report = AutoModelForImageTextToText.from_pretrained(
            directory,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # so that the report names them; they are refused below
            output_loading_info=True,
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"{directory.name} was deleted while it was read: {error}") from error
    except (OSError, SafetensorError) as error:
        gone = "" if directory.is_dir() else " (the directory is gone)"
        raise CheckpointError(
            f"{directory.name} can't be read{gone}: {first_line(error)}"
        ) from error
    except (ValueError, KeyError, RuntimeError, ImportError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{directory.name} is not a model that this engine can load: {first_line(error)}"
        ) from error
    for fault in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        found = report.get(fault) or ()
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in found)
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(
                f"{directory.name}: weights do not fit its config, {fault.replace('_', ' ')}:"
                f" {', '.join(names[:3])}{more}"
            )
    model.eval()
    model.requires_grad_(False)
    return model


def refuse_non_finite(model: Any, name: str) -> None:
    """Raise :class:`CheckpointError` if a weight is NaN or infinite."""
    bad = [key for key, value in model.named_parameters() if not bool(torch.isfinite(value).all())]
    if bad:
        raise CheckpointError(
            f"{name}: NaN or infinite weights in {len(bad)} tensors, the first is {bad[0]};"
            " the training run has probably diverged"
        )


def make_greedy(model: Any, processor: Any) -> tuple[int, ...]:
    """Make ``model.generate`` greedy whatever the checkpoint asks for; return its end tokens.

    Only the end-of-text ids are taken from the checkpoint: sampling, beams and penalties would
    change answers, some of them even with ``do_sample=False``.
    """
    eos = model.generation_config.eos_token_id
    if eos is None:
        eos = processor.tokenizer.eos_token_id
    ids = tuple(eos) if isinstance(eos, list | tuple) else () if eos is None else (eos,)
    pad = processor.tokenizer.pad_token_id
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        eos_token_id=list(ids) or None,
        pad_token_id=pad if pad is not None else (ids[0] if ids else None),
        bos_token_id=model.generation_config.bos_token_id,
    )
    return ids
