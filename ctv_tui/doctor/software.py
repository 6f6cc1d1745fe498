"""Python and the packages that the engine needs. Nothing is imported to find out."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata

from ctv_tui import __version__
from ctv_tui.doctor import Finding

OLDEST_PYTHON = (3, 11)
ENGINE = ("torch", "transformers", "safetensors", "tokenizers", "pillow", "numpy", "rapidfuzz")
INSTALL = "pip install 'ctv-tui[engine]'"


def version_of(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def findings(version_of: Callable[[str], str | None] = version_of) -> list[Finding]:
    """Look at Python, at the engine's packages and at those that some checkpoints need."""
    found = [_python()]
    versions = {name: version_of(name) for name in ENGINE}
    found += _engine(versions, _wanted())
    if versions["torch"] is not None:
        found += [_torchvision(version_of("torchvision")), _peft(version_of("peft"))]
    return found


def _python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable}), ctv-tui {__version__}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", "fail", text, "use Python 3.11 or newer")
    return Finding("python", "ok", text)


def _wanted() -> dict[str, str]:
    """Return what this program asks of each package, as in ``>=2.6,<3``; empty from a checkout."""
    try:
        lines = metadata.requires("ctv-tui") or []
    except metadata.PackageNotFoundError:
        return {}
    pattern = re.compile(r"([\w.-]+)\s*([^;]*);\s*extra == ['\"]engine['\"]")
    return {m[1].lower(): m[2].strip() for line in lines if (m := pattern.match(line))}


def _engine(versions: Mapping[str, str | None], wanted: Mapping[str, str]) -> list[Finding]:
    missing = [name for name, version in versions.items() if version is None]
    if len(missing) == len(versions):
        text = "not installed: databases can be looked at here, checkpoints can't be scored"
        return [Finding("engine", "warn", text, INSTALL)]
    if missing:
        return [Finding("engine", "fail", f"incomplete: no {', '.join(missing)}", INSTALL)]
    wrong = [
        f"{name} {version} (needs {wanted[name]})"
        for name, version in versions.items()
        if version is not None and name in wanted and not fits(version, wanted[name])
    ]
    if wrong:
        return [Finding("engine", "fail", ", ".join(wrong), f"{INSTALL} --upgrade")]
    names = (f"{name} {version}" for name, version in versions.items())
    return [Finding("engine", "ok", ", ".join(names))]


def fits(version: str, wanted: str) -> bool:
    """Tell whether a version is in a range like ``>=5.23,<6``; other operators hold."""
    have = _numbers(version)
    for part in filter(None, (part.strip() for part in wanted.split(","))):
        if part.startswith(">=") and have < _numbers(part[2:]):
            return False
        if part.startswith("<") and not part.startswith("<=") and have >= _numbers(part[1:]):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _torchvision(version: str | None) -> Finding:
    if version is not None:
        return Finding("torchvision", "ok", version)
    return Finding(
        "torchvision",
        "warn",
        "not installed: processors that want it resize pictures another way than in training",
        "install the torchvision that belongs to your torch (pytorch.org/get-started)",
    )


def _peft(version: str | None) -> Finding:
    text = version or "not installed: only checkpoints that are LoRA adapters need it"
    return Finding("peft", "ok", text, None if version else "pip install 'ctv-tui[lora]'")
