"""How the proxies of a run track its gold standard, as rows for the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from ctv_engine.stats.correlation import Correlation
from ctv_engine.stats.interval import pearson_with_interval
from ctv_engine.store.rows import MACRO, CorrelationRow

WHOLE_RUN = 0
PROXY_METRIC: dict[Literal["closed", "open"], str] = {"closed": "accuracy", "open": "score"}

ScoreRow = tuple[str, str, int, str, float]
"""(mode, dataset, step, metric, value) of a finished evaluation."""


class Tracker:
    """Keeps what was computed, so that a new score costs only the windows that it is in."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._done: dict[tuple[str, str, int, int], tuple[tuple[float, float], ...]] = {}

    def update(self, scores: Iterable[ScoreRow]) -> list[CorrelationRow]:
        """Return the rows that are new or changed, given all finished scores of a run.

        Points are the steps at which both the proxy and gold have a finished score.
        """
        series: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        for mode, dataset, step, metric, value in scores:
            if metric == ("accuracy" if mode == "closed" else "score"):
                series[mode, dataset][step] = value
        rows: list[CorrelationRow] = []
        for (mode, dataset), gold in sorted(series.items()):
            if mode != "gold":
                continue
            for proxy in PROXY_METRIC:
                points = series.get((proxy, dataset), {})
                steps = sorted(points.keys() & gold.keys())
                scope = MACRO if dataset == MACRO else f"dataset:{dataset}"
                pairs = [(points[step], gold[step]) for step in steps]
                rows += self._rows(proxy, scope, steps, pairs)
        return rows

    def _rows(
        self,
        proxy: Literal["closed", "open"],
        scope: str,
        steps: list[int],
        pairs: list[tuple[float, float]],
    ) -> list[CorrelationRow]:
        rows: list[CorrelationRow] = []

        def note(window: int, step: int, used: list[tuple[float, float]]) -> bool:
            key = (proxy, scope, window, step)
            if self._done.get(key) == tuple(used):
                return False
            self._done[key] = tuple(used)
            return True

        def row(window: int, step: int, found: Correlation) -> CorrelationRow:
            return CorrelationRow(
                proxy,
                scope,
                "pearson",
                window,
                step,
                found.r,
                found.low,
                found.high,
                found.n,
                found.reason,
            )

        for end in range(2, len(steps) + 1):
            begin = max(0, end - self._window)
            if note(self._window, steps[end - 1], pairs[begin:end]):
                xs, ys = zip(*pairs[begin:end], strict=True)
                rows.append(row(self._window, steps[end - 1], pearson_with_interval(xs, ys)))
        if steps and note(WHOLE_RUN, steps[-1], pairs):
            xs, ys = zip(*pairs, strict=True)
            rows.append(row(WHOLE_RUN, steps[-1], pearson_with_interval(xs, ys)))
        return rows
