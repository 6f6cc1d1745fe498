"""From a ``--devices`` text to a list of devices."""

from __future__ import annotations

import re
from collections.abc import Sequence


class DeviceError(ValueError):
    """A device specification that can't be read."""


def parse_devices(
    spec: str,
    gpus: int | None,
    *,
    free: Sequence[int] | None = None,
    uuids: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return one entry per worker: ``cpu:N`` or ``cuda:N``.

    ``auto`` is every free GPU, or one CPU worker where there is no GPU; ``cpu`` is one CPU worker,
    ``cpu:4`` four of them; ``cuda`` is every visible GPU, ``cuda:0,1`` those two, free or not;
    ``GPU-5e1f,MIG-90c4`` those whose UUIDs begin so.

    Args:
        spec: what the user wrote.
        gpus: how many GPUs this process would see, or None if that can't be told.
        free: the numbers of those that nobody uses; by default all.
        uuids: what they call themselves, by number.

    Raises:
        DeviceError: the text is none of these, or names a GPU that is not there.
    """
    spec = spec.strip().lower()
    if spec == "auto":
        if gpus and free is not None:
            return tuple(f"cuda:{number}" for number in free)
        spec = "cuda" if gpus else "cpu"
    if found := re.fullmatch(r"cpu(?::([1-9]\d*))?", spec):
        return tuple(f"cpu:{number}" for number in range(int(found[1] or 1)))
    if spec == "cuda":
        if gpus is None:
            raise DeviceError("devices 'cuda': GPUs can't be counted; name them: 'cuda:0,1'")
        if not gpus:
            raise DeviceError("devices 'cuda': no GPU is visible; use 'cpu', 'cpu:4' or 'auto'")
        return tuple(f"cuda:{number}" for number in range(gpus))
    if re.fullmatch(r"cuda:\d+(,\d+)*", spec):
        numbers = [int(number) for number in spec.removeprefix("cuda:").split(",")]
    elif re.fullmatch(r"(gpu|mig)-[^,\s]+(,(gpu|mig)-[^,\s]+)*", spec):
        numbers = [_number_of(beginning, uuids, spec) for beginning in spec.split(",")]
    else:
        raise DeviceError(
            f"devices {spec!r}: use 'auto', 'cpu', 'cpu:4', 'cuda', 'cuda:0,1' or UUIDs of GPUs"
        )
    if len(set(numbers)) != len(numbers):
        raise DeviceError(f"devices {spec!r}: a GPU is named twice")
    if gpus is not None and (missing := [number for number in numbers if number >= gpus]):
        raise DeviceError(f"devices {spec!r}: no GPU {missing[0]}; {gpus} are visible")
    return tuple(f"cuda:{number}" for number in numbers)


def host_and_device(place: str, here: str) -> tuple[str, str]:
    """Return the host and the device of ``HOST/DEVICE``, or of a device of this host."""
    host, _, device = place.rpartition("/")
    return host or here, device


def own_uuid(reported: str, visible: str | None) -> str:
    """Return the name under which the driver knows a worker's device.

    CUDA reports a GPU's UUID without its prefix, and for a MIG instance that of the whole GPU.
    """
    if visible is not None and visible.startswith("MIG-"):
        return visible
    return f"GPU-{reported}"


def _number_of(beginning: str, uuids: Sequence[str], spec: str) -> int:
    found = [n for n, uuid in enumerate(uuids) if uuid.lower().startswith(beginning)]
    if len(found) != 1:
        number = "several visible GPUs begin" if found else "no visible GPU begins"
        raise DeviceError(f"devices {spec!r}: {number} with {beginning}; see `nvidia-smi -L`")
    return found[0]
