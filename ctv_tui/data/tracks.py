"""How each series follows gold, beyond Pearson's r, which the engine writes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

from ctv_engine.store.rows import MODES, Mode
from ctv_tui.data.curves import is_known
from ctv_tui.data.snapshot import Point, Track, Trajectory
from ctv_tui.data.words import agreement

_LEAST = 3
"""Fewer points have no rank correlation and no spread of changes worth a number."""


def ranks(values: Sequence[float]) -> list[float]:
    """Return each value's rank from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for place in order[start:end]:
                found[place] = (start + 1 + end) / 2
            start = end
    return found


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Pearson's coefficient of the ranks (Spearman 1904); None if it is not defined."""
    if len(x) < _LEAST:
        return None
    try:
        return statistics.correlation(ranks(x), ranks(y))
    except statistics.StatisticsError:
        return None


def noise(values: Sequence[float]) -> float | None:
    """Return the standard deviation of the changes from each value to the next."""
    changes = [two - one for one, two in pairwise(values)]
    return statistics.stdev(changes) if len(values) >= _LEAST else None


def track(mode: Mode, dataset: str, own: Sequence[Point], gold: Sequence[Point]) -> Track:
    """Return how the points of a series follow those of gold, complete ones only."""
    mine = {p.step: p.value for p in own if p.complete and is_known(p) and p.value is not None}
    theirs = {p.step: p.value for p in gold if p.complete and is_known(p) and p.value is not None}
    both = [step for step in mine if step in theirs]
    order = agreement(tuple(own), tuple(gold)) if mode != "gold" else None
    rank = spearman([mine[s] for s in both], [theirs[s] for s in both])
    return Track(
        mode=mode,
        dataset=dataset,
        n=len(both),
        spearman=None if mode == "gold" else rank,
        agreeing=order.agreeing if order else 0,
        pairs=order.pairs if order else 0,
        noise=noise(list(mine.values())),
        monotonicity=spearman(list(mine), list(mine.values())),
    )


class Tracks:
    """Keeps what was computed: only series that changed are compared anew."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, Mode], tuple[Trajectory, Trajectory | None, Track]] = {}
        self._of: object = None
        self.tracks: tuple[Track, ...] = ()

    def update(self, trajectories: tuple[Trajectory, ...]) -> None:
        """Bring the tracks up to date with the trajectories."""
        if trajectories is self._of:
            return
        self._of = trajectories
        gold = {t.dataset: t for t in trajectories if t.mode == "gold"}
        for one in trajectories:
            key, other = (one.dataset, one.mode), gold.get(one.dataset)
            made = self._made.get(key)
            if made is None or made[0] is not one or made[1] is not other:
                found = track(one.mode, one.dataset, one.points, other.points if other else ())
                self._made[key] = (one, other, found)
        self.tracks = tuple(
            self._made[dataset, mode][2]
            for dataset in dict.fromkeys(t.dataset for t in trajectories)
            for mode in MODES
            if (dataset, mode) in self._made
        )
