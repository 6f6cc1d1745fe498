"""How often a proxy orders two checkpoints as gold does, and what relying on it costs."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter


@dataclass(frozen=True, slots=True)
class Agreement:
    """Pairs of checkpoints that gold tells apart, and those that the proxy orders alike."""

    agreeing: int
    pairs: int

    @property
    def share(self) -> float | None:
        """Return the decision accuracy; None if gold tells no two checkpoints apart."""
        return self.agreeing / self.pairs if self.pairs else None


def decision_accuracy(proxy: Sequence[float], gold: Sequence[float]) -> Agreement:
    """Return how many pairs of checkpoints the proxy orders as gold does.

    Decision accuracy (Magnusson et al., DataDecide, arXiv 2504.11393, 2025). A pair on which gold
    ties is no decision and does not count; one on which only the proxy ties counts as missed.
    Counted by bisection, from gold's lowest up.

    Raises:
        ValueError: the lengths differ, or a value is not finite.
    """
    if len(proxy) != len(gold):
        raise ValueError(f"series of {len(proxy)} and {len(gold)} points")
    if not all(map(math.isfinite, (*proxy, *gold))):
        raise ValueError("a value is not finite")
    below: list[float] = []
    agreeing = pairs = 0
    both = sorted(zip(gold, proxy, strict=True))
    for _, level in groupby(both, key=itemgetter(0)):
        values = [value for _, value in level]
        pairs += len(values) * len(below)
        agreeing += sum(bisect_left(below, value) for value in values)
        for value in values:
            insort(below, value)
    return Agreement(agreeing, pairs)


@dataclass(frozen=True, slots=True)
class Regret:
    """What is lost, in gold's own score, by taking ``chosen`` for the best checkpoint."""

    chosen: int
    best: int
    regret: float


def regret(gold: Mapping[int, float], chosen: int) -> Regret:
    """Return gold's score of its best checkpoint less that of the chosen one: simple regret.

    (Bubeck, Munos & Stoltz, Algorithmic Learning Theory, 2009.) Of equal bests the earliest counts.

    Args:
        gold: gold's score by step.
        chosen: the step that was chosen.

    Raises:
        ValueError: gold has no score of the chosen step, or one that is not finite.
    """
    if chosen not in gold:
        known = ", ".join(map(str, sorted(gold))) or "none"
        raise ValueError(f"step {chosen} has no gold score; steps that have one: {known}")
    if not all(map(math.isfinite, gold.values())):
        raise ValueError("a value is not finite")
    best = max(sorted(gold), key=gold.__getitem__)
    return Regret(chosen, best, gold[best] - gold[chosen])
