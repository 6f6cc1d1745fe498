"""One model's weights into another's memory."""

from __future__ import annotations

from typing import Any

import torch


def same_shape(resident: Any, fresh: Any) -> bool:
    """Tell whether the weights of ``fresh`` fit: same class, settings and tensors."""

    def settings(model: Any) -> dict[str, Any]:
        values: dict[str, Any] = model.config.to_dict()
        for name in ("_name_or_path", "transformers_version"):
            values.pop(name, None)
        return values

    if type(resident) is not type(fresh) or settings(resident) != settings(fresh):
        return False
    old, new = resident.state_dict(), fresh.state_dict()
    return old.keys() == new.keys() and all(
        old[key].shape == new[key].shape and old[key].dtype == new[key].dtype for key in old
    )


def own_memory(model: Any) -> Any:
    """Detach CPU weights from the memory-mapped file, which its owner may truncate."""
    for parameter in model.parameters():
        if parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()
    return model


@torch.inference_mode()
def copy_weights(source: Any, target: Any) -> None:
    """Overwrite the target's weights; their addresses stay."""
    resident = target.state_dict()
    for name, value in source.state_dict().items():
        resident[name].copy_(value)
