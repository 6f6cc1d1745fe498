"""Scores by step, as the view ``trajectory`` has them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import known
from ctv_engine.stats.trajectory import smoothed
from ctv_engine.store.rows import MACRO, MODES, Mode

Z_95 = 1.959963984540054
SMOOTH = 3
"""Checkpoints that a smoothed score is the mean of."""


@dataclass(frozen=True, slots=True)
class Point:
    """A score at a step. ``complete`` tells that its evaluation has ended."""

    step: int
    value: float
    stderr: float | None
    n: int
    complete: bool


Key = tuple[Mode, str]
"""A mode and a dataset; under ``gold_prob`` of ``Scores`` the mode is always closed."""


@dataclass(frozen=True, slots=True)
class Scores:
    """All series of a run. ``gold_prob`` is the key's probability among the options, by dataset.

    ``datasets`` are without the macro mean. ``untold`` counts scores that are no finite number.
    """

    asked: Asked
    series: Mapping[Key, tuple[Point, ...]]
    gold_prob: Mapping[str, tuple[Point, ...]]
    datasets: tuple[str, ...]
    untold: int

    def of(self, mode: Mode, dataset: str = MACRO) -> tuple[Point, ...]:
        """Return a series; it may be empty."""
        return self.series.get((mode, dataset), ())

    def complete(self, mode: Mode, dataset: str = MACRO) -> dict[int, Point]:
        """Return the points whose evaluation has ended, by step."""
        return {point.step: point for point in self.of(mode, dataset) if point.complete}

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that have any score."""
        return tuple(m for m in MODES if any(mode == m for mode, _ in self.series))


def read_scores(snapshot: Snapshot, run_id: int, name: str = "trajectories") -> Scores:
    """Read every score of a run; a step that was written again counts once."""
    asked = snapshot.ask(
        name,
        f"""
        SELECT mode, dataset, metric, step, value, stderr, n, state FROM trajectory
        WHERE run_id = {run_id} AND metric IN ('accuracy', 'score', 'gold_prob')
        ORDER BY dataset, mode, metric, step
        """,
    )
    series: dict[Key, list[Point]] = defaultdict(list)
    gold_prob: dict[str, list[Point]] = defaultdict(list)
    untold = 0
    for mode, dataset, metric, step, value, stderr, n, state in asked.rows:
        if not known(value):
            untold += 1
            continue
        point = Point(step, value, stderr if known(stderr) else None, n, state == "done")
        if metric == "gold_prob":
            gold_prob[dataset].append(point)
        elif metric == ("accuracy" if mode == "closed" else "score"):
            series[mode, dataset].append(point)
    names = sorted({dataset for _, dataset in series} - {MACRO})
    return Scores(
        asked,
        {key: tuple(points) for key, points in series.items()},
        {key: tuple(points) for key, points in gold_prob.items()},
        tuple(names),
        untold,
    )


@dataclass(frozen=True, slots=True)
class Best:
    """The checkpoint with the highest score and those that can't be told apart from it."""

    step: int
    value: float
    stderr: float | None
    tied: tuple[int, ...]
    of: int

    @property
    def low(self) -> float | None:
        """Lower end of the score's 95 % interval."""
        return None if self.stderr is None else self.value - Z_95 * self.stderr

    @property
    def high(self) -> float | None:
        """Upper end of the score's 95 % interval."""
        return None if self.stderr is None else self.value + Z_95 * self.stderr


def best(points: Mapping[int, Point]) -> Best | None:
    """Return the best of complete points, the earliest of equals; the dashboard's rule.

    Two scores are tied if their difference is within 1.96 standard errors of a difference of
    independent means. The checkpoints answer the same items, so this counts too many as tied
    rather than too few.
    """
    if not points:
        return None
    top = max(points.values(), key=lambda point: (point.value, -point.step))
    tied = [
        point.step
        for point in points.values()
        if top.value - point.value <= Z_95 * math.hypot(top.stderr or 0.0, point.stderr or 0.0)
    ]
    return Best(top.step, top.value, top.stderr, tuple(sorted(tied)), len(points))


def best_smoothed(points: Mapping[int, Point]) -> tuple[int, float] | None:
    """Return step and value of the best mean of ``SMOOTH`` neighbouring checkpoints."""
    if len(points) < SMOOTH:
        return None
    steps = sorted(points)
    means = smoothed([points[step].value for step in steps], SMOOTH)
    value, step = max(zip(means, steps, strict=True), key=lambda pair: (pair[0], -pair[1]))
    return step, value


def values(points: Sequence[Point]) -> list[float]:
    """Return the scores alone."""
    return [point.value for point in points]
