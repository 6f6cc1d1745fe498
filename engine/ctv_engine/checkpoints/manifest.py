"""The one file by which a trainer says that a checkpoint is whole, and of what it consists.

``complete.json`` is written last, in one move::

    {"format": 1, "step": 300, "files": {"config.json": 812, "model.safetensors": 16483921}}

``step`` and every file's bytes; with it a checkpoint is taken up at once, without a quiet period,
and a file that is shorter or gone is known for what it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MANIFEST_FILE = "complete.json"
FORMAT = 1


class ManifestError(Exception):
    """A manifest that says nothing usable; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint's step and the bytes of each of its files, by path below its directory."""

    step: int
    files: Mapping[str, int]


def mark_complete(directory: str | os.PathLike[str], step: int) -> Path:
    """Write the manifest of a checkpoint that is written to its last byte; return its path.

    For any training code: call it after everything else, on one process.

    Raises:
        FileNotFoundError: no such directory, or nothing in it.
    """
    place = Path(directory)
    files = {
        path.relative_to(place).as_posix(): path.stat().st_size
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST_FILE, f".{MANIFEST_FILE}")
    }
    if not files:
        raise FileNotFoundError(f"{place}: nothing there that could be complete")
    text = json.dumps({"format": FORMAT, "step": int(step), "files": files}, indent=1)
    new = place / f".{MANIFEST_FILE}"
    with new.open("w", encoding="utf-8") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    new.replace(place / MANIFEST_FILE)
    return place / MANIFEST_FILE


def read_manifest(directory: Path) -> Manifest | None:
    """Return a checkpoint's manifest, None where it has none.

    Raises:
        ManifestError: it is not in the form of :func:`mark_complete`.
    """
    try:
        read = json.loads((directory / MANIFEST_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ManifestError(f"{MANIFEST_FILE} is not whole ({error})") from error
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise ManifestError(f"{MANIFEST_FILE} is not of format {FORMAT}")
    step, files = read.get("step"), read.get("files")
    if type(step) is not int or not isinstance(files, dict) or not files:
        raise ManifestError(f"{MANIFEST_FILE} names no step or no files")
    if not all(type(size) is int and size >= 0 for size in files.values()):
        raise ManifestError(f"{MANIFEST_FILE} has a size that is no number of bytes")
    return Manifest(step, files)


def missing_of(manifest: Manifest, sizes: Mapping[str, int]) -> str | None:
    """Return what a directory with files of these sizes lacks, None if it is whole."""
    for name, size in manifest.files.items():
        found = sizes.get(name)
        if found is None:
            return f"{name} is missing, which {MANIFEST_FILE} names"
        if found != size:
            return f"{name} has {found:,} bytes, {MANIFEST_FILE} says {size:,}"
    return None
