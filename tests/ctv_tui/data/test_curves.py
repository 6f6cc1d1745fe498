"""Smoothing, differences to gold and the time axis."""

from __future__ import annotations

import math

import pytest

from ctv_tui.data.curves import differences, ready_times, smoothed, time_axis
from ctv_tui.data.snapshot import Checkpoint, Point


def points(*values: float | None, stderr: float | None = None) -> tuple[Point, ...]:
    return tuple(Point(100 * n, value, stderr, 10, True) for n, value in enumerate(values, 1))


def test_the_moving_average_weighs_each_point_half_of_the_next_for_a_span_of_three() -> None:
    # Weights 1, 2 and 1, 2, 4 from the oldest: (0 + 2·1) / 3 and (0 + 2·1 + 4·0) / 7.
    assert smoothed(points(0.0, 1.0, 0.0), 3) == pytest.approx([0.0, 2 / 3, 2 / 7])


def test_a_constant_stays_what_it_is_from_the_first_point_on() -> None:
    assert smoothed(points(0.4, 0.4, 0.4), 15) == pytest.approx([0.4, 0.4, 0.4])


def test_what_has_no_number_is_a_gap_and_weighs_nothing() -> None:
    found = smoothed(points(0.0, None, math.nan, math.inf, 1.0), 3)
    assert found[1:4] == [None, None, None]
    assert found[4] == pytest.approx(2 / 3)


def test_differences_are_at_steps_with_both_numbers_and_their_errors_add_as_squares() -> None:
    proxy = points(0.5, 0.6, None, 0.8, stderr=0.03)
    gold = points(0.4, None, 0.5, 0.9, stderr=0.04)
    found = differences(proxy, gold)
    assert [p.step for p in found] == [100, 400]
    assert [p.value for p in found] == pytest.approx([0.1, -0.1])
    assert [p.stderr for p in found] == pytest.approx([0.05, 0.05])


def test_a_difference_with_a_part_is_not_complete() -> None:
    part = (Point(100, 0.5, None, 3, False),)
    assert [p.complete for p in differences(part, points(0.4))] == [False]


def test_time_counts_from_the_first_checkpoint() -> None:
    axis = time_axis({300: 1090.0, 100: 1000.0, 200: 1030.0})
    assert axis.since_first_s == {100: 0.0, 200: 30.0, 300: 90.0} and axis.went_back_s == 0.0


def test_a_clock_that_went_back_leaves_the_checkpoints_in_their_order() -> None:
    axis = time_axis({100: 1000.0, 200: 1500.0, 300: 900.0, 400: 1600.0})
    assert list(axis.since_first_s.values()) == [0.0, 500.0, 500.0, 600.0]
    assert axis.went_back_s == 600.0


def test_a_time_that_is_no_number_has_no_place() -> None:
    assert time_axis({100: math.nan, 200: 5.0}).since_first_s == {200: 0.0}
    assert time_axis({}).since_first_s == {}


def test_a_step_written_again_counts_from_its_latest_checkpoint() -> None:
    def checkpoint(key: int, ready_at: float | None) -> Checkpoint:
        return Checkpoint(key, 100, "/c", "done", None, 1.0, ready_at, None)

    assert ready_times([checkpoint(2, 8.0), checkpoint(1, 5.0)]) == {100: 8.0}
    assert ready_times([checkpoint(3, None)]) == {100: 1.0}
