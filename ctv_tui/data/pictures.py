"""What a picture's file says about itself, from its first bytes; nothing is decoded."""

from __future__ import annotations

import stat
import struct
from pathlib import Path

from ctv_tui.data.item_rows import Picture

_HEAD_BYTES = 65_536
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def describe_picture(path: str) -> Picture:
    """Return the size of the file at ``path`` in bytes and pixels, or why there is none.

    Only regular files are opened: the path is a database's word.
    """
    if not path:
        return Picture(path, trouble="no picture")
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            return Picture(path, trouble="not a file")
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        gone = isinstance(error, FileNotFoundError)
        return Picture(path, trouble="no such file here" if gone else "can't be read")
    return Picture(path, found.st_size, pixels_of(head))


def pixels_of(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, GIF, BMP or JPEG from the file's first bytes, or None."""
    try:
        if head.startswith(_PNG):
            return struct.unpack(">II", head[16:24])
        if head.startswith(b"GIF8"):
            return struct.unpack("<HH", head[6:10])
        if head.startswith(b"BM"):
            width, height = struct.unpack("<ii", head[18:26])
            return width, abs(height)
        if head.startswith(b"\xff\xd8"):
            return _jpeg_pixels(head)
    except struct.error:
        return None
    return None


def _jpeg_pixels(head: bytes) -> tuple[int, int] | None:
    """Follow the segments up to the frame header (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None
