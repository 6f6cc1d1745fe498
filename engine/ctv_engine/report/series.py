"""Scores by step, as the view ``trajectory`` has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import known
from ctv_engine.stats.track import ScoreRow
from ctv_engine.store.rows import MACRO, MODES, Mode


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
    def finished(self) -> list[ScoreRow]:
        """The complete scores as the engine's statistics take them."""
        return [
            (mode, dataset, point.step, "accuracy" if mode == "closed" else "score", point.value)
            for (mode, dataset), points in self.series.items()
            for point in points
            if point.complete
        ]

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


def values(points: Sequence[Point]) -> list[float]:
    """Return the scores alone."""
    return [point.value for point in points]
