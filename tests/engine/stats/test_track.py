"""Which correlations of a run are computed, and when."""

from __future__ import annotations

import itertools
import random

import pytest

from ctv_engine.stats.correlation import kendall, partial, pearson, spearman
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


METHODS = ("pearson", "spearman", "kendall", "difference", "partial")


def by_key(
    found: list[CorrelationRow], method: str = "pearson", scope: str = "macro"
) -> dict[tuple[str, int, int], CorrelationRow]:
    """Rows of one method and scope; the other methods have rows for the very same keys."""
    keys = {(row.proxy, row.scope, row.method, row.window, row.step): row for row in found}
    assert len(keys) == len(found)
    assert {row.method for row in found} == (set(METHODS) if found else set())
    assert len(found) % len(METHODS) == 0
    return {
        (row.proxy, row.window, row.step): row
        for row in found
        if (row.method, row.scope) == (method, scope)
    }


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
    found = by_key(Tracker(WINDOW).update(rows([10]))).values()
    assert [(row.window, row.r, row.n, row.reason) for row in found] == [
        (WHOLE_RUN, None, 1, "fewer than two points")
    ] * 2


def test_every_dataset_has_its_own_scope() -> None:
    found = Tracker(WINDOW).update([*rows(STEPS[:2]), *rows(STEPS[:2], "ChartQA")])
    assert {row.scope for row in found} == {"macro", "dataset:ChartQA"}


@pytest.mark.parametrize("proxy", ["closed", "open"])
def test_every_method_of_a_window_and_of_the_whole_run(proxy: str) -> None:
    series = {"closed": CLOSED, "open": OPEN}[proxy]
    found = Tracker(WINDOW).update(rows(STEPS))
    for window, part in ((WINDOW, STEPS[-WINDOW:]), (WHOLE_RUN, STEPS)):
        x, y = [series[s] for s in part], [GOLD[s] for s in part]
        wanted = {
            "pearson": (pearson(x, y), len(part)),
            "spearman": (spearman(x, y), len(part)),
            "kendall": (kendall(x, y), len(part)),
            "difference": (
                pearson(
                    [b - a for a, b in itertools.pairwise(x)],
                    [b - a for a, b in itertools.pairwise(y)],
                ),
                len(part) - 1,
            ),
            "partial": (partial(x, y, part), len(part)),
        }
        for method, (r, n) in wanted.items():
            row = by_key(found, method)[proxy, window, 60]
            assert (row.r, row.n) == (pytest.approx(r, abs=1e-9), n)


def test_what_a_method_needs_more_points_for_is_not_known_and_says_so() -> None:
    found = Tracker(WINDOW).update(rows(STEPS[:3]))
    of = {method: by_key(found, method)["closed", WHOLE_RUN, 30] for method in METHODS}
    assert (of["partial"].r, of["partial"].reason) == (None, "fewer than four points")
    assert (of["difference"].n, of["spearman"].n) == (2, 3)
    two = by_key(Tracker(WINDOW).update(rows(STEPS[:2])), "difference")["closed", WHOLE_RUN, 20]
    assert (two.r, two.n, two.reason) == (None, 1, "fewer than two points")


def two_datasets(steps: list[int]) -> list[ScoreRow]:
    """ChartQA as above; VizWiz half as steep, 0.3 up for the proxies, 0.1 up for gold."""
    return [
        *rows(steps),
        *rows(steps, "ChartQA"),
        *(
            (mode, "VizWiz", step, metric, value / 2 + (0.1 if mode == "gold" else 0.3))
            for mode, _, step, metric, value in rows(steps)
        ),
    ]


def test_pooled_points_are_those_of_all_datasets_and_n_counts_checkpoints() -> None:
    found = Tracker(WINDOW).update(two_datasets(STEPS))
    assert {row.scope for row in found} == {
        "macro", "dataset:ChartQA", "dataset:VizWiz", "pooled",
    }  # fmt: skip
    x = [*CLOSED.values(), *(value / 2 + 0.3 for value in CLOSED.values())]
    y = [*GOLD.values(), *(value / 2 + 0.1 for value in GOLD.values())]
    step = [*STEPS, *STEPS]
    wanted = {
        "pearson": (pearson(x, y), 6),
        "spearman": (spearman(x, y), 6),
        "kendall": (kendall(x, y), 6),
        "partial": (partial(x, y, step), 6),
        "difference": (
            pearson(
                [b - a for part in (x[:6], x[6:]) for a, b in itertools.pairwise(part)],
                [b - a for part in (y[:6], y[6:]) for a, b in itertools.pairwise(part)],
            ),
            5,
        ),
    }
    for method, (r, n) in wanted.items():
        row = by_key(found, method, "pooled")["closed", WHOLE_RUN, 60]
        assert (row.r, row.n) == (pytest.approx(r, abs=1e-9), n)
        assert row.low is not None and row.low <= r <= (row.high or 0.0)


def test_pooled_windows_move_by_checkpoints_not_by_points() -> None:
    tracker = Tracker(WINDOW)
    tracker.update(two_datasets(STEPS[:5]))
    new = by_key(tracker.update(two_datasets(STEPS)), scope="pooled")
    assert set(new) == set(itertools.product(("closed", "open"), (WINDOW, WHOLE_RUN), (60,)))
    assert new["closed", WINDOW, 60].n == WINDOW


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
