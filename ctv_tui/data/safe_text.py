"""Text from a database is not ours: names, paths, messages and answers may hold anything."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_OURS = re.compile("[ -~\u2500-\u25fc\u2800-\u28ff·•×…±−–°]*").fullmatch
"""Text of one cell a character: ASCII and the boxes, blocks, shapes and braille of our charts."""

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
    if text.isascii() or _OURS(text):
        return len(text)
    return sum(map(_cells_of, text))


def is_narrow(text: str) -> bool:
    """Whether every character takes exactly one cell, so that places and cells are the same."""
    return text.isascii() or bool(_OURS(text)) or all(_cells_of(one) == 1 for one in text)


@lru_cache(maxsize=4096)
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


def whole_words(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, cut between words where that costs little.

    A word that alone takes more than half of the width is cut in its middle after all.
    """
    short = shorten(text, width)
    if short == text or width <= 0:
        return short
    kept = short[:-1]
    if text[len(kept) : len(kept) + 1] != " " and " " in kept:
        at_blank = kept[: kept.rindex(" ")].rstrip()
        if cells(at_blank) >= width // 2:
            kept = at_blank
    return kept.rstrip() + "…"


def wrapped(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` cells, broken between words where it can be."""
    lines = [""]
    for word in text.split(" "):
        room = width - cells(lines[-1])
        if lines[-1] and cells(word) + 1 <= room:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        while cells(word) > width > 0:
            lines[-1] = _cut(word, width) or word[:1]
            word = word[len(lines[-1]) :]
            lines.append("")
        lines[-1] = word
    return lines


def _cut(text: str, width: int) -> str:
    """Return the longest start of ``text`` that takes at most ``width`` cells."""
    taken = 0
    for at, character in enumerate(text):
        taken += _cells_of(character)
        if taken > width:
            return text[:at]
    return text


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` cut or filled with blanks to exactly ``width`` cells."""
    text = shorten(text, width)
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks
