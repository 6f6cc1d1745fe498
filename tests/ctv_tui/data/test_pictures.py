"""What a picture's first bytes tell."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from ctv_tui.data.item_rows import Picture
from ctv_tui.data.pictures import describe_picture, pixels_of


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "JPEG"])
def test_pixels_are_those_of_an_image_library(kind: str) -> None:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.new("RGB", (123, 45)).save(out, kind)
    assert pixels_of(out.getvalue()) == (123, 45)
    assert pixels_of(out.getvalue()[:9]) is None


def test_a_progressive_photo_with_a_comment_and_a_thumbnail_in_front() -> None:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.new("RGB", (640, 480)).save(out, "JPEG", progressive=True, comment=b"x" * 5000)
    assert pixels_of(out.getvalue()) == (640, 480)


@pytest.mark.parametrize(
    "head", [b"", b"text", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0"]
)
def test_what_is_no_picture_has_no_pixels(head: bytes) -> None:
    assert pixels_of(head) is None


def test_a_file_is_described_or_the_reason_given(tmp_path: Path) -> None:
    whole = tmp_path / "a.png"
    whole.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\1\0\0\0\0\x80" + b"x" * 9)
    assert describe_picture(str(whole)) == Picture(str(whole), 33, (256, 128))
    assert describe_picture("").trouble == "no picture"
    assert describe_picture("\0").trouble == "can't be read"
    assert describe_picture(str(tmp_path / "gone.png")).trouble == "no such file here"
    assert describe_picture(str(tmp_path)).trouble == "not a file"
    os.mkfifo(tmp_path / "pipe")
    assert describe_picture(str(tmp_path / "pipe")).trouble == "not a file"
