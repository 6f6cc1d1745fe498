"""A folder of files that appears whole or not at all, and never takes the place of another's."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


class FolderError(ValueError):
    """A folder that can't be written to; the text says what to do."""


def check_folder(folder: Path, *, force: bool) -> None:
    """Say before any work is done whether a folder can be written to.

    Raises:
        FolderError: it holds something and ``force`` is not given, or is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder}: not a folder; choose another name for --out")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise FolderError(
            f"{folder}: not empty; choose another folder for --out, or --force to replace a report"
        )
    parent = _existing(folder.absolute().parent)
    if not parent.is_dir():
        raise FolderError(f"{folder}: {parent} is not a folder")
    if not os.access(parent, os.W_OK):
        raise FolderError(f"{folder}: no permission to write in {parent}")


def write_folder(folder: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Write the files, whose names are paths in the folder, and a list of them.

    They are written beside the folder first. A new or empty folder is then put in place at once; in
    one that holds something, only files that an earlier report lists as its own are replaced, and
    those of them that are no longer made are removed.

    Raises:
        FolderError: a file that no report made stands where one is to be written, or the disk says
            no.
    """
    listed = {**about, "files": sorted(files)}
    manifest = (json.dumps(listed, indent=1, sort_keys=True) + "\n").encode()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise FolderError(f"{folder}: can't be written: {error.strerror or error}") from error
    try:
        for name, content in {**files, MANIFEST: manifest}.items():
            target = made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        made.chmod(0o777 & ~_umask())
        if folder.is_dir() and any(folder.iterdir()):
            _replace(made, folder, [*files, MANIFEST])
        else:
            made.replace(folder)
    except OSError as error:
        raise FolderError(f"{folder}: can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _replace(made: Path, folder: Path, names: list[str]) -> None:
    own = _own(folder)
    strange = [name for name in names if (folder / name).exists() and name not in own]
    if strange:
        raise FolderError(
            f"{folder / strange[0]}: not made by ctv-tui, so it is not replaced; move it away or"
            " choose another folder for --out"
        )
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).replace(folder / name)
    for name in own - set(names):
        (folder / name).unlink(missing_ok=True)


def _own(folder: Path) -> set[str]:
    """Return the files that an earlier report lists, and its list."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not str(listed["made_by"]).startswith("ctv-tui"):
            return set()
        names = [name for name in listed["files"] if isinstance(name, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    inside = {n for n in names if not Path(n).is_absolute() and ".." not in Path(n).parts}
    return {MANIFEST, *inside}


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
