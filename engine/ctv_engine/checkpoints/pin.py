"""Keeping a checkpoint while it is evaluated, whatever the training run deletes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctv_engine.checkpoints.adapters import base_files

WHOLE_FILE_BYTES = 64 * 2**20
SAMPLED_BLOCKS = 64
BLOCK_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned checkpoint. ``digest`` is its identity; ``copied`` tells that links were refused.

    An adapter's base model is not pinned, but its identity is part of the digest.
    """

    directory: Path
    digest: str
    bytes: int
    copied: bool
    base: Path | None = None


def pin(source: Path, files: Sequence[str], target: Path, base: Path | None = None) -> Pin:
    """Hard-link ``files`` of ``source`` into ``target``; copy where the file system refuses.

    ``target`` appears whole or not at all.

    Raises:
        FileNotFoundError: a file was deleted meanwhile.
        OSError: the target can't be written (no space, no permission).
    """
    partial = target.with_name(target.name + ".partial")
    unpin(partial)
    unpin(target)
    copied = False
    total = 0
    try:
        for name in files:
            goal = partial / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            origin = (source / name).resolve(strict=True)
            try:
                os.link(origin, goal)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                    raise
                shutil.copy2(origin, goal)
                copied = True
            total += goal.stat().st_size
        identity = _identity(partial, files, base)
        partial.rename(target)
    except OSError:
        unpin(partial)
        raise
    return Pin(target, identity, total, copied, base)


def unpin(target: Path) -> None:
    """Remove a pin; the training run's own files stay."""
    shutil.rmtree(target, ignore_errors=True)


def still_holds(pinned: Path, identity: str, base: Path | None = None) -> bool:
    """Tell whether a pin's files are what they were when it was made.

    A link keeps a file from being deleted, not from being rewritten in place. A pin that can't be
    read says nothing against what was read of it before.
    """
    try:
        files = [p.relative_to(pinned).as_posix() for p in pinned.rglob("*") if p.is_file()]
        return not files or _identity(pinned, files, base) == identity
    except OSError:
        return True


def _identity(directory: Path, files: Sequence[str], base: Path | None) -> str:
    own = digest(directory, files)
    if base is None:
        return own
    both = f"{own} on {digest(base, base_files(base))}"
    return hashlib.sha256(both.encode()).hexdigest()


def digest(directory: Path, files: Sequence[str]) -> str:
    """Return the identity of a checkpoint: SHA-256 over names, sizes and contents.

    Of files over 64 MiB the first 64 KiB (with the safetensors header's begin) and 63 more blocks
    spread evenly to the end are read.

    Raises:
        FileNotFoundError: a file is gone.
    """
    whole = hashlib.sha256()
    for name in sorted(files):
        path = directory / name
        size = path.stat().st_size
        whole.update(f"{name} {size}\n".encode())
        with path.open("rb") as file:
            if size <= WHOLE_FILE_BYTES:
                whole.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for number in range(SAMPLED_BLOCKS):
                file.seek(number * (size - BLOCK_BYTES) // (SAMPLED_BLOCKS - 1))
                whole.update(file.read(BLOCK_BYTES))
    return whole.hexdigest()


def read_ahead(directory: Path) -> None:
    """Ask the system to read a pinned checkpoint's weights into its file cache, and don't wait.

    The workers of a host then share what was read once. Where there is no such call, nothing is
    lost: the first worker reads.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return
    for path in directory.glob("*.safetensors"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            advise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
