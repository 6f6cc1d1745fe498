"""Every tab at every size in every theme; with CTV_TUI_LOOKS=FOLDER the pictures are kept there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from driving import SIZES, app_showing, screen_text, settled
from looks import LOOKS, look, write_png

from ctv_tui.app import TABS
from ctv_tui.data import Snapshot
from ctv_tui.data.safe_text import cells
from ctv_tui.preferences import Preferences
from ctv_tui.theme import Look
from ctv_tui.widgets.glyphs import as_ascii

PICTURES_OWN = "#c5c8c6"
"""What the writer of SVG gives to text without a colour."""

DARK_BACKGROUND, LIGHT_BACKGROUND = "#121212", "#f8f8f8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = os.environ.get("CTV_TUI_LOOKS")
    place = Path(kept) if kept else tmp_path
    place.mkdir(parents=True, exist_ok=True)
    return place


@pytest.mark.parametrize("theme", LOOKS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tab", [key for key, _ in TABS])
async def test_pictures(
    snapshot: Snapshot, now: float, folder: Path, tab: str, size: tuple[int, int], theme: Look
) -> None:
    svg, text = await look(snapshot, now, tab, size=size, theme=theme)
    background = DARK_BACKGROUND if theme == "dark" else LIGHT_BACKGROUND
    assert background in svg
    picture = folder / f"{tab}-{size[0]}x{size[1]}-{theme}.png"
    write_png(svg, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert all(cells(row) == size[0] for row in text.splitlines())
    assert len(text.splitlines()) == size[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tab", [key for key, _ in TABS])
async def test_ascii_has_neither_boxes_nor_blocks_nor_braille(
    snapshot: Snapshot, now: float, tab: str, size: tuple[int, int]
) -> None:
    _, text = await look(snapshot, now, tab, size=size, ascii_only=True)
    assert not {c for c in text if ord(c) > 0xFF}
    assert all(len(row) == size[0] for row in text.splitlines())


def test_every_ascii_stand_in_is_one_cell() -> None:
    shown = "".join(chr(0x2500 + n) for n in range(0xA0)) + "".join(
        chr(0x2800 + n) for n in range(256)
    )
    replaced = as_ascii(shown)
    assert len(replaced) == len(shown)
    assert as_ascii("⠀⠉⣀⣿⡇") == " '.:|"
    assert as_ascii("▕███▌▏ ±0.5 · 数") == "|###-| ±0.5 · 数"


async def test_help_and_the_palette_are_ascii_too(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now, Preferences(ascii_only=True))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("question_mark")
        assert not {c for c in await settled(pilot) if ord(c) > 0xFF}
        await pilot.press("escape", "colon")
        drawn = re.findall("[\u2500-\u257f\u2580-\u259f\u2800-\u28ff]", await settled(pilot))
        assert not drawn


async def test_no_color_leaves_no_colour(
    snapshot: Snapshot, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    svg, text = await look(snapshot, now, "overview")
    colours = set(re.findall(r"fill: (#[0-9a-f]{6})", svg)) - {PICTURES_OWN}
    assert colours
    for colour in colours:
        red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
        assert max(red, green, blue) - min(red, green, blue) <= 1, colour
    assert "C ─●─ closed" in text and "O ·•· open" in text and "G ◆ gold" in text


async def test_sixteen_colours_are_the_terminals_own(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now, Preferences(theme="ansi"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert "macro mean" in screen_text(app)
        strips = app.screen._compositor.render_strips()
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        colours = {c for style in styles for c in (style.color, style.bgcolor) if c is not None}
        assert colours and all(colour.triplet is None for colour in colours)
