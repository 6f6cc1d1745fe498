"""The best checkpoint with its ties, the last change, the straggler."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ctv_engine.store.rows import RankRow
from ctv_tui.data.snapshot import Lane, Point, Timeline
from ctv_tui.data.standing import Best, Change, best, change, straggler, waits


def points(*values: tuple[int, float | None, float | None]) -> list[Point]:
    return [Point(step, value, stderr, 100, True) for step, value, stderr in values]


def ranked(*rows: tuple[int, float, int | None]) -> list[RankRow]:
    """Rows of a ranking from (step, value, may be the best), each a tenth above the one before."""
    return [
        RankRow(
            "closed", 1, step, n, value, value - 0.05, value + 0.05, tied, 0.1, 0.05, 0.15, 9, 0
        )
        for n, (step, value, tied) in enumerate(rows, 1)
    ]  # fmt: skip


def test_the_best_checkpoint_is_the_first_of_the_ranking() -> None:
    found = best(ranked((300, 0.6, 1), (200, 0.5, 1), (100, 0.4, 0)))
    assert found == Best(300, 0.6, pytest.approx(0.55), pytest.approx(0.65), (200, 300), 3)
    assert best([]) is None


def test_which_others_might_be_best_may_not_be_known() -> None:
    found = best(ranked((300, 0.6, None), (200, 0.5, None)))
    assert found is not None and found.tied is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], None),
        ([0.5], None),
        ([0.50, 0.52], 0.02),
        ([0.60, 0.50], -0.10),
        ([0.50, None, 0.60], 0.10),
        ([0.50, math.nan], None),
    ],
)
def test_the_last_change_is_no_news_until_the_engine_has_weighed_it(
    values: list[float | None], wanted: float | None
) -> None:
    found = change(points(*((100 * n, value, 0.02) for n, value in enumerate(values, 1))))
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.is_noise) == (pytest.approx(wanted), None)


def test_the_last_change_is_noise_if_its_interval_holds_zero() -> None:
    shown, rows = points((100, 0.5, 0.02), (200, 0.6, 0.02)), ranked((200, 0.6, 1), (100, 0.5, 1))
    assert change(shown, rows) == Change(0.1, 100, False)
    assert change(shown, [replace(rows[0], change_low=-0.01)]) == Change(0.1, 100, True)
    running = [shown[0], replace(shown[1], complete=False)]
    assert change(running, rows) == Change(pytest.approx(0.1), 100, None)


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
