"""Which GPUs this process may use: ``CUDA_VISIBLE_DEVICES``, read as CUDA reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctv_engine.store.rows import GpuRow

VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"


class VisibleDevicesError(ValueError):
    """The variable can't be followed; the text says what to set instead."""


def visible_gpus(gpus: Sequence[GpuRow], environment: Mapping[str, str]) -> tuple[GpuRow, ...]:
    """Return the GPUs and MIG instances that may be used, in the order of the variable.

    Unset, that is all of them. Otherwise CUDA's rules hold: numbers (as in nvidia-smi) and
    beginnings of UUIDs; the first entry that names nothing ends the list; an entry named twice
    empties it; the number of a divided GPU is its first instance. Unlike one CUDA process, which
    sees one MIG instance at most, workers are processes of their own and can use several.

    Raises:
        VisibleDevicesError: numbers that CUDA and the driver count differently, or a list of
            which nothing is here.
    """
    usable = tuple(gpu for gpu in gpus if not gpu.mig)
    text = environment.get(VARIABLE)
    if text is None:
        return usable
    entries = [entry.strip() for entry in text.split(",")]
    if entries[0] in ("", "-1", "NoDevFiles"):
        return ()
    found: list[GpuRow] = []
    for entry in entries:
        gpu = (
            _numbered(gpus, int(entry), environment) if entry.isdecimal() else _named(usable, entry)
        )
        if gpu is None:
            break
        found.append(gpu)
    if not found:
        raise VisibleDevicesError(
            f"{VARIABLE}={text} names no GPU of this machine; see `nvidia-smi -L` for those there"
            " are, or unset it"
        )
    if len({gpu.gpu_uuid for gpu in found}) < len(found):
        raise VisibleDevicesError(
            f"{VARIABLE}={text} names a GPU twice, and CUDA then uses none; name each once"
        )
    return tuple(found)


def _numbered(gpus: Sequence[GpuRow], number: int, environment: Mapping[str, str]) -> GpuRow | None:
    whole = [gpu for gpu in gpus if gpu.parent_uuid is None]
    if len({gpu.name for gpu in whole}) > 1 and environment.get(ORDER) != "PCI_BUS_ID":
        raise VisibleDevicesError(
            f"{VARIABLE}={environment[VARIABLE]}: this machine has different GPUs, which CUDA"
            f" numbers fastest first and nvidia-smi by their place; set {ORDER}=PCI_BUS_ID, or"
            " name GPUs by UUID (`nvidia-smi -L`)"
        )
    for gpu in gpus:
        if gpu.number == number and not gpu.mig:
            return gpu
    return None


def _named(gpus: Sequence[GpuRow], beginning: str) -> GpuRow | None:
    """Return the one GPU whose UUID begins so; two of them are none."""
    if not beginning.upper().startswith(("GPU-", "MIG-")):
        return None
    found = [gpu for gpu in gpus if gpu.gpu_uuid.lower().startswith(beginning.lower())]
    return found[0] if len(found) == 1 else None
