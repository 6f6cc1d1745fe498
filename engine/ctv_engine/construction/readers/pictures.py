"""Pictures of a benchmark, taken as they come: bytes, base64 or a path. Never trusted."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctv_engine.construction.source import SourceError

MAX_PIXELS = 100_000_000
"""A picture with more is refused before it is decoded; documents have some ten million."""
MAX_BYTES = 64 * 1024 * 1024
LONGEST_PATH = 256
SHORTEST_BASE64 = 64
KEPT_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
READ_FORMATS = (*KEPT_FORMATS, "PPM", "JPEG2000")
"""Pillow reads more, PostScript by an interpreter among them: not from files of strangers."""
_A_GLANCE = (64, 64)


class PictureError(Exception):
    """Why a picture can't be used, in words."""


def picture_bytes(cell: Any, folder: Path) -> bytes:
    """Return the encoded picture that a cell holds or names.

    A cell is bytes, a mapping with ``bytes`` or ``path`` (Hugging Face), base64 text, or the path
    of a file below ``folder``.

    Raises:
        PictureError: the cell is empty, names nothing, or leads out of the folder.
    """
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return bytes(cell)
    if not isinstance(cell, str) or not cell.strip():
        raise PictureError("no picture in this row")
    text = cell.strip()
    if _looks_encoded(text):
        try:
            return base64.b64decode(text.partition(",")[2] or text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise PictureError(f"its base64 is broken ({error})") from error
    return _file_below(folder, text)


def _looks_encoded(text: str) -> bool:
    """Tell base64 from a path: it is long, and a file's name has a dot, which base64 has not."""
    if text.startswith("data:image/") or len(text) > LONGEST_PATH:
        return True
    return len(text) > SHORTEST_BASE64 and "." not in text


def _file_below(folder: Path, name: str) -> bytes:
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise PictureError(f"picture {name!r} leads out of {folder}")
        if not path.is_file():
            raise PictureError(f"no picture {name!r} in {folder}; --images names another folder")
        if path.stat().st_size > MAX_BYTES:
            raise PictureError(f"picture {name!r} has more than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise PictureError(f"picture {name!r} can't be read ({error})") from error


def whole_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return the picture if it can be decoded, in a format that a suite takes.

    Its size is read from the header and compared with the limit before anything is decoded. Of a
    JPEG only a small version is decoded, which reads the whole file all the same.

    Raises:
        PictureError: no picture, too many pixels or bytes, cut short, or damaged.
        SourceError: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise SourceError("reading pictures takes pip install 'ctv-tui[suite]'") from error
    if len(data) > MAX_BYTES:
        raise PictureError(f"the picture has {len(data) >> 20} MiB, the limit is {MAX_BYTES >> 20}")
    try:
        with _without_warnings(), Image.open(io.BytesIO(data), formats=READ_FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise PictureError(
                    f"{width} × {height} are too many pixels; the limit is {max_pixels:,} in all"
                )
            if picture.format in KEPT_FORMATS:
                if picture.format == "JPEG":
                    picture.draft(picture.mode, _A_GLANCE)
                picture.load()
                return data
            encoded = io.BytesIO()
            picture.convert("RGB").save(encoded, "PNG")
            return encoded.getvalue()
    except UnidentifiedImageError as error:
        raise PictureError("the bytes are no picture") from error
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"too many pixels; the limit is {max_pixels:,} in all") from error
    except Exception as error:  # of bytes made to break it a decoder may raise anything
        raise PictureError(f"the picture can't be decoded ({error})") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence what Pillow says of large pictures: the limit here is its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
