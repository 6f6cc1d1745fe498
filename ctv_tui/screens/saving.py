"""Writing what is on screen to files."""

from __future__ import annotations

import re
import time
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80


def save(folder: Path, name: str, now: float, svg: str, text: str) -> tuple[Path, Path]:
    """Write a picture and a text side by side; return their paths. No file is overwritten.

    Raises:
        OSError: the folder is missing and can't be made, or can't be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    stem = f"{_UNSAFE.sub('-', name)[:_LONGEST].strip('-.')}-{stamp}"
    number = 1
    while True:
        tried = folder / (stem if number == 1 else f"{stem}-{number}")
        picture, words = Path(f"{tried}.svg"), Path(f"{tried}.txt")
        if not words.exists():
            try:
                with picture.open("x", encoding="utf-8") as file:
                    file.write(svg)
            except FileExistsError:
                pass
            else:
                words.write_text(text, encoding="utf-8")
                return picture, words
        number += 1
