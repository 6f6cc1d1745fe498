"""Is a checkpoint directory whole? Read from what is on disk alone."""

from __future__ import annotations

import json
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ctv_engine.checkpoints.adapters import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BaseModelError,
    adapter_config,
    base_of,
    holds_adapter,
    pickled_part,
)
from ctv_engine.checkpoints.manifest import MANIFEST_FILE, ManifestError, missing_of, read_manifest
from ctv_engine.checkpoints.shards import refusal

STEP_PATTERN = re.compile(r"(?:checkpoint|ckpt|global_step|step|iter|epoch)[-_]?(\d+)")
STATE_FILE = "trainer_state.json"
POSITIVE_MARKERS = ("_SUCCESS", "STABLE")
UNFINISHED_MARKERS = ("checkpoint-is-incomplete.txt", "unfinished", ".unfinished")
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
NEEDED_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt")
MAX_HEADER_BYTES = 100 * 2**20

Verdict = Literal["whole", "writing", "unusable"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look at a directory showed.

    ``writing`` may become whole; ``unusable`` will not. ``files`` are what the engine needs of a
    whole checkpoint, relative to it; ``fingerprint`` changes with any change in the directory.
    ``base`` is the base model's directory, if the checkpoint holds only an adapter.
    """

    verdict: Verdict
    reason: str | None
    marked: bool
    files: tuple[str, ...]
    fingerprint: tuple[tuple[str, int, int, int], ...]
    expected: ExpectedSteps | None = None
    base: Path | None = None


@dataclass(frozen=True, slots=True)
class ExpectedSteps:
    """What ``trainer_state.json`` says about the checkpoints around this one."""

    save_steps: int | None
    max_steps: int | None


def step_of(directory: Path) -> int | None:
    """Return the training step that a directory's name states, if it does."""
    found = STEP_PATTERN.fullmatch(directory.name.lower())
    return int(found[1]) if found else None


def recorded_step(directory: Path) -> int | None:
    """Return ``global_step`` of the directory's trainer state, if it has one."""
    try:
        return int(json.loads((directory / STATE_FILE).read_bytes())["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def inspect(directory: Path, step: int | None, base: Path | None = None) -> Inspection:
    """Look at a checkpoint directory once; ``base`` is the base model that the user names.

    The rule: no marker of an unfinished write and no temporary file; ``config.json`` (of an
    adapter, ``adapter_config.json``, and its base model must be here) parses; every file of the
    manifest, if there is one, has the bytes that it says; every safetensors file is exactly as long
    as its header says; a trainer state, if the directory looks like the Trainer's, parses and names
    the directory's step. The caller adds the quiet period where nothing marks the end.

    Raises:
        FileNotFoundError: the directory is gone.
    """
    entries = _entries(directory)
    names = {name for name, *_ in entries}
    manifest, unreadable = None, None
    try:
        manifest = read_manifest(directory)
    except ManifestError as error:
        unreadable = str(error)

    def verdict(
        kind: Verdict,
        reason: str | None,
        files: tuple[str, ...] = (),
        expected: ExpectedSteps | None = None,
        base: Path | None = None,
    ) -> Inspection:
        marked = manifest is not None or any(marker in names for marker in POSITIVE_MARKERS)
        return Inspection(kind, reason, marked, files, entries, expected, base)

    for marker in UNFINISHED_MARKERS:
        if marker in names:
            return verdict("writing", f"{marker} says that it is still being written")
    if temporary := next((n for n in sorted(names) if ".tmp" in PurePosixPath(n).name), None):
        return verdict("writing", f"{temporary} is a file being written")
    if unreadable is not None:
        return verdict("writing", unreadable)
    if manifest is not None:
        if step is not None and manifest.step != step:
            return verdict("writing", f"{MANIFEST_FILE} is of step {manifest.step}")
        if lacking := missing_of(manifest, {name: size for name, size, *_ in entries}):
            return verdict("writing", lacking)
    if sharded := refusal(directory, names):
        return verdict("unusable", sharded)
    adapter = holds_adapter(names)
    config = ADAPTER_CONFIG if adapter else "config.json"
    try:
        adapter_config(directory) if adapter else json.loads((directory / config).read_bytes())
    except FileNotFoundError:
        return verdict("writing", f"no {config} yet")
    except ValueError:
        return verdict("writing", f"{config} is not whole")
    if adapter:
        if pickled := pickled_part(names):
            return verdict("unusable", pickled)
        weights, reason = _adapter_files(names)
    else:
        weights, reason = _weight_files(directory, names)
    if reason:
        return verdict("writing", reason)
    for name in weights:
        if reason := _short_safetensors(directory, name):
            return verdict("writing", reason)
    expected = None
    if STATE_FILE in names or {"training_args.bin", "optimizer.pt", "scheduler.pt"} & names:
        state = _trainer_state(directory)
        if state is None:
            return verdict("writing", f"{STATE_FILE} is missing or not whole")
        recorded = state.get("global_step")
        if step is not None and recorded != step:
            return verdict("writing", f"{STATE_FILE} is of step {recorded}")
        expected = ExpectedSteps(_count(state.get("save_steps")), _count(state.get("max_steps")))
    needed = {n for n in names if "/" not in n and n.endswith(NEEDED_SUFFIXES)}
    needed.discard(MANIFEST_FILE)
    if not adapter:  # transformers would follow an adapter that lies beside whole weights
        needed -= {ADAPTER_CONFIG, ADAPTER_WEIGHTS}
    try:
        found_base = base_of(directory, base)
    except BaseModelError as error:
        return verdict("unusable", str(error))
    return verdict("whole", None, tuple(sorted(needed | set(weights))), expected, found_base)


def _entries(directory: Path) -> tuple[tuple[str, int, int, int], ...]:
    entries: list[tuple[str, int, int, int]] = []
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root, name)
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            relative = path.relative_to(directory).as_posix()
            entries.append((relative, status.st_size, status.st_mtime_ns, status.st_ino))
    if not entries and not directory.is_dir():
        raise FileNotFoundError(directory)
    return tuple(sorted(entries))


def _adapter_files(names: set[str]) -> tuple[list[str], str | None]:
    if ADAPTER_WEIGHTS in names:
        return [ADAPTER_WEIGHTS], None
    return [], f"no weights ({ADAPTER_WEIGHTS}) yet"


def _weight_files(directory: Path, names: set[str]) -> tuple[list[str], str | None]:
    if INDEX_FILE in names:
        try:
            mapped = json.loads((directory / INDEX_FILE).read_bytes())["weight_map"].values()
            shards = sorted({str(name) for name in mapped})
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError):
            return [], f"{INDEX_FILE} is not whole"
        if not shards:
            return [], f"{INDEX_FILE} names no weights"
        for shard in shards:
            if PurePosixPath(shard).is_absolute() or ".." in PurePosixPath(shard).parts:
                return [], f"{INDEX_FILE} points outside the directory ({shard})"
        missing = [shard for shard in shards if shard not in names]
        if missing:
            return [], f"{missing[0]} is missing ({len(missing)} of {len(shards)} shards)"
        return shards, None
    if SINGLE_FILE in names:
        return [SINGLE_FILE], None
    return [], "no weights (model.safetensors) yet"


def _short_safetensors(directory: Path, name: str) -> str | None:
    """Return what is wrong with a safetensors file's length, or None if it is exact."""
    try:
        with (directory / name).open("rb") as file:
            prefix = file.read(8)
            size = os.fstat(file.fileno()).st_size
            if len(prefix) < 8:
                return f"{name} has no header yet"
            (header_bytes,) = struct.unpack("<Q", prefix)
            if header_bytes > min(MAX_HEADER_BYTES, max(size - 8, 0)):
                return f"{name} has no whole header; still being written?"
            header: dict[str, Any] = json.loads(file.read(header_bytes))
        ends = [int(v["data_offsets"][1]) for k, v in header.items() if k != "__metadata__"]
    except FileNotFoundError:
        return f"{name} is gone"
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return f"{name} has no readable header; still being written?"
    wanted = 8 + header_bytes + max(ends, default=0)
    if size < wanted:
        return f"{name} is {wanted - size:,} bytes short of its header; still being written?"
    if size > wanted:
        return f"{name} is {size - wanted:,} bytes longer than its header says"
    return None


def _trainer_state(directory: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((directory / STATE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value >= 1 else None
