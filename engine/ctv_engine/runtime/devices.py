"""From a ``--devices`` text to a list of devices."""

from __future__ import annotations

import re


class DeviceError(ValueError):
    """A device specification that can't be read."""


def parse_devices(spec: str, gpus: int) -> tuple[str, ...]:
    """Return one entry per worker: ``cpu:N`` or ``cuda:N``.

    ``auto`` is every visible GPU, or one CPU worker where there is none; ``cpu`` is one CPU worker,
    ``cpu:4`` four of them; ``cuda`` is every visible GPU, ``cuda:0,1`` those two.

    Args:
        spec: what the user wrote.
        gpus: how many GPUs this process would see.

    Raises:
        DeviceError: the text is none of these, or names a GPU that is not there.
    """
    spec = spec.strip().lower()
    if spec == "auto":
        spec = "cuda" if gpus else "cpu"
    if found := re.fullmatch(r"cpu(?::([1-9]\d*))?", spec):
        return tuple(f"cpu:{number}" for number in range(int(found[1] or 1)))
    if spec == "cuda":
        if not gpus:
            raise DeviceError("devices 'cuda': no GPU is visible; use 'cpu', 'cpu:4' or 'auto'")
        return tuple(f"cuda:{number}" for number in range(gpus))
    if re.fullmatch(r"cuda:\d+(,\d+)*", spec):
        numbers = [int(number) for number in spec.removeprefix("cuda:").split(",")]
        if len(set(numbers)) != len(numbers):
            raise DeviceError(f"devices {spec!r}: a GPU is named twice")
        if missing := [number for number in numbers if number >= gpus]:
            raise DeviceError(f"devices {spec!r}: no GPU {missing[0]}; {gpus} are visible")
        return tuple(f"cuda:{number}" for number in numbers)
    raise DeviceError(f"devices {spec!r}: use 'auto', 'cpu', 'cpu:4', 'cuda' or 'cuda:0,1'")
