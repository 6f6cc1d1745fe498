"""Plain ASCII in place of box, block and braille characters, for fonts that lack them.

Every replacement is one cell wide, so that nothing that was laid out moves. Letters, digits and
the marks of Latin-1 (``±``, ``·``, ``°``) stay: even a bare console has them.
"""

from __future__ import annotations

from ctv_tui.widgets.lines import Line

_BRAILLE = 0x2800
_UPPER, _LOWER = 0b00011011, 0b11100100
_GLYPHS = {
    "─━╌┄╴╶": "-",
    "│┃▕▏": "|",
    "┌┐└┘├┤┬┴┼╭╮╰╯": "+",
    "█▉▊▋": "#",
    "▓": "=",
    "▒": "%",
    "░": ":",
    "▌▍▎": "-",
    "╱": "/",
    "╲": "\\",
    "▁": "_",
    "▂": ".",
    "▃": ",",
    "▄": "-",
    "▅": "=",
    "▆": "+",
    "▇": "*",
    "▀▔": "'",
    "●": "*",
    "◉": "@",
    "○": "o",
    "◌": "o",
    "•": "x",
    "◆": "#",
    "◇": "%",
    "■": "#",
    "□": "=",
    "‖": "|",
    "▲↑": "^",
    "▼↓": "v",
    "▸▶→›": ">",
    "◂◀←‹": "<",
    "–—−‒": "-",
    "…": ".",
    "‘’": "'",
    "“”": '"',
    "≈∼": "~",
    "≤": "<",
    "≥": ">",
    "√": "v",
    "✓": "v",
    "✗✕✖⊗": "x",
    "Δ": "d",
    "σ": "s",
    "ρ": "r",
    "τ": "t",
}


def _of_braille(dots: int) -> str:
    """Return the character whose ink lies where the dots are: above, below or in both halves."""
    if not dots:
        return " "
    upper, lower = bool(dots & _UPPER), bool(dots & _LOWER)
    if upper and lower:
        return "|" if dots in (0b01000111, 0b10111000) else ":"
    return "'" if upper else "."


_TABLE = {
    **{ord(one): plain for shown, plain in _GLYPHS.items() for one in shown},
    **{_BRAILLE + dots: _of_braille(dots) for dots in range(256)},
}


def as_ascii(text: str) -> str:
    """Return ``text`` without box, block and braille characters, as wide as before."""
    return text if text.isascii() else text.translate(_TABLE)


def ascii_line(one: Line) -> Line:
    """Return a line without box, block and braille characters."""
    return tuple((as_ascii(text), role) for text, role in one)
