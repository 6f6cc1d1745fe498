"""Pictures as the image processor left them, on disk, shared by checkpoints, workers and engines.

A training run asks the same questions about the same pictures at every checkpoint; decoding and
resizing them again is the largest cost beside the model's own. One file per picture and processor
holds what the image processor returned, bit for bit. Pixel values are few different numbers (they
come from bytes), so they are kept as indices into a palette: a quarter of the space of float32.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

SUFFIX = ".pixels"
PALETTE, AXIS = ".palette", ".axis"
MAX_PALETTE = 65536
SCAN_AFTER_BYTES = 64 * 2**20
_OURS = re.compile(r"[0-9a-f]{64}\.(pixels|\d+\.part)")
"""Nothing else is ever deleted: the directory may be shared with other things."""
WRITING_S = 600.0
"""After this time a file that is not yet an entry will never be one."""
KEEP_SHARE = 0.9
"""What eviction leaves of the limit, so that it isn't due again at the next entry."""

Entry = dict[str, Any]
"""What an image processor returned for one picture: arrays, and plain values."""


@dataclass
class InputCache:
    """Entries in one directory, at most ``limit_bytes`` of them, the least recently used go first.

    Safe for several processes: an entry appears by renaming a finished file, and one that can't be
    read, or whose checksum is wrong, counts as absent and is written again. A directory that can't
    be written to makes every look-up a miss and says so in ``fault``, which is set once.
    """

    directory: Path
    limit_bytes: int
    fault: str | None = None
    _since_scan: int = field(default=SCAN_AFTER_BYTES)
    _told: bool = False

    def path(self, key: str) -> Path:
        """Return where the entry of ``key`` (hexadecimal) lies or would lie."""
        return self.directory / key[:2] / f"{key}{SUFFIX}"

    def get(self, key: str) -> Entry | None:
        """Return an entry, its arrays memory-mapped where they need no decoding, or None."""
        path = self.path(key)
        try:
            with safe_open(path, framework="numpy") as file:
                meta = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if int(meta["crc"]) != _checksum(arrays, meta["plain"]):
                raise ValueError("wrong checksum")
            plain = json.loads(meta["plain"])
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError, KeyError):
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return {**plain, **_decode(arrays)}

    def put(self, key: str, entry: Entry) -> None:
        """Store an entry; a full or unwritable disk costs the cache, not the evaluation."""
        arrays: dict[str, np.ndarray] = {}
        plain: dict[str, Any] = {}
        for name, value in entry.items():
            if isinstance(value, np.ndarray):
                arrays |= _encode(name, value)
            else:
                plain[name] = value
        path = self.path(key)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            words = json.dumps(plain)
            meta = {"plain": words, "crc": str(_checksum(arrays, words))}
            save_file(arrays, part, metadata=meta)
            size = part.stat().st_size
            part.replace(path)
        except (OSError, SafetensorError) as error:
            _remove(part)
            if not self._told:
                self._told = True
                why = getattr(error, "strerror", None) or error
                self.fault = f"the input cache {self.directory} can't be written: {why}"
            return
        self._since_scan += size
        if self._since_scan >= min(SCAN_AFTER_BYTES, self.limit_bytes // 4):
            self._since_scan = 0
            self.evict()

    def evict(self) -> None:
        """Delete the least recently used files of ours until they are below the limit.

        Those that a killed process left half written are among them; not those being written.
        """
        began = time.time() - WRITING_S
        found: list[tuple[float, int, Path]] = []
        for path in self.directory.glob("??/*"):
            if not _OURS.fullmatch(path.name):
                continue
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.suffix != SUFFIX and status.st_mtime > began:
                    continue
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        if total <= self.limit_bytes:
            return
        for _, size, path in sorted(found):
            _remove(path)
            total -= size
            if total <= self.limit_bytes * KEEP_SHARE:
                return


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _checksum(arrays: dict[str, np.ndarray], plain: str) -> int:
    """Return a checksum over all that an entry means, not over its bytes alone."""
    crc = zlib.crc32(plain.encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return crc


def _encode(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays that stand for ``value``: itself, or indices and the palette they mean.

    Normalisation is per channel, so each channel has at most 256 values: one palette per channel
    where there is an axis of three, else one for the whole array.
    """
    value = np.asarray(value, order="C")
    if value.dtype.kind != "f" or value.size < 1024 or not np.isfinite(value).all():
        return {name: value}
    axis = value.ndim - 3 if value.ndim >= 3 and value.shape[-3] == 3 else None
    parts = [value] if axis is None else np.split(value, 3, axis)
    palettes: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    for part in parts:
        # By bit pattern, so that 0.0 and -0.0 stay what they are.
        bits = part.view(f"u{part.dtype.itemsize}")
        palette = np.unique(bits)
        if len(palette) > MAX_PALETTE:
            return {name: value}
        palettes.append(palette.view(part.dtype))
        # Two steps: asking for the inverse would sort all pixels to find a few hundred values.
        indices.append(np.searchsorted(palette, bits))
    longest = max(map(len, palettes))
    small = np.uint8 if longest <= 256 else np.uint16
    packed = np.concatenate(indices, axis or 0).astype(small)
    if packed.nbytes + longest * len(palettes) * value.itemsize >= value.nbytes:
        return {name: value}
    table = np.stack([np.resize(palette, longest) for palette in palettes])
    return {
        name: packed,
        name + PALETTE: table,
        name + AXIS: np.array([-1 if axis is None else axis], dtype=np.int64),
    }


def _decode(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo :func:`_encode`."""
    values: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if name.endswith((PALETTE, AXIS)):
            continue
        if name + PALETTE not in arrays:
            values[name] = array
            continue
        table, axis = arrays[name + PALETTE], int(arrays[name + AXIS][0])
        if axis < 0:
            values[name] = table[0][array]
        else:
            parts = np.split(array, len(table), axis)
            looked_up = [palette[part] for palette, part in zip(table, parts, strict=True)]
            values[name] = np.concatenate(looked_up, axis)
    return values
