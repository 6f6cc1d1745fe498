"""Charts as text: what is drawn where, and that one chart leaves nothing behind for the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ctv_tui.widgets.chart import ChartData, chart_body
from ctv_tui.widgets.lines import Line, line, text_of
from ctv_tui.widgets.plot import Dot, Series, decimated, plot

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


def roles_of(lines: Sequence[Line], symbol: str) -> set[str]:
    return {role for row in lines for text, role in row if symbol in text}


@pytest.mark.parametrize(("width", "height"), [(38, 10), (58, 14), (118, 12)])
def test_three_trajectories(width: int, height: int, golden: Callable[[str, str], None]) -> None:
    lines = plot([OPEN, CLOSED, GOLD], X, Y, width, height)
    assert len(lines) == height
    assert all(len(text_of(row)) == width for row in lines)
    golden(f"trajectories_{width}x{height}", drawn(lines))


def test_series_differ_by_shape_and_by_role() -> None:
    lines = plot([OPEN, CLOSED, GOLD], X, Y, 60, 16)
    assert roles_of(lines, "◆") == {"gold"}
    assert roles_of(lines, "·") == {"open"}
    assert roles_of(lines, "●") == {"closed"}
    assert roles_of(lines, "○") == {"closed"}
    assert roles_of(lines, "┤") == {"dim"}


def test_later_series_cover_earlier_ones() -> None:
    same = dots(0.5, 0.5, 0.5)
    lines = plot(
        [Series("open", "dotted", same), Series("closed", "solid", same),
         Series("gold", "diamonds", same)], X, Y, 40, 11,
    )  # fmt: skip
    assert drawn(lines).count("◆") == 3
    assert not roles_of(lines, "●")


def test_gaps_break_the_line() -> None:
    whole = drawn(plot([Series("closed", "solid", dots(0.5, 0.5, 0.5, 0.5))], X, Y, 60, 11))
    gap = drawn(plot([Series("closed", "solid", dots(0.5, None, None, 0.5))], X, Y, 60, 11))
    nan = drawn(plot([Series("closed", "solid", dots(0.5, float("nan"), 0.5))], X, Y, 60, 11))
    assert sum(map(whole.count, "⠉⠒⠤⣀")) > 10
    assert sum(map(gap.count, "⠉⠒⠤⣀")) == 0
    assert sum(map(nan.count, "⠉⠒⠤⣀")) == 0


def test_a_band_is_shaded_under_its_line(golden: Callable[[str, str], None]) -> None:
    edges = tuple(Dot(d.x, (d.y or 0) + 0.2, low=(d.y or 0) - 0.2) for d in CLOSED.dots)
    lines = plot([Series("closed-band", "band", edges), CLOSED], X, (-1.0, 1.0), 58, 14)
    assert roles_of(lines, "░") == {"closed-band"}
    golden("band", drawn(lines))


def test_charts_do_not_disturb_each_other() -> None:
    first = plot([OPEN, CLOSED, GOLD], X, Y, 60, 16)
    plot([GOLD], (0.0, 5.0), (-1.0, 1.0), 30, 8)
    assert plot([OPEN, CLOSED, GOLD], X, Y, 60, 16) == first


@pytest.mark.parametrize(("width", "height"), [(0, 0), (5, 5), (13, 10), (40, 3), (14, 4)])
def test_tiny_areas_do_not_fail(width: int, height: int) -> None:
    assert len(plot([OPEN, CLOSED, GOLD], X, Y, width, height)) == height


def test_infinite_values_are_gaps() -> None:
    odd = dots(0.5, float("inf"), float("nan"), float("-inf"), 0.5)
    for shape in ("solid", "dotted", "diamonds"):
        assert plot([Series("gold", shape, odd)], X, Y, 40, 10)  # type: ignore[arg-type]


def test_values_outside_the_axes_stay_at_the_edge() -> None:
    lines = plot([Series("gold", "diamonds", dots(-3.0, 7.0))], X, Y, 40, 10)
    assert drawn(lines).count("◆") == 2


def test_many_points_are_decimated_to_the_extremes_of_each_column() -> None:
    many = [Dot(float(n), 0.5 + 0.4 * ((n * 37) % 101) / 101) for n in range(20_000)]
    kept = decimated(many, (0.0, 20_000.0), 100)
    assert len(kept) <= 300
    assert kept[-1] == many[-1]
    assert max(d.y or 0 for d in kept) == max(d.y or 0 for d in many)
    assert min(d.y or 0 for d in kept) == min(d.y or 0 for d in many)


def test_gaps_survive_decimation() -> None:
    many = [Dot(float(n), None if 4000 < n < 6000 else 0.5) for n in range(10_000)]
    assert any(d.y is None for d in decimated(many, (0.0, 10_000.0), 100))


def test_without_points_there_is_a_sentence() -> None:
    data = ChartData(line("gold"), series=(Series("gold", "diamonds", ()),), empty="not yet…")
    assert "not yet…" in drawn(chart_body(data, 40, 9))
