"""A base model that stays resident, and an adapter in it that changes with each checkpoint.

An adapter (LoRA and its kin) is put into the base model's layers by peft. The next one, if it has
the same form, is copied over it; one of another form replaces it. Neither touches the base.
"""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ctv_engine.models.loading import CheckpointError, first_line

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_NEUTRAL_INITS = (True, False, "gaussian", "eva", "orthogonal")
"""Initialisations of LoRA that leave the base's weights alone."""
_NO_PART_OF_FORM = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")

Stamp = tuple[tuple[str, int, int], ...]


def stamp_of(base: Path) -> Stamp:
    """Return what tells whether a base model's files have changed: name, size, time of change."""
    found = [*base.glob("*.safetensors"), *base.glob("*.json")]
    status = [(path.name, path.stat()) for path in sorted(found)]
    return tuple((name, s.st_size, s.st_mtime_ns) for name, s in status)


@dataclass
class AdapterSlot:
    """A base model with room for one adapter at a time.

    ``model`` is the base model itself, with the adapter at work inside once :meth:`put` was called.
    """

    base: Path
    stamp: Stamp
    model: Any
    _tuned: Any = None
    _form: dict[str, Any] = field(default_factory=dict)
    _generation_config: Any = None
    _modules: dict[str, Any] = field(default_factory=dict)
    _addresses: set[int] = field(default_factory=set)
    _intact: bool = True

    def __post_init__(self) -> None:
        """Keep what an adapter takes the place of, and what end tokens are read from."""
        self._modules = {name: module for name, module in self.model.named_modules() if name}
        self._addresses = {parameter.data_ptr() for parameter in self.model.parameters()}
        self._generation_config = copy.deepcopy(self.model.generation_config)

    def holds(self, base: Path) -> bool:
        """Tell whether this is that base model, unchanged since it was loaded."""
        return self._intact and self.base == base and self.stamp == stamp_of(base)

    def put(self, directory: Path) -> None:
        """Make the adapter in ``directory`` the one at work.

        Raises:
            CheckpointError: it does not fit the base, is not whole or not finite, or peft is
                missing. Ask :meth:`holds` again before the next one.
        """
        form, weights = _read(directory)
        if self._tuned is None or form != self._form:
            self._rebuild(directory, form)
        self._copy(weights, directory)
        self.model.generation_config = copy.deepcopy(self._generation_config)

    def _rebuild(self, directory: Path, form: dict[str, Any]) -> None:
        """Take the old adapter out and put an empty one of another form in."""
        try:
            from peft import PeftConfig, PeftModel
        except ImportError as error:
            raise CheckpointError(
                f"{directory.name} holds an adapter, which needs peft: pip install 'ctv-tui[lora]'"
            ) from error
        self._take_out()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                config = PeftConfig.from_pretrained(str(directory))
                if config.is_prompt_learning or config.is_adaption_prompt:
                    raise ValueError(f"{config.peft_type.value} does not adapt layers")
                if hasattr(config, "init_lora_weights"):
                    config.init_lora_weights = False  # every value comes from the file
                config.inference_mode = True
                self._intact = False  # should this fail half-way
                tuned = PeftModel(self.model, config)
                self._intact = True
        except (ValueError, TypeError, KeyError, RuntimeError, ImportError, OSError) as error:
            raise CheckpointError(
                f"{directory.name}: its adapter can't be put into {self.base.name}:"
                f" {first_line(error)}"
            ) from error
        tuned.eval()
        tuned.requires_grad_(False)
        self._tuned, self._form = tuned, form
        self.model = tuned.get_base_model()

    def _take_out(self) -> None:
        """Put the base's own modules back; peft's ``unload`` would leave trained ones in place."""
        self._tuned = None
        for name, module in self._modules.items():
            parent_name, _, leaf = name.rpartition(".")
            parent = self.model.get_submodule(parent_name)
            if getattr(parent, leaf) is not module:
                setattr(parent, leaf, module)
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config

    def _copy(self, weights: dict[str, torch.Tensor], directory: Path) -> None:
        """Copy an adapter's tensors over those in place, once all are known to fit."""
        from peft import get_peft_model_state_dict, set_peft_model_state_dict
        from peft.utils.transformers_weight_conversion import (
            convert_peft_adapter_state_dict_for_transformers,
        )

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = get_peft_model_state_dict(self._tuned, save_embedding_layers=False)
            if weights.keys() != wanted.keys():  # saved under an older transformers' names
                weights = convert_peft_adapter_state_dict_for_transformers(
                    self._tuned, self._tuned.peft_config["default"], weights
                )
            self._refuse_what_does_not_fit(weights, wanted, directory)
            if any(value.data_ptr() in self._addresses for value in wanted.values()):
                self._intact = False  # it brings values for the base's own biases
            with torch.inference_mode():
                set_peft_model_state_dict(self._tuned, {key: weights[key] for key in wanted})

    def _refuse_what_does_not_fit(
        self,
        weights: dict[str, torch.Tensor],
        wanted: dict[str, torch.Tensor],
        directory: Path,
    ) -> None:
        state = self._tuned.state_dict()
        faults = {
            "missing keys": wanted.keys() - weights.keys(),
            "unexpected keys": {
                key
                for key in weights.keys() - wanted.keys()
                if key not in state or not _equal(state[key], weights[key])
            },
            "mismatched keys": {
                key
                for key in wanted.keys() & weights.keys()
                if wanted[key].shape != weights[key].shape
            },
        }
        for fault, keys in faults.items():
            if keys:
                more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
                raise CheckpointError(
                    f"{directory.name}: adapter weights do not fit its config and base, {fault}:"
                    f" {', '.join(sorted(keys)[:3])}{more}"
                )


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return an adapter's form (its configuration without what makes no difference) and weights."""
    try:
        config = json.loads((directory / CONFIG).read_bytes())
        weights = load_file(directory / WEIGHTS)
    except FileNotFoundError as error:
        raise CheckpointError(f"{directory.name} was deleted while it was read: {error}") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{directory.name} can't be read: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{directory.name}: {CONFIG} is no JSON object")
    init = config.get("init_lora_weights", True)
    if init not in _NEUTRAL_INITS:
        raise CheckpointError(
            f"{directory.name}: init_lora_weights={init!r} changes the base model's weights, so"
            " its adapter means nothing without them; convert it to plain LoRA when saving"
            " (path_initial_model_for_weight_conversion)"
        )
    bad = sorted(key for key, value in weights.items() if not bool(torch.isfinite(value).all()))
    if bad:
        raise CheckpointError(
            f"{directory.name}: NaN or infinite weights in {len(bad)} tensors, the first is"
            f" {bad[0]}; the training run has probably diverged"
        )
    form = {key: value for key, value in config.items() if key not in _NO_PART_OF_FORM}
    return form, weights


def _equal(resident: torch.Tensor, saved: torch.Tensor) -> bool:
    """Tell whether a base weight that was saved with the adapter is the base's own."""
    return resident.shape == saved.shape and resident.cpu().equal(saved.to(resident.dtype))
