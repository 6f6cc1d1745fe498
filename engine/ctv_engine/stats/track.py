"""How the proxies of a run track its gold standard, as rows for the database."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Literal

from ctv_engine.stats.interval import Coefficient, Points, with_interval
from ctv_engine.store.rows import MACRO, POOLED, CorrelationMethod, CorrelationRow

WHOLE_RUN = 0
PROXY_METRIC: dict[Literal["closed", "open"], str] = {"closed": "accuracy", "open": "score"}

ScoreRow = tuple[str, str, int, str, float]
"""(mode, dataset, step, metric, value) of a finished evaluation."""

Pair = tuple[int, str, float, float]
"""(step, dataset, proxy's score, gold's score)."""

_METHODS: dict[CorrelationMethod, Coefficient] = {
    "pearson": "pearson",
    "spearman": "spearman",
    "kendall": "kendall",
    "difference": "pearson",
    "partial": "partial",
}


class Tracker:
    """Keeps what was computed, so that a new score costs only the windows that it is in."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._done: dict[tuple[str, str, int, int], tuple[Pair, ...]] = {}

    def update(self, scores: Iterable[ScoreRow]) -> list[CorrelationRow]:
        """Return the rows that are new or changed, given all finished scores of a run.

        Points are the steps at which both the proxy and gold have a finished score. In the scope
        ``pooled`` they are those of every dataset together, as they are: datasets that are easy for
        both the proxy and gold raise it. It is written where there are at least two datasets. The
        method ``difference`` is Pearson's r of the changes from each point to the next, within a
        dataset. ``n`` counts steps, or changes between them.
        """
        series: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        for mode, dataset, step, metric, value in scores:
            if metric == ("accuracy" if mode == "closed" else "score"):
                series[mode, dataset][step] = value
        rows: list[CorrelationRow] = []
        for proxy in PROXY_METRIC:
            for scope, pairs in _scopes(series, proxy).items():
                rows += self._rows(proxy, scope, pairs)
        return rows

    def _rows(
        self, proxy: Literal["closed", "open"], scope: str, pairs: list[Pair]
    ) -> list[CorrelationRow]:
        rows: list[CorrelationRow] = []
        at = [step for step, *_ in pairs]
        steps = list(dict.fromkeys(at))
        windows = [
            (self._window, steps[max(0, end - self._window)], steps[end - 1])
            for end in range(2, len(steps) + 1)
        ]
        if steps:
            windows.append((WHOLE_RUN, steps[0], steps[-1]))
        for window, first, last in windows:
            begin, end = bisect_left(at, first), bisect_right(at, last)
            used = tuple(pairs[begin:end])
            if self._done.get((proxy, scope, window, last)) == used:
                continue
            self._done[proxy, scope, window, last] = used
            for method, coefficient in _METHODS.items():
                points = _points(_changes(used) if method == "difference" else used)
                found = with_interval(coefficient, points)
                rows.append(
                    CorrelationRow(
                        proxy,
                        scope,
                        method,
                        window,
                        last,
                        found.r,
                        found.low,
                        found.high,
                        found.n,
                        found.reason,
                    )
                )
        return rows


def _scopes(
    series: Mapping[tuple[str, str], Mapping[int, float]], proxy: str
) -> dict[str, list[Pair]]:
    """Return the pairs of every scope in which gold has a score, in ascending order of step."""
    scopes: dict[str, list[Pair]] = {}
    pooled: list[Pair] = []
    datasets = sorted(dataset for mode, dataset in series if mode == "gold")
    for dataset in datasets:
        gold, points = series["gold", dataset], series.get((proxy, dataset), {})
        pairs = [
            (step, dataset, points[step], gold[step])
            for step in sorted(points.keys() & gold.keys())
        ]
        scopes[MACRO if dataset == MACRO else f"dataset:{dataset}"] = pairs
        if dataset != MACRO:
            pooled += pairs
    if len({dataset for _, dataset, *_ in pooled}) > 1:
        scopes[POOLED] = sorted(pooled)
    return scopes


def _changes(pairs: Iterable[Pair]) -> list[Pair]:
    """Return what changed from each step of a dataset to its next, at the later one."""
    by_dataset: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_dataset[pair[1]].append(pair)
    return [
        (later[0], dataset, later[2] - earlier[2], later[3] - earlier[3])
        for dataset, own in by_dataset.items()
        for earlier, later in pairwise(own)
    ]


def _points(pairs: Iterable[Pair]) -> Points:
    listed = list(pairs)
    return Points.of(
        [proxy for _, _, proxy, _ in listed],
        [gold for *_, gold in listed],
        [step for step, *_ in listed],
    )
