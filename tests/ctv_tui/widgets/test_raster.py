"""Our own charts as text: what is drawn where, and which series owns a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from ctv_tui.widgets.large_chart import LargeData, large_body
from ctv_tui.widgets.lines import Line, line, text_of, width_of
from ctv_tui.widgets.raster import Canvas, draw
from ctv_tui.widgets.series import Dot, Series, Shape, clipped

X, Y = (0.0, 1000.0), (0.0, 1.0)


def dots(*values: float | None, hollow_last: bool = False) -> tuple[Dot, ...]:
    last = len(values)
    return tuple(
        Dot(100.0 * n, value, hollow=hollow_last and n == last) for n, value in enumerate(values, 1)
    )


OPEN = Series("open", "dotted", dots(0.1, 0.3, 0.2, 0.4, 0.35, 0.5, 0.45, 0.55, 0.5, 0.6))
CLOSED = Series(
    "closed", "solid", dots(0.2, 0.3, 0.45, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.82, hollow_last=True)
)
GOLD = Series("gold", "diamonds", dots(0.25, None, 0.5, None, 0.6, None, 0.72, None, 0.8))


def drawn(lines: Sequence[Line]) -> str:
    return "\n".join(text_of(row).rstrip() for row in lines)


def braille(lines: Sequence[Line]) -> str:
    return "".join(c for c in drawn(lines) if "\u2801" <= c <= "\u28ff")


def dots_set(lines: Sequence[Line]) -> int:
    return sum((ord(c) - 0x2800).bit_count() for c in braille(lines))


def roles_of(lines: Sequence[Line], symbol: str) -> set[str]:
    return {role for row in lines for text, role in row if symbol in text}


@pytest.mark.parametrize(("width", "height"), [(38, 10), (58, 14), (118, 12)])
def test_three_trajectories(width: int, height: int, golden: Callable[[str, str], None]) -> None:
    lines = draw([OPEN, CLOSED, GOLD], X, Y, width, height)
    assert len(lines) == height and all(width_of(row) == width for row in lines)
    golden(f"raster_{width}x{height}", drawn(lines))


def test_series_can_be_told_apart_without_colour() -> None:
    joined = (Dot(0.0, 0.1), Dot(1000.0, 0.9))
    looks = {}
    for shape in ("solid", "dotted", "dashed", "diamonds", "plus"):
        shown = drawn(draw([Series("closed", shape, joined)], X, Y, 60, 12))  # type: ignore[arg-type]
        looks[shape] = "\n".join(row[5:] for row in shown.splitlines()[:-2])
    assert len(set(looks.values())) == 5
    solid, dashed, dotted = (
        dots_set(draw([Series("closed", shape, joined)], X, Y, 60, 12))
        for shape in ("solid", "dashed", "dotted")
    )  # type: ignore[arg-type]
    assert solid > 1.5 * dashed > 2 * dotted > 0


def test_a_later_series_owns_the_cells_that_it_touches() -> None:
    same = dots(0.5, 0.5, 0.5)
    lines = draw(
        [Series("open", "dotted", same), Series("closed", "solid", same),
         Series("gold", "diamonds", same)], X, Y, 40, 11,
    )  # fmt: skip
    assert drawn(lines).count("◆") == 3 and "●" not in drawn(lines)
    assert {role for row in lines for text, role in row if "⠤" in text or "⠒" in text} == {"closed"}


def test_a_point_is_where_its_value_is_on_the_axes() -> None:
    # 11 rows, of which 9 carry the plot: 0.75 is a quarter down, row 2; x = 500 is the middle.
    lines = draw([Series("gold", "diamonds", (Dot(500.0, 0.75),))], X, Y, 46, 11)
    rows = drawn(lines).splitlines()
    assert [n for n, row in enumerate(rows) if "◆" in row] == [2]
    assert rows[2].index("◆") == 5 + 20


def test_a_line_has_no_holes_however_steep() -> None:
    steep = Series("closed", "solid", (Dot(0.0, 0.0), Dot(500.0, 1.0), Dot(520.0, 0.0)))
    canvas = Canvas(40, 12, X, Y)
    canvas.add(steep)
    rows = ["".join(text for text, _ in row) for row in canvas.lines()]
    assert all(any(cell not in " " for cell in row) for row in rows)
    assert all(any(row[column] != " " for row in rows) for column in range(20))


def test_gaps_break_the_line_and_bad_numbers_are_gaps() -> None:
    whole = draw([Series("closed", "solid", dots(0.5, 0.5, 0.5, 0.5))], X, Y, 60, 11)
    gap = draw([Series("closed", "solid", dots(0.5, None, None, 0.5))], X, Y, 60, 11)
    odd = draw([Series("closed", "solid", dots(0.5, math.nan, math.inf, 0.5))], X, Y, 60, 11)
    assert dots_set(whole) > 20
    assert dots_set(gap) <= 2 and dots_set(odd) <= 2
    assert drawn(odd).count("●") == 2


@pytest.mark.parametrize("value", [-3.0, 7.0])
def test_values_outside_stay_at_the_edge(value: float) -> None:
    lines = draw([Series("gold", "diamonds", (Dot(500.0, value),))], X, Y, 40, 10)
    row = next(n for n, text in enumerate(drawn(lines).splitlines()) if "◆" in text)
    assert row == (0 if value > 1 else 7)


@pytest.mark.parametrize(("width", "height"), [(0, 0), (5, 5), (13, 10), (40, 3), (14, 4)])
def test_tiny_areas_do_not_fail(width: int, height: int) -> None:
    assert len(draw([OPEN, CLOSED, GOLD], X, Y, width, height)) == height


@pytest.mark.parametrize("shape", ["solid", "dotted", "dashed", "diamonds", "band", "plus"])
@pytest.mark.parametrize("count", [0, 1, 20_000])
def test_no_point_one_point_and_very_many(shape: Shape, count: int) -> None:
    many = tuple(Dot(n * 1000.0 / max(1, count - 1), 0.5, low=0.4) for n in range(count))
    lines = draw([Series("closed", shape, many)], X, Y, 60, 12)
    assert all(width_of(row) == 60 for row in lines)


def test_a_smooth_line_leaves_the_raw_points_as_dots() -> None:
    raw = dots(0.1, 0.9, 0.1, 0.9)
    smooth = Series("closed", "solid", raw, tuple(d._replace(y=0.5) for d in raw))
    lines = draw([smooth], X, Y, 60, 13)
    rows = drawn(lines).splitlines()
    assert sum(row.count("●") for row in rows) == 4
    assert [n for n, row in enumerate(rows) if set(row) & set("⠤⠒⣀⠉")] == [5]


def test_many_raw_points_under_a_smooth_line_are_single_dots() -> None:
    raw = tuple(Dot(10.0 * n, 0.1 if n % 2 else 0.9) for n in range(100))
    lines = draw([Series("closed", "solid", raw, tuple(d._replace(y=0.5) for d in raw))], X, Y,
                 60, 13)  # fmt: skip
    assert "●" not in drawn(lines)
    rows = drawn(lines).splitlines()
    assert any("\u2801" <= c <= "\u28ff" for c in rows[1])
    assert any("\u2801" <= c <= "\u28ff" for c in rows[9])


def test_cursor_and_zero_line_lie_behind_the_series() -> None:
    lines = draw([GOLD], X, (-1.0, 1.0), 46, 11, cursor=500.0, zero=True)
    rows = drawn(lines).splitlines()
    assert sum(row[5 + 20] == "│" for row in rows[:9]) == 8
    assert sum(row[5 + 20] == "◆" for row in rows[:9]) == 1
    assert rows[4].count("┄") > 30


def test_a_line_is_cut_at_the_edges_of_a_zoomed_axis() -> None:
    cut = clipped((Dot(0.0, 0.0), Dot(100.0, 1.0)), (25.0, 75.0))
    assert [(d.x, d.y) for d in cut] == [(25.0, 0.25), (75.0, 0.75)]
    lines = draw([CLOSED], (250.0, 450.0), Y, 60, 12)
    assert drawn(lines).count("●") == 2
    assert any(text_of(row)[5] != " " for row in lines[:10])


def test_without_an_x_axis_every_row_is_plot() -> None:
    lines = draw([CLOSED], X, Y, 60, 5, x_label=None)
    assert len(lines) == 5 and "┬" not in drawn(lines)


# --- the large chart ------------------------------------------------------------------------------


def large(**changes: object) -> LargeData:
    values: dict[str, object] = {
        "title": line("macro mean"),
        "series": (OPEN, CLOSED, GOLD),
        "x": X,
        "y": Y,
        "cursor": 500.0,
        "strip": (
            Series("open", "dotted", dots(-0.1, 0.0, -0.05)),
            Series("closed", "solid", dots(0.02, -0.02, 0.01)),
        ),
        "readout": ((line("step 500"),), (line("C"),), (line("O"),), (line("G"),)),
    }
    return LargeData(**(values | changes))  # type: ignore[arg-type]


def test_the_large_chart_has_plot_strip_and_values(golden: Callable[[str, str], None]) -> None:
    rows = large_body(large(), 70, 30)
    assert len(rows) == 30
    golden("large_70x30", drawn(rows))


@pytest.mark.parametrize("height", [4, 8, 10, 12, 19, 20, 40])
def test_what_has_no_room_is_left_out_from_below(height: int) -> None:
    text = drawn(large_body(large(), 60, height))
    assert len(large_body(large(), 60, height)) == height
    assert ("closed − gold" in text) == (height - 4 >= 16)
    assert ("step 500" in text) == (height > 8)


def test_without_gold_there_is_no_strip() -> None:
    assert "− gold" not in drawn(large_body(large(strip=()), 70, 30))
