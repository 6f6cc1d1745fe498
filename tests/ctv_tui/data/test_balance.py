"""Closed and open on one axis: apart, together, and what waiting makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ctv_engine.store.rows import Mode
from ctv_tui.data.balance import are_together, parts_of, wait_share
from ctv_tui.data.snapshot import Device, Lane, Timeline


def timeline(
    mode: Mode,
    began_at: float,
    extent_s: float,
    lanes: tuple[tuple[float, float, float], ...],
    state: str = "done",
) -> Timeline:
    """A time line whose lanes are (busy, own end, wait)."""
    return Timeline(
        step=100,
        mode=mode,
        state=state,  # type: ignore[arg-type]
        extent_s=extent_s,
        idle_fraction=0.25,
        makespan_s=extent_s,
        ideal_s=extent_s / 2,
        lanes=tuple(
            Lane(n, f"cuda:{n}", (), own_end, wait if state == "done" else None, busy)
            for n, (busy, own_end, wait) in enumerate(lanes)
        ),
        began_at=began_at,
    )


CLOSED = timeline("closed", 100.0, 20.0, ((20.0, 20.0, 0.0), (16.0, 18.0, 2.0)))
OPEN = timeline("open", 120.5, 60.0, ((30.0, 30.0, 30.0), (60.0, 60.0, 0.0)))


def test_one_after_the_other_are_two_parts_with_numbers_of_their_own() -> None:
    closed, opened = parts_of([OPEN, CLOSED])
    assert (closed.modes, opened.modes) == (("closed",), ("open",))
    assert (closed.start_at, closed.end_at) == (100.0, 120.0)
    assert closed.imbalance == pytest.approx(20.0 / 18.0)
    assert opened.imbalance == pytest.approx(60.0 / 45.0) and opened.busiest == 1
    assert opened.ratio == pytest.approx(2.0) and opened.idle_fraction == 0.25
    assert opened.waits_s == {0: 30.0, 1: 0.0}


@pytest.mark.parametrize(
    ("began_at", "together"),
    [(100.0, True), (114.9, True), (115.1, False), (120.0, False), (500.0, False), (40.0, False)],
)
def test_together_are_those_that_share_a_quarter_of_the_shorter_ones_time(
    began_at: float, together: bool
) -> None:
    assert are_together(CLOSED, replace(OPEN, began_at=began_at)) is together


def test_together_only_the_sum_says_something() -> None:
    # Both from 100 to 160. Worker 0 works 20 + 30 s and ends at 140, worker 1 works 16 + 42 s to
    # the end at 160: waits are 20 and 0, the ideal is (50 + 58) / 2.
    opened = timeline("open", 101.0, 59.0, ((30.0, 39.0, 20.0), (42.0, 59.0, 0.0)))
    (both,) = parts_of([CLOSED, opened])
    assert both.modes == ("closed", "open")
    assert (both.start_at, both.end_at, both.makespan_s) == (100.0, 160.0, 60.0)
    assert both.busy_s == {0: 50.0, 1: 58.0}
    assert both.waits_s == {0: 20.0, 1: 0.0}
    assert both.idle_fraction == pytest.approx(20.0 / 128.0)
    assert both.ratio == pytest.approx(60.0 / 54.0)
    assert both.imbalance == pytest.approx(58.0 / 54.0)


def test_what_runs_has_no_wait_yet() -> None:
    running = timeline("open", 101.0, 59.0, ((30.0, 39.0, 0.0),), state="running")
    (both,) = parts_of([CLOSED, running])
    assert not both.finished and both.waits_s is None
    assert both.idle_fraction is None and both.ratio is None
    assert parts_of([replace(running, lanes=(), extent_s=0.0)]) == ()


def device(*worker_ids: int) -> Device:
    return Device(
        "GPU-0", "node", (), 0.0, "ok", None, 9.0, 1, 2, 3.0, 4.0, 5.0, None, (), worker_ids
    )


def test_a_devices_wait_is_its_share_of_all_finished_parts() -> None:
    parts = parts_of([CLOSED, OPEN])
    assert wait_share(device(0), parts) == pytest.approx(30.0 / 80.0)
    assert wait_share(device(1), parts) == pytest.approx(2.0 / 78.0)
    assert wait_share(device(0, 1), parts) == pytest.approx(32.0 / 158.0)
    assert wait_share(device(7), parts) is None
    running = replace(OPEN, state="running")
    assert wait_share(device(0), parts_of([running])) is None
