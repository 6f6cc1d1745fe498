"""Which files of a checkpoint make up its processor. Without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

PATTERNS = ("*processor*.json", "token*", "vocab*", "merges*", "*.model", "*.jinja",
            "special_tokens_map.json", "added_tokens.json", "chat_template*")  # fmt: skip


def processor_digest(directory: Path) -> str:
    """Return a SHA-256, in hexadecimal, over names and contents of the processor's files.

    Checkpoints with the same digest turn a picture and a question into the same input.

    Raises:
        OSError: a file can't be read.
    """
    digest = hashlib.sha256()
    files = {path for pattern in PATTERNS for path in directory.glob(pattern)}
    for path in sorted(files):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def processor_source(directory: Path, base: Path | None, override: Path | None) -> Path:
    """Return where a checkpoint's processor lies: named by the user, its own, or its base's."""
    if override is not None:
        return override
    own = base is None or any(directory.glob("*processor_config.json"))
    return directory if own or base is None else base
