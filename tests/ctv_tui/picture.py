"""A screenshot as PNG, for people to look at.

The fonts at hand have no braille, and the converter takes no second font where the first lacks a
sign, so the dots of charts are drawn as circles.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import cairosvg

_TEXT = re.compile(r'<text class="([^"]+)" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')
_CELL_WIDTH, _CELL_HEIGHT = 12.2, 24.4
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of each bit of a braille sign."""


def _with_circles(found: re.Match[str]) -> str:
    role, x, y, text = found[1], float(found[2]), float(found[3]), html.unescape(found[4])
    circles = []
    for place, sign in enumerate(text):
        if not 0x2800 < ord(sign) <= 0x28FF:
            continue
        for bit, (column, row) in enumerate(_DOTS):
            if ord(sign) >> bit & 1:
                cx = x + (place + 0.25 + 0.5 * column) * _CELL_WIDTH
                cy = y - 0.75 * _CELL_HEIGHT + (row + 0.5) / 4 * _CELL_HEIGHT
                circles.append(f'<circle class="{role}" cx="{cx:.1f}" cy="{cy:.1f}" r="1.9"/>')
    if not circles:
        return found[0]
    plain = re.sub("[\u2801-\u28ff]", "\u00a0", found[4])
    return found[0].replace(found[4], plain) + "".join(circles)


def save_png(svg: str, path: Path) -> None:
    """Write a screenshot that the app exported as SVG."""
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    cairosvg.svg2png(_TEXT.sub(_with_circles, svg).encode(), write_to=str(path))


def picture(app: Any, path: Path) -> None:
    """Write what ``app`` shows now."""
    save_png(app.export_screenshot(), path)
