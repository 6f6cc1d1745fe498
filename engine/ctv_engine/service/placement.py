"""Which devices the workers get: what was asked for, and for ``auto`` the GPUs that nobody uses."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ctv_engine.runtime.devices import DeviceError, parse_devices
from ctv_engine.store.rows import GpuRow
from ctv_engine.telemetry.poller import News, Poller, Reading
from ctv_engine.telemetry.visible import VisibleDevicesError, visible_gpus

WINDOW = 3
"""Readings, one a second, over which a GPU must be at rest to count as free."""
IDLE_MEMORY_BYTES = 2**30
"""An idle GPU holds some hundred MB of the driver's own, one with a CUDA program more than this."""
IDLE_UTILISATION = 5.0
PATIENCE_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Placement:
    """Devices by our names for them; ``visible`` is the UUID of each one's GPU, where known."""

    devices: tuple[str, ...]
    visible: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[News, ...] = ()


def place(
    spec: str, poller: Poller, since: float = 0.0, *, hurry: bool = False
) -> Placement | None:
    """Return where workers shall run, or None as long as too little has been read to say so.

    Args:
        spec: what the user wrote for ``--devices``.
        poller: readings of the GPUs; it has been started.
        since: epoch seconds; earlier readings show what is over.
        hurry: judge by what there is.

    Raises:
        DeviceError: the text can't be read, names what is not there, or no GPU is free.
    """
    auto = spec.strip().lower() == "auto"
    if poller.unavailable and not poller.absent:
        if auto:
            raise DeviceError(
                f"devices 'auto': {poller.unavailable}; name GPUs to use them all the same"
                " (`--devices cuda:0`), or use `--devices cpu`"
            )
        return Placement(parse_devices(spec, None))
    try:
        gpus = visible_gpus(poller.census, os.environ)
    except VisibleDevicesError as error:
        if spec.strip().lower().startswith("cpu"):
            return Placement(parse_devices(spec, 0))
        raise DeviceError(str(error)) from error
    uuids = [gpu.gpu_uuid for gpu in gpus]
    wanted = parse_devices(spec, len(gpus), uuids=uuids)
    if wanted[0].startswith("cpu"):
        return Placement(wanted)
    recent = poller.recent(since)
    readings = {f"cuda:{n}": recent.get(uuid, []) for n, uuid in enumerate(uuids)}
    if not hurry and not all(_is_enough(readings[device], auto) for device in wanted):
        return None
    notes: list[News] = []
    if auto:
        uses = {device: use(readings[device]) for device in wanted}
        wanted = tuple(device for device in wanted if not uses[device])
        taken = [f"{device}: {why}" for device, why in uses.items() if why]
        if not wanted:
            raise DeviceError(_none_free(taken))
        notes += [News("info", f"{line}; left alone") for line in taken]
    by_name = dict(zip(readings, gpus, strict=True))
    notes += [_head_room(device, by_name[device], readings[device]) for device in wanted]
    visible = {device: by_name[device].gpu_uuid for device in wanted}
    known = {device: uuid for device, uuid in visible.items() if not uuid.startswith("index-")}
    return Placement(wanted, known, tuple(notes))


def wait_for_place(spec: str, poller: Poller) -> Placement:
    """Return where workers shall run, after the seconds that it takes to see who is free.

    Raises:
        DeviceError: as :func:`place`.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        found = place(spec, poller, hurry=time.monotonic() > end)
        if found is not None:
            return found
        time.sleep(POLL_S)


def _is_enough(readings: Sequence[Reading], auto: bool) -> bool:
    asked = any(one.slow or one.sample.status != "ok" for one in readings)
    return len(readings) >= WINDOW and asked if auto else bool(readings)


def use(readings: Sequence[Reading]) -> str:
    """Return who seems to use a GPU, in words; empty if nobody does.

    In a container the driver may list no process of others; their memory and their work show all
    the same. A field that can't be read speaks for nobody.
    """
    if not readings:
        return "the driver says nothing about it"
    last = readings[-1].sample
    if last.status != "ok":
        return f"{last.reason}"
    signs: list[str] = []
    counts = [one.sample.processes for one in readings if one.sample.processes is not None]
    if counts and counts[-1]:
        signs.append(f"{counts[-1]} process{'es' if counts[-1] > 1 else ''}")
    if last.memory_used is not None and last.memory_used > IDLE_MEMORY_BYTES:
        signs.append(f"{last.memory_used / 1e9:.1f} GB in use")
    busy = [one.sample.utilisation for one in readings if one.sample.utilisation is not None]
    if busy and sum(busy) / len(busy) > IDLE_UTILISATION:
        signs.append(f"{sum(busy) / len(busy):.0f} % utilisation")
    return ", ".join(signs)


def _none_free(taken: Sequence[str]) -> str:
    shown = "; ".join(taken[:8]) + ("; …" if len(taken) > 8 else "")
    count = "the only GPU is not" if len(taken) == 1 else f"none of the {len(taken)} GPUs is"
    return (
        f"devices 'auto': {count} free ({shown}). Keep a GPU out of the training run, share one by"
        " naming it (`--devices cuda:0`), or use `--devices cpu`"
    )


def _head_room(device: str, gpu: GpuRow, readings: Sequence[Reading]) -> News:
    name = f"{device} is {gpu.name} ({gpu.gpu_uuid})"
    last = readings[-1].sample if readings else None
    if last is None or last.memory_used is None or last.memory_total is None:
        why = (last.reason if last else None) or "the driver says nothing about it"
        return News("info", f"{name}; free memory unknown: {why}")
    free = last.memory_total - last.memory_used
    text = f"{name}; {free / 1e9:.1f} of {last.memory_total / 1e9:.1f} GB free"
    shared = use(readings)
    return News("warning" if shared else "info", f"{text}; shared: {shared}" if shared else text)
