"""Which correlations of a run are computed, and when."""

from __future__ import annotations

import itertools
import random

import pytest

from ctv_engine.stats.correlation import pearson
from ctv_engine.stats.track import WHOLE_RUN, ScoreRow, Tracker
from ctv_engine.store.rows import CorrelationRow

WINDOW = 4
STEPS = [10, 20, 30, 40, 50, 60]
CLOSED = dict(zip(STEPS, [0.2, 0.3, 0.35, 0.5, 0.45, 0.6], strict=True))
OPEN = dict(zip(STEPS, [0.1, 0.15, 0.3, 0.2, 0.4, 0.45], strict=True))
GOLD = dict(zip(STEPS, [0.15, 0.2, 0.3, 0.4, 0.42, 0.5], strict=True))


def rows(
    steps: list[int], dataset: str = "macro", gold: dict[int, float] | None = None
) -> list[ScoreRow]:
    gold = GOLD if gold is None else gold
    return [
        row
        for step in steps
        for row in (
            ("closed", dataset, step, "accuracy", CLOSED[step]),
            ("closed", dataset, step, "gold_prob", 0.5),
            ("open", dataset, step, "score", OPEN[step]),
            ("open", dataset, step, "anls", 0.5),
            *([("gold", dataset, step, "score", gold[step])] if step in gold else []),
        )
    ]


def by_key(found: list[CorrelationRow]) -> dict[tuple[str, int, int], CorrelationRow]:
    keys = {(row.proxy, row.window, row.step): row for row in found}
    assert len(keys) == len(found)
    return keys


def test_rolling_windows_and_the_whole_run() -> None:
    found = by_key(Tracker(WINDOW).update(rows(STEPS)))
    for proxy, series in (("closed", CLOSED), ("open", OPEN)):
        for end in range(2, len(STEPS) + 1):
            part = STEPS[max(0, end - WINDOW) : end]
            row = found.pop((proxy, WINDOW, part[-1]))
            wanted = pearson([series[s] for s in part], [GOLD[s] for s in part])
            assert row.r == pytest.approx(wanted, abs=1e-12)
            assert row.n == len(part)
        whole = found.pop((proxy, WHOLE_RUN, 60))
        wanted = pearson(list(series.values()), list(GOLD.values()))
        assert (whole.n, whole.r) == (6, pytest.approx(wanted, abs=1e-12))
        assert (whole.method, whole.scope) == ("pearson", "macro")
    assert found == {}


def test_only_steps_that_have_both_count() -> None:
    gold = {step: GOLD[step] for step in (10, 30, 60)}
    found = by_key(Tracker(WINDOW).update(rows(STEPS, gold=gold)))
    assert {key[2] for key in found} == {30, 60}
    assert found["closed", WHOLE_RUN, 60].r == pytest.approx(
        pearson([CLOSED[s] for s in gold], list(gold.values())), abs=1e-12
    )


def test_without_gold_there_is_nothing_to_track() -> None:
    assert Tracker(WINDOW).update(rows(STEPS, gold={})) == []


def test_one_point_has_no_r_but_a_reason() -> None:
    found = Tracker(WINDOW).update(rows([10]))
    assert [(row.window, row.r, row.n, row.reason) for row in found] == [
        (WHOLE_RUN, None, 1, "fewer than two points")
    ] * 2


def test_every_dataset_has_its_own_scope() -> None:
    found = Tracker(WINDOW).update([*rows(STEPS[:2]), *rows(STEPS[:2], "ChartQA")])
    assert {row.scope for row in found} == {"macro", "dataset:ChartQA"}


def test_nothing_new_gives_no_rows() -> None:
    tracker = Tracker(WINDOW)
    assert tracker.update(rows(STEPS))
    assert tracker.update(rows(STEPS)) == []
    assert tracker.update(list(reversed(rows(STEPS)))) == []


def test_a_new_step_costs_its_own_windows_alone() -> None:
    tracker = Tracker(WINDOW)
    tracker.update(rows(STEPS[:5]))
    new = by_key(tracker.update(rows(STEPS)))
    assert set(new) == set(itertools.product(("closed", "open"), (WINDOW, WHOLE_RUN), (60,)))


def test_a_late_gold_score_renews_the_windows_that_it_is_in() -> None:
    tracker = Tracker(WINDOW)
    late = {step: value for step, value in GOLD.items() if step != 30}
    tracker.update(rows(STEPS, gold=late))
    renewed = by_key(tracker.update(rows(STEPS)))
    assert {(window, step) for _, window, step in renewed} == {
        (WINDOW, 30),
        (WINDOW, 40),
        (WINDOW, 50),
        (WINDOW, 60),
        (WHOLE_RUN, 60),
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_last_word_does_not_depend_on_the_order_of_arrival(seed: int) -> None:
    arrivals = rows(STEPS)
    random.Random(seed).shuffle(arrivals)
    tracker, kept = Tracker(WINDOW), {}
    for end in range(1, len(arrivals) + 1):
        kept |= by_key(tracker.update(arrivals[:end]))
    wanted = by_key(Tracker(WINDOW).update(rows(STEPS)))
    assert {key: kept[key] for key in wanted} == wanted
