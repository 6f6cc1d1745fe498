"""Programs of their own that ask torch and the driver: what hangs or dies there is only a finding.

``python -m ctv_tui.doctor.probes torch`` (or ``nvml``) prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ctv_engine.telemetry.poller import Poller

TIMEOUT_S = 120.0
FIRST_READING_S = 10.0
POLL_S = 0.05

Probe = Literal["torch", "nvml"]
Answer = dict[str, Any]
"""What a probe found; ``fault`` alone says why it found nothing."""


def run(probe: Probe, timeout_s: float = TIMEOUT_S) -> Answer:
    """Run a probe in a process of its own and return what it found."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ctv_tui.doctor.probes", probe],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"fault": f"no answer within {timeout_s:.0f} s"}
    try:
        found: Answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"fault": lines[-1]}
    return found


def ask_torch() -> Answer:
    """Import torch and use CUDA once."""
    import torch

    found: Answer = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "error": None,
        "devices": [],
    }
    if torch.version.cuda is None and torch.version.hip is None:
        return found
    found["kernels"] = torch.cuda.get_arch_list()
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            found["devices"].append({"name": about.name, "capability": [about.major, about.minor]})
    except (RuntimeError, AssertionError) as error:
        found["error"] = str(error).strip().splitlines()[0]
    return found


def ask_nvml() -> Answer:
    """Read every GPU once, and say what ``--devices auto`` would take."""
    from ctv_engine.telemetry.poller import Poller

    poller = Poller("")
    found: Answer = {
        "unavailable": poller.unavailable,
        "absent": poller.absent,
        "gpus": [
            {"uuid": g.gpu_uuid, "name": g.name, "driver": g.driver, "parent": g.parent_uuid}
            for g in poller.census
        ],
    }
    poller.start()
    end = time.monotonic() + FIRST_READING_S
    while time.monotonic() < end and not all(poller.recent().values()):
        time.sleep(POLL_S)
    found |= _auto(poller)
    last = {uuid: readings[-1].sample for uuid, readings in poller.recent().items() if readings}
    found["bad"] = [f"{uuid}: {one.reason}" for uuid, one in last.items() if one.status != "ok"]
    return found


def _auto(poller: Poller) -> Answer:
    try:
        from ctv_engine.runtime.devices import DeviceError
        from ctv_engine.service.placement import wait_for_place
    except ImportError:  # the engine's packages are not installed
        return {}
    try:
        placement = wait_for_place("auto", poller)
    except DeviceError as error:
        return {"refused": str(error)}
    return {"auto": list(placement.devices), "notes": [note.text for note in placement.notes]}


_ASK = {"torch": ask_torch, "nvml": ask_nvml}

if __name__ == "__main__":
    print(json.dumps(_ASK[sys.argv[1]]()), flush=True)
    os._exit(0)  # a call that hangs in the driver must not keep the process
