"""Freshness, keep-up ratio, time left, next checkpoint: numbers from runs made of a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ctv_engine.store.rows import Mode
from ctv_tui.data.pace import interval_s, next_expected_at, pace, remaining_s, waiting_phrase
from ctv_tui.data.snapshot import Checkpoint, Evaluation, Snapshot, Source


def checkpoint(id: int, found_at: float, ready_at: float | None = None) -> Checkpoint:
    return Checkpoint(id, id * 100, "/c", "done", None, found_at, ready_at, None)


def evaluation(
    checkpoint_id: int,
    mode: Mode,
    started_at: float | None,
    finished_at: float | None,
    *,
    done: int = 10,
    state: str = "done",
) -> Evaluation:
    return Evaluation(
        id=checkpoint_id * 10 + len(mode),
        checkpoint_id=checkpoint_id,
        step=checkpoint_id * 100,
        mode=mode,
        schedule="queue",
        state=state,  # type: ignore[arg-type]
        reason=None,
        planned=10,
        done=done,
        failed=0,
        started_at=started_at,
        finished_at=finished_at,
        makespan_s=None,
        ideal_s=None,
        idle_fraction=None,
    )


def run(checkpoints: Sequence[Checkpoint], evaluations: Sequence[Evaluation] = ()) -> Snapshot:
    return Snapshot(
        Source("r", "ok"),
        0.0,
        checkpoints=tuple(checkpoints),
        evaluations=tuple(evaluations),
    )


@pytest.mark.parametrize(
    ("found", "interval"),
    [
        ([], None),
        ([50.0], None),
        ([0.0, 60.0, 120.0, 190.0], 60.0),
        ([0.0, 0.1, 0.2, 60.2], 60.0),  # three were there before the engine was
        ([0.0, 0.1, 0.2], None),
        ([100.0, 40.0, 160.0], 60.0),  # rows need not be in order of time
    ],
)
def test_the_interval_is_the_median_gap(found: list[float], interval: float | None) -> None:
    shown = run([checkpoint(n, at) for n, at in enumerate(found, 1)])
    assert interval_s(shown) == pytest.approx(interval)


def test_the_interval_follows_the_latest_checkpoints() -> None:
    slow = [100.0 * n for n in range(20)]
    fast = [slow[-1] + 10.0 * n for n in range(1, 10)]
    assert interval_s(run([checkpoint(n, at) for n, at in enumerate(slow + fast)])) == 10.0


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (130.0, "idle, next checkpoint expected in 50 s"),
        (180.0, "idle, next checkpoint expected in 0 s"),
        (200.0, "idle, next checkpoint expected 20 s ago"),
    ],
)
def test_what_an_idle_engine_waits_for(now: float, words: str) -> None:
    shown = run([checkpoint(1, 0.0), checkpoint(2, 60.0), checkpoint(3, 120.0)])
    assert next_expected_at(shown) == 180.0
    assert waiting_phrase(shown, now) == words


def test_freshness_is_from_ready_to_scored() -> None:
    shown = run(
        [checkpoint(n, 0.0, ready_at=100.0 * n) for n in (1, 2, 3)],
        [
            evaluation(1, "closed", 100.0, 130.0),
            evaluation(2, "closed", 200.0, 210.0),
            evaluation(3, "closed", 300.0, 324.0),
            evaluation(3, "open", 324.0, 400.0),
        ],
    )
    found = pace(shown, 400.0)
    assert (found.freshness_s, found.usual_freshness_s) == (24.0, 24.0)


def test_a_clock_that_jumped_back_gives_no_freshness() -> None:
    shown = run([checkpoint(1, 0.0, ready_at=500.0)], [evaluation(1, "closed", 90.0, 100.0)])
    assert pace(shown, 100.0).freshness_s is None


def test_the_keep_up_ratio_counts_time_that_overlaps_once() -> None:
    """Closed and open run together for 20 s, gold 10 s behind them: 30 s every 60 s."""
    checkpoints, evaluations = [], []
    for n in range(4):
        at = 60.0 * n
        checkpoints.append(checkpoint(n + 1, at))
        evaluations += [
            evaluation(n + 1, "closed", at, at + 12.0),
            evaluation(n + 1, "open", at, at + 20.0),
            evaluation(n + 1, "gold", at + 20.0, at + 30.0),
        ]
    found = pace(run(checkpoints, evaluations), 300.0)
    assert (found.evaluation_s, found.interval_s, found.keep_up) == (30.0, 60.0, 0.5)
    busier = [replace(e, finished_at=(e.started_at or 0.0) + 90.0) for e in evaluations]
    # From 0 to 290 s something ran all the time: 290 / 4 s per checkpoint.
    assert pace(run(checkpoints, busier), 300.0).keep_up == pytest.approx(290 / 4 / 60)


def test_nothing_can_be_said_about_a_run_that_has_not_begun() -> None:
    found = pace(run([]), 0.0)
    assert (found.freshness_s, found.keep_up, found.left_s) == (None, None, None)


@pytest.mark.parametrize(
    ("done", "now", "left"),
    [
        (5, 110.0, 10.0),
        (2, 110.0, 40.0),
        (0, 110.0, None),
        (10, 110.0, None),
        (5, 90.0, None),  # the clock was put back behind the start
    ],
)
def test_the_time_that_an_evaluation_still_takes(done: int, now: float, left: float | None) -> None:
    running = evaluation(1, "open", 100.0, None, done=done, state="running")
    assert remaining_s(running, now) == left


def test_the_time_until_all_is_done() -> None:
    """Two evaluations took 30 s per checkpoint; one runs for 10 s more and three wait."""
    shown = run(
        [checkpoint(1, 0.0), checkpoint(2, 60.0), checkpoint(3, 120.0)],
        [
            evaluation(1, "closed", 0.0, 10.0),
            evaluation(1, "open", 10.0, 30.0),
            evaluation(2, "closed", 100.0, None, done=5, state="running"),
            evaluation(2, "open", None, None, done=0, state="queued"),
            evaluation(3, "closed", None, None, done=0, state="queued"),
            evaluation(3, "open", None, None, done=0, state="queued"),
        ],
    )
    assert pace(shown, 110.0).left_s == pytest.approx(10.0 + 3 * 30.0 / 2)
