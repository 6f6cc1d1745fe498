"""The NVIDIA driver, and whether torch gets on with it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ctv_tui.doctor import Finding
from ctv_tui.doctor.probes import Answer, Probe, run
from ctv_tui.doctor.software import version_of

KERNEL_MODULE = Path("/proc/driver/nvidia/version")
VISIBLE = "CUDA_VISIBLE_DEVICES"
TORCH = "install a torch with CUDA (pytorch.org/get-started)"


def findings(
    ask: Callable[[Probe], Answer] = run,
    environment: Mapping[str, str] = os.environ,
    has_torch: bool | None = None,
) -> list[Finding]:
    """Look at the driver, at torch, and at what both see."""
    nvml = ask("nvml")
    found = _driver(nvml)
    if version_of("torch") is None if has_torch is None else not has_torch:
        return found
    torch = ask("torch")
    if "fault" in torch:
        text = f"can't be imported: {torch['fault']}"
        return [*found, Finding("torch", "fail", text, "install torch anew")]
    build = f"CUDA {torch['cuda']}" if torch["cuda"] else "no CUDA"
    build = f"ROCm {torch['hip']}" if torch.get("hip") else build
    found.append(Finding("torch", "ok", f"{torch['version']}, built with {build}"))
    found.append(_cuda(torch, nvml, environment))
    return found + _kernels(torch) + _auto(nvml)


def kernel_module(path: Path = KERNEL_MODULE) -> str | None:
    """Return the version of the driver's kernel module, or None if none is loaded."""
    try:
        match = re.search(r"Module\s+(?:for \S+\s+)?(\d+\.\d+(?:\.\d+)?)", path.read_text())
    except OSError:
        return None
    return match[1] if match else None


def _driver(nvml: Answer) -> list[Finding]:
    module = kernel_module()
    loaded = f"; its kernel module is {module}" if module else ""
    if "fault" in nvml:
        way_out = "try `nvidia-smi`; if it hangs too, reboot this machine"
        return [Finding("driver", "fail", f"NVML: {nvml['fault']}{loaded}", way_out)]
    if nvml["unavailable"] and nvml["absent"]:
        text = f"{nvml['unavailable']}: workers run on the CPU"
        way_out = "on a machine with GPUs: install the driver, or give the container its GPUs"
        return [Finding("driver", "warn", text + loaded, way_out)]
    if nvml["unavailable"]:
        return [Finding("driver", "fail", nvml["unavailable"] + loaded, _driver_way_out(nvml))]
    gpus = nvml["gpus"]
    whole = [gpu for gpu in gpus if gpu["parent"] is None]
    names = ", ".join(f"{n} × {name}" for name, n in Counter(g["name"] for g in whole).items())
    text = (
        f"{whole[0]['driver'] if whole else 'unknown version'}, NVML answers: {names or 'no GPU'}"
    )
    if len(gpus) > len(whole):
        text += f", {len(gpus) - len(whole)} MIG instances"
    found = [Finding("driver", "ok", text)]
    for line in nvml.get("bad", ()):
        way_out = "look for Xid errors in `dmesg`; reset it (`nvidia-smi -r -i …`) or reboot"
        found.append(Finding("gpu", "fail", line, way_out))
    return found


def _driver_way_out(nvml: Answer) -> str:
    text = nvml["unavailable"].lower()
    if "mismatch" in text:
        return "reboot, or unload and load the nvidia kernel modules; running jobs go on meanwhile"
    if "permission" in text:
        return "ask for access to /dev/nvidia*, or start the container with its GPUs"
    return "try `nvidia-smi`; in a container restart it, else reboot this machine"


def _cuda(torch: Answer, nvml: Answer, environment: Mapping[str, str]) -> Finding:
    gpus = nvml.get("gpus") or []
    devices = torch["devices"]
    hidden = f" ({VISIBLE}={environment[VISIBLE]})" if VISIBLE in environment else ""
    if devices:
        names = Counter(device["name"] for device in devices)
        text = ", ".join(f"{n} × {name}" for name, n in names.items())
        return Finding("cuda", "ok", f"{text}{hidden}")
    if not gpus:
        return Finding("cuda", "ok", "no GPU to use")
    if torch["cuda"] is None:
        return Finding("cuda", "fail", "torch can't use the GPUs: it is built without CUDA", TORCH)
    why = torch["error"] or "it sees none"
    if hidden and not environment[VISIBLE].strip(" -1"):
        return Finding("cuda", "warn", f"every GPU is hidden{hidden}", f"unset {VISIBLE}")
    way_out = f"check {VISIBLE}{hidden} against `nvidia-smi -L`"
    if "driver" in why.lower() and "old" in why.lower():
        way_out = f"update the driver, or {TORCH.replace('a torch with CUDA', 'an older torch')}"
    return Finding("cuda", "fail", f"torch can't use the GPUs{hidden}: {why}", way_out)


def _kernels(torch: Answer) -> list[Finding]:
    """Tell of GPUs for which this build of torch has no code."""
    found = []
    for device in {device["name"]: device for device in torch["devices"]}.values():
        major, minor = device["capability"]
        if torch.get("kernels") and not runs_on(torch["kernels"], major, minor):
            text = f"torch has no code for {device['name']} (sm_{major}{minor})"
            found.append(Finding("cuda", "fail", text, TORCH))
    return found


def runs_on(kernels: Sequence[str], major: int, minor: int) -> bool:
    """Tell whether code for these architectures runs on a GPU of a compute capability.

    Machine code (``sm_80``) runs on its own major version from its minor one on, intermediate code
    (``compute_90``) on everything newer (CUDA programming guide, application compatibility).
    """
    for name in kernels:
        kind, _, digits = name.partition("_")
        match = re.match(r"\d+", digits)
        if match is None:
            return True  # an architecture that is named otherwise, as on ROCm
        code = divmod(int(match[0]), 10)
        if kind == "compute" and code <= (major, minor):
            return True
        if kind == "sm" and code[0] == major and code[1] <= minor:
            return True
    return False


def _auto(nvml: Answer) -> list[Finding]:
    if "refused" in nvml:
        text = nvml["refused"].removeprefix("devices 'auto': ")
        return [Finding("devices", "warn", text, "see `ctv-tui watch --help`, --devices")]
    if "auto" in nvml:
        notes = nvml["notes"]
        text = f"`--devices auto` takes {', '.join(nvml['auto'])}"
        return [Finding("devices", "ok", "; ".join([text, *notes]))]
    return []
