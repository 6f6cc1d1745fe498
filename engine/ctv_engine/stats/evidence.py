"""How far each mode's scores can be relied on, as rows for the database."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ctv_engine.stats.agreement import decision_accuracy
from ctv_engine.stats.interval import LEAST_FOR_INTERVAL, Points, with_interval
from ctv_engine.stats.steadiness import agreement_interval, noise_interval
from ctv_engine.stats.track import ScoreRow
from ctv_engine.stats.trajectory import signal_to_noise_of_run, step_noise
from ctv_engine.store.rows import MODES, EvidenceMeasure, EvidenceRow, Mode
from ctv_engine.store.scopes import scope_of

NO_GOLD = "no gold score of its checkpoints"
ONE_BOTH = "a single checkpoint has both scores"
NO_PAIR = "gold tells no two checkpoints apart"
TOO_FEW = f"fewer than {LEAST_FOR_INTERVAL} checkpoints: no interval"

Series = tuple[tuple[int, float], ...]
"""(step, score) in ascending order of step."""


class Evidence:
    """Keeps what was computed, so that only series that changed are looked at anew."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, str, str], tuple[Series, Series]] = {}

    def update(self, scores: Iterable[ScoreRow]) -> list[EvidenceRow]:
        """Return the rows that are new or changed, given all finished scores of a run.

        Decision accuracy counts the checkpoints that both the proxy and gold have a score of; the
        other measures are of a mode's own series. A value that is not finite is left out.
        """
        series = series_of(scores)
        rows: list[EvidenceRow] = []
        for mode, dataset in sorted(series):
            own, gold = series[mode, dataset], series.get(("gold", dataset), ())
            if self._is_new("own", mode, dataset, (own, ())):
                rows += steadiness(mode, scope_of(dataset), own)
            if mode != "gold" and self._is_new("pairs", mode, dataset, (own, gold)):
                rows.append(decisions(mode, scope_of(dataset), own, gold))
        return rows

    def _is_new(self, what: str, mode: str, dataset: str, used: tuple[Series, Series]) -> bool:
        is_new = self._done.get((what, mode, dataset)) != used
        self._done[what, mode, dataset] = used
        return is_new


def series_of(scores: Iterable[ScoreRow]) -> dict[tuple[Mode, str], Series]:
    """Return the finite scores of every mode and dataset, in ascending order of step."""
    found: dict[tuple[Mode, str], dict[int, float]] = defaultdict(dict)
    modes: dict[str, Mode] = {mode: mode for mode in MODES}
    for mode, dataset, step, metric, value in scores:
        if metric == ("accuracy" if mode == "closed" else "score") and math.isfinite(value):
            found[modes[mode], dataset][step] = value
    return {key: tuple(sorted(points.items())) for key, points in found.items()}


def decisions(mode: Mode, scope: str, own: Series, gold: Series) -> EvidenceRow:
    """Return the decision accuracy; ``n`` counts the checkpoints that have both scores."""
    theirs = dict(gold)
    both = [(step, value, theirs[step]) for step, value in own if step in theirs]
    step = both[-1][0] if both else own[-1][0]
    proxy, golds = [value for _, value, _ in both], [value for *_, value in both]
    found = decision_accuracy(proxy, golds)
    ends = agreement_interval(proxy, golds) if found.pairs else None
    reason = None
    if not found.pairs:
        reason = NO_GOLD if not both else ONE_BOTH if len(both) == 1 else NO_PAIR
    elif ends is None:
        reason = TOO_FEW
    low, high = ends or (None, None)
    return EvidenceRow(
        mode, scope, "decision_accuracy", found.share, low, high, found.pairs, len(both), step,
        reason,
    )  # fmt: skip


def steadiness(mode: Mode, scope: str, own: Series) -> list[EvidenceRow]:
    """Return noise, monotonicity and signal to noise of a series of at least one checkpoint."""
    steps = [float(step) for step, _ in own]
    values = [value for _, value in own]
    noise, no_noise = _or_reason(step_noise, values)
    ends = noise_interval(values) if noise is not None else None
    rise = with_interval("spearman", Points.of(steps, values, steps))
    signal, no_signal = _or_reason(signal_to_noise_of_run, values)
    few = TOO_FEW if len(own) < LEAST_FOR_INTERVAL else None
    found: tuple[tuple[EvidenceMeasure, float | None, float | None, float | None, str | None], ...]
    found = (
        ("step_noise", noise, *(ends or (None, None)), no_noise or few),
        ("monotonicity", rise.r, rise.low, rise.high, few if rise.r is not None else rise.reason),
        ("signal_to_noise", signal, None, None, no_signal),
    )
    return [
        EvidenceRow(mode, scope, measure, value, low, high, None, len(own), own[-1][0], reason)
        for measure, value, low, high, reason in found
    ]


def _or_reason(
    measure: Callable[[Sequence[float]], float], values: Sequence[float]
) -> tuple[float | None, str | None]:
    try:
        return measure(values), None
    except ValueError as error:
        return None, str(error)
