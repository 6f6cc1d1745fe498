"""The best checkpoint with its ties, the last change, the straggler."""

from __future__ import annotations

import math

import pytest

from ctv_tui.data.snapshot import Lane, Point, Timeline
from ctv_tui.data.standing import Best, best, change, straggler, waits


def points(*values: tuple[int, float | None, float | None]) -> list[Point]:
    return [Point(step, value, stderr, 100, True) for step, value, stderr in values]


def test_the_best_checkpoint_has_an_interval_and_ties() -> None:
    """0.60 and 0.56 with 0.02 each: 0.04 apart, 1.96 · √(2 · 0.02²) = 0.055. 0.50 is 0.1 below."""
    found = best(points((100, 0.50, 0.02), (200, 0.56, 0.02), (300, 0.60, 0.02)))
    assert found is not None
    assert (found.step, found.value, found.tied, found.of) == (300, 0.60, (200, 300), 3)
    assert (found.low, found.high) == pytest.approx((0.60 - 0.0392, 0.60 + 0.0392))


def test_equal_scores_are_tied_and_the_earlier_one_is_named() -> None:
    found = best(points((100, 0.5, None), (200, 0.5, None), (300, 0.4, None)))
    assert found == Best(100, 0.5, None, None, (100, 200), 3)


def test_only_complete_and_known_scores_count() -> None:
    shown = [
        Point(100, 0.3, 0.01, 10, True),
        Point(200, 0.9, 0.01, 10, False),
        Point(300, None, None, 0, True),
        Point(400, math.nan, 0.01, 10, True),
        Point(500, math.inf, 0.01, 10, True),
    ]
    found = best(shown)
    assert found is not None and (found.step, found.of) == (100, 1)
    assert best(shown[1:]) is None and best([]) is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], None),
        ([0.5], None),
        ([0.50, 0.52], (0.02, True)),
        ([0.50, 0.60], (0.10, False)),
        ([0.60, 0.50], (-0.10, False)),
        ([0.50, None, 0.60], (0.10, False)),
        ([0.50, math.nan], None),
    ],
)
def test_the_last_change_and_whether_it_is_noise(
    values: list[float | None], wanted: tuple[float, bool] | None
) -> None:
    found = change(points(*((100 * n, value, 0.02) for n, value in enumerate(values, 1))))
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.is_noise) == (pytest.approx(wanted[0]), wanted[1])


def timeline(state: str, **ends: tuple[float, float | None]) -> Timeline:
    lanes = tuple(
        Lane(n, name, (), last_end_s, wait_s)
        for n, (name, (last_end_s, wait_s)) in enumerate(ends.items())
    )
    return Timeline(100, "open", state, 10.0, None, None, None, lanes)  # type: ignore[arg-type]


def test_the_straggler_ended_last_and_others_waited() -> None:
    ended = timeline("done", a=(6.0, 4.0), b=(10.0, 0.0), c=(9.0, 1.0))
    found = straggler([ended])
    assert found is not None and (found.device, found.waited_s) == ("b", 4.0)
    assert waits([ended]) == {("", "a"): 0.4, ("", "b"): 0.0, ("", "c"): 0.1}


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [timeline("running", a=(6.0, None), b=(10.0, None))],
        [timeline("done", a=(9.9, 0.1), b=(10.0, 0.0))],  # 1 % is nobody's fault
        [timeline("done", a=(10.0, 0.0))],
    ],
)
def test_there_need_not_be_a_straggler(shown: list[Timeline]) -> None:
    assert straggler(shown) is None
