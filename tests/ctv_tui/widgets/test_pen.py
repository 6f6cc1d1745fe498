"""A line that grows is drawn as if it were drawn anew."""

from __future__ import annotations

import random

import pytest

from ctv_tui.widgets.pen import Settled
from ctv_tui.widgets.raster import draw
from ctv_tui.widgets.series import Dot, Series, Shape

WIDE = (0.0, 400.0)


def _noise(seed: int, count: int) -> list[Dot]:
    rng = random.Random(seed)
    heights = [rng.random() for _ in range(count)]
    return [Dot(float(x), None if rng.random() < 0.05 else y) for x, y in enumerate(heights)]


@pytest.mark.parametrize("shape", ["solid", "dotted", "dashed"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_settled_changes_no_cell(shape: Shape, seed: int) -> None:
    dots, settled = _noise(seed, 400), Settled()
    for count in (1, 2, 30, 70, 71, 72, 150, 299, 300, 300, 360, 40, 400):
        shown = [*dots[: count - 1], dots[count - 1]._replace(y=count / 400)]
        series = [Series("closed", shape, tuple(shown))]
        again = draw(series, WIDE, (0.0, 1.0), 50, 14, settled=settled)
        assert again == draw(series, WIDE, (0.0, 1.0), 50, 14)


@pytest.mark.parametrize(
    ("x", "y", "width", "height"),
    [
        ((100.0, 300.0), (0.0, 1.0), 50, 14),
        (WIDE, (0.2, 0.8), 50, 14),
        (WIDE, (0.0, 1.0), 60, 14),
        (WIDE, (0.0, 1.0), 50, 9),
    ],
)
def test_another_range_or_size_is_drawn_from_nothing(
    x: tuple[float, float], y: tuple[float, float], width: int, height: int
) -> None:
    series, settled = [Series("open", "solid", tuple(_noise(7, 400)))], Settled()
    draw(series, WIDE, (0.0, 1.0), 50, 14, settled=settled)
    assert draw(series, x, y, width, height, settled=settled) == draw(series, x, y, width, height)


def test_only_the_end_of_a_line_is_drawn_again() -> None:
    dots, settled, asked = tuple(_noise(1, 400)), Settled(), 0

    def dot_at(dot: Dot) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return int(dot.x / 4), int((dot.y or 0.0) * 40)

    def draws(shown: tuple[Dot, ...]) -> int:
        before = asked
        settled.draw("closed", shown, "solid", WIDE, (0.0, 1.0), (50, 12), dot_at)
        return asked - before

    whole = draws(dots[:300])
    assert whole > 50
    assert draws((*dots[:299], Dot(299.0, 0.5))) < whole / 5
    assert draws(dots[:301]) < whole / 5
