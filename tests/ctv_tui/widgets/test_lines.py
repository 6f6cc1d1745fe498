"""Lines with roles: fitting, frames, bars."""

from __future__ import annotations

import pytest

from ctv_tui.widgets.lines import (
    Line,
    bar,
    centred,
    fitted,
    framed,
    joined,
    line,
    sparkline,
    spread,
    text_of,
    width_of,
)


@pytest.mark.parametrize("width", [0, 1, 2, 5, 8, 9, 20])
@pytest.mark.parametrize(
    "one", [line("abc", ("defgh", "dim")), line(("数数", "dim"), "x"), line(), line("abcdefghi")]
)
def test_a_fitted_line_has_exactly_its_width(one: Line, width: int) -> None:
    assert width_of(fitted(one, width)) == width


def test_a_cut_line_ends_with_an_ellipsis() -> None:
    assert text_of(fitted(line("abc", ("defgh", "dim")), 6)) == "abcde…"
    assert text_of(fitted(line("abc", ("defgh", "dim")), 3)) == "ab…"
    assert text_of(fitted(line("abc", ("def", "dim")), 6)) == "abcdef"


def test_spread_keeps_the_right_end() -> None:
    assert text_of(spread(line("left side"), line("right"), 12)) == "left s…right"


def test_joined_leaves_empty_parts_out() -> None:
    assert text_of(joined([line("a"), (), line("b")], ", ")) == "a, b"


def test_a_frame_has_a_title_and_the_first_right_that_fits() -> None:
    rows = framed(
        [line("body")], 20, 4, title=line("title"), rights=[line("far too long"), line("fits")]
    )
    assert [text_of(row) for row in rows] == [
        "┌─ title ─── fits ─┐",
        "│body              │",
        "│                  │",
        "└──────────────────┘",
    ]


@pytest.mark.parametrize("width", range(30))
def test_frames_of_any_width_are_exact(width: int) -> None:
    rows = framed([line("x" * 40)], width, 3, title=line("a title"), rights=[line("right")])
    assert [width_of(row) for row in rows] == [width] * 3


def test_a_sentence_is_wrapped_at_blanks() -> None:
    rows = [text_of(row).strip() for row in centred("waiting for the first score…", 16, 4)]
    assert rows == ["waiting for", "the first", "score…", ""]


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "    "), (0.5, "██  "), (1.0, "████"), (7.0, "████"), (0.03, "▏   ")]
)
def test_a_bar_is_filled_in_eighths(share: float, text: str) -> None:
    assert bar(share, 4) == text


def test_a_sparkline_shows_the_newest_at_the_right_and_gaps_as_blanks() -> None:
    assert sparkline([0.0, 50.0, None, 100.0], 6) == "  ▁▄ █"
    assert sparkline([0.0, 100.0, 0.0, 0.0], 2) == "▄▁"
