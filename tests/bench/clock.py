"""CPU seconds of things that take turns: what other processes do on the machine cancels out."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timed:
    """CPU seconds of every way, one a round."""

    seconds: Mapping[str, list[float]]

    @classmethod
    def of(cls, parts: Iterable[Timed]) -> Timed:
        """Return the rounds of several parts as rounds of one."""
        seconds: dict[str, list[float]] = {}
        for part in parts:
            for way, own in part.seconds.items():
                seconds.setdefault(way, []).extend(own)
        return cls(seconds)

    def ratio(self, way: str, base: str) -> float:
        """Return how many times as long ``way`` takes as ``base``: the median over the rounds."""
        pairs = zip(self.seconds[way], self.seconds[base], strict=True)
        return median(one / other for one, other in pairs)

    def with_sum(self, name: str, *ways: str) -> Timed:
        """Return the same with one more way, which is several of them one after the other."""
        rounds = zip(*(self.seconds[way] for way in ways), strict=True)
        return Timed({**self.seconds, name: [sum(parts) for parts in rounds]})


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU seconds of this process, all its threads, while ``run`` runs."""
    gc.collect()
    began = time.process_time()
    run()
    return time.process_time() - began


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> Timed:
    """Run every way once a round; each round begins with another one."""
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(cpu_seconds(ways[name]))
    return Timed(seconds)
