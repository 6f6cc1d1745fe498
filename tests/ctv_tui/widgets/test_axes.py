"""Axis ranges and ticks."""

from __future__ import annotations

import pytest

from ctv_tui.widgets.axes import Range, score_label, score_range, step_label, step_range, ticks


@pytest.mark.parametrize(
    ("values", "before", "wanted"),
    [
        ([], None, (0.0, 1.0)),
        ([0.41, 0.58], None, (0.3, 0.6)),
        ([0.0, 1.0], None, (0.0, 1.0)),
        ([0.99], None, (0.7, 1.0)),
        ([0.41, 0.58], (0.2, 0.8), (0.3, 0.6)),
        ([0.35, 0.58], (0.3, 0.8), (0.3, 0.8)),
        ([0.35, 0.82], (0.3, 0.8), (0.3, 0.9)),
        ([float("nan"), 0.5, 0.55], None, (0.4, 0.7)),
    ],
)
def test_score_ranges_stay_until_they_must_move(
    values: list[float], before: Range | None, wanted: Range
) -> None:
    assert score_range(values, before) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("steps", "before", "wanted"),
    [
        ([], None, (0.0, 1.0)),
        ([100, 1000], None, (0.0, 1000.0)),
        ([100, 1100], (0.0, 1000.0), (0.0, 1200.0)),
        ([100, 1100], (0.0, 1500.0), (0.0, 1500.0)),
        ([90_000, 95_000, 100_000], None, (88_000.0, 100_000.0)),
        ([100], None, (0.0, 100.0)),
    ],
)
def test_step_ranges_end_at_a_round_number(
    steps: list[int], before: Range | None, wanted: Range
) -> None:
    assert step_range(steps, before) == wanted


@pytest.mark.parametrize(
    ("span", "most", "wanted"),
    [
        ((0.0, 1.0), 3, [0.0, 0.5, 1.0]),
        ((0.2, 0.8), 2, [0.2, 0.4, 0.6, 0.8]),
        ((-1.0, 1.0), 5, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        ((0.0, 1200.0), 4, [0.0, 500.0, 1000.0]),
    ],
)
def test_ticks_are_round_and_at_least_two(span: Range, most: int, wanted: list[float]) -> None:
    assert ticks(span, most) == wanted


def test_labels_are_short() -> None:
    assert [step_label(v) for v in (0, 1500, 12_500, 1_200_000)] == ["0", "1500", "12.5k", "1.2M"]
    assert [score_label(v) for v in (0.5, 0.25, -1.0)] == ["0.5", "0.25", "-1.0"]
