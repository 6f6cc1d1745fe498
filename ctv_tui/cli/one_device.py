"""A model in the command's own process, on one device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctv_engine.runtime.answering import WorkerSettings


def stay_offline() -> None:
    """Keep the model library from the network and its advice off the terminal."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def on_one_device(
    devices: str, *, dtype: str, processor: str | None, batch_tokens: int
) -> WorkerSettings:
    """Return settings for the first of the devices, once it is free; hide all others.

    Raises:
        DeviceError: there is no such device.
    """
    from ctv_engine.runtime.answering import WorkerSettings
    from ctv_engine.service.placement import wait_for_place
    from ctv_engine.telemetry.poller import Poller

    poller = Poller("")
    poller.start()
    try:
        placement = wait_for_place(devices, poller)
    finally:
        poller.stop()
    device = placement.devices[0]
    if device in placement.visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = placement.visible[device]
        device = "cuda:0"
    return WorkerSettings(
        device=device,
        dtype=dtype,
        processor=Path(processor) if processor else None,
        batch_tokens=batch_tokens,
    )
