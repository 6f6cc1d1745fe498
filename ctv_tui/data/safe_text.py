"""Text from a database is not ours: names, paths, messages and answers may hold anything."""

from __future__ import annotations

import unicodedata

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK = str.maketrans({"\t": " ", "\u00a0": " "})


def safe(text: str) -> str:
    r"""Return ``text`` with everything that could steer a terminal shown as a visible escape.

    C0 and C1 controls, ESC, line ends, bidirectional and other format characters, line and
    paragraph separators, surrogates and unassigned code points become ``\x1b``, ``\u202e`` and
    the like. The result is one line. Combining marks stay, but never as the first character.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(map(_shown, text.translate(_BLANK)))
    return f"\u25cc{shown}" if shown and unicodedata.combining(shown[0]) else shown


def _shown(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def cells(text: str) -> int:
    """Return how many terminal cells ``text`` (already :func:`safe`) takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, with an ellipsis where it was cut."""
    if cells(text) <= width:
        return text
    if width <= 0:
        return ""
    kept, room = [], width - 1
    for character in text:
        room -= _cells_of(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` cut or filled with blanks to exactly ``width`` cells."""
    text = shorten(text, width)
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks
