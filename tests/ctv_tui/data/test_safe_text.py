"""Untrusted text can't steer the terminal."""

from __future__ import annotations

import unicodedata

import pytest

from ctv_tui.data.safe_text import cells, pad, safe, shorten

CASES = [
    ("plain text, 100 %", "plain text, 100 %"),
    ("Größe 数", "Größe 数"),
    ("\x1b[2J", "\\x1b[2J"),
    ("a\r\nb\tc", "a\\x0d\\x0ab c"),
    ("\x9b31m", "\\x9b31m"),
    ("\u202egnp.exe", "\\u202egnp.exe"),
    ("a\u200bb\u2066c", "a\\u200bb\\u2066c"),
    ("\u2028\U000e0041", "\\u2028\\U000e0041"),
    ("[red]markup[/red]", "[red]markup[/red]"),
    ("\u0301a", "\u25cc\u0301a"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "shown"), CASES)
def test_control_characters_become_visible_escapes(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_no_control_or_format_character_survives_from_the_whole_of_unicode() -> None:
    everything = "".join(map(chr, [*range(0x30000), *range(0xE0000, 0xE0200), 0x10FFFF]))
    left = {unicodedata.category(character) for character in safe(everything)}
    assert not left & {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdef", 4, "abc…"), ("数数数", 4, "数…"), ("ab", 0, "")],
)
def test_text_is_cut_at_cells_not_characters(text: str, width: int, shown: str) -> None:
    assert shorten(text, width) == shown
    assert cells(pad(text, width)) == width
