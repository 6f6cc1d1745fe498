"""Pictures of the dashboard, for eyes: SVG from the app, PNG from the SVG.

``python tests/ctv_tui/looks.py FOLDER [TAB…]`` draws every tab of the recorded run at every size,
dark and light. A test of a tab calls :func:`look`.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # waiting.py lies there

from driving import SIZES, app_showing, settled

from ctv_tui.app import TABS
from ctv_tui.data import Snapshot, read_snapshot
from ctv_tui.preferences import Preferences
from ctv_tui.theme import Look

LOOKS: tuple[Look, ...] = ("dark", "light")
_FONT_FACES = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)
_BRAILLE = re.compile("[\u2801-\u28ff]+")


async def look(
    snapshot: Snapshot,
    now: float,
    tab: str,
    *,
    size: tuple[int, int] = (120, 40),
    theme: Look = "dark",
    keys: Sequence[str] = (),
    ascii_only: bool = False,
) -> tuple[str, str]:
    """Return a tab as SVG and as text, after ``keys`` were pressed on it."""
    app = app_showing(snapshot, now, Preferences(theme, ascii_only))
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        app.tab = tab
        await settled(pilot)
        if keys:
            await pilot.press(*keys)
        text = await settled(pilot)
        return app.export_screenshot(title=tab), text


def write_png(svg: str, path: Path) -> None:
    """Convert a picture; the web font it names is replaced by a local one of fixed width."""
    import cairosvg

    local = _FONT_FACES.sub("", svg).replace("Fira Code", "DejaVu Sans Mono")
    # The font of fixed width has no braille; its sister has.
    local = _BRAILLE.sub(
        lambda found: f'<tspan font-family="DejaVu Sans">{found.group()}</tspan>', local
    )
    cairosvg.svg2png(bytestring=local.encode(), write_to=str(path))


async def draw_all(snapshot: Snapshot, now: float, folder: Path, tabs: Sequence[str]) -> None:
    """Write ``TAB-WIDTHxHEIGHT-THEME.png`` for every size and theme."""
    folder.mkdir(parents=True, exist_ok=True)
    for tab in tabs:
        for size in SIZES:
            for theme in LOOKS:
                svg, _ = await look(snapshot, now, tab, size=size, theme=theme)
                write_png(svg, folder / f"{tab}-{size[0]}x{size[1]}-{theme}.png")


if __name__ == "__main__":
    import recorded_run

    with tempfile.TemporaryDirectory() as place:
        recorder = recorded_run.record(Path(place) / "run.db")
        recorder.close()
        at = recorder.clock.now + 2.0
        recorded = replace(read_snapshot(Path(place) / "run.db"), read_at=at)
        asyncio.run(
            draw_all(
                recorded,
                at,
                Path(sys.argv[1]),
                sys.argv[2:] or [key for key, _ in TABS],
            )
        )
