"""All benchmarks by name, at full scale or tiny."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bench import checkpoints, closed_ways, coordinator, engine_share, memory, mix
from bench.report import Result
from bench.stage import BASE, TINY, Stage

LARGE_ROUNDS = 3


@dataclass(frozen=True)
class Scale:
    """How much of everything. ``base`` tells whether the larger model takes part."""

    base: bool
    items: int
    rounds: int
    every_unit: int
    evaluations: int
    workers: int
    units: int
    every: int
    lengths: float

    @classmethod
    def full(cls) -> Scale:
        """The numbers to be reported: a few minutes."""
        return cls(
            base=True,
            items=24,
            rounds=5,
            every_unit=1,
            evaluations=9,
            workers=1024,
            units=20_000,
            every=8,
            lengths=0.5,
        )

    @classmethod
    def tiny(cls) -> Scale:
        """Every part once, on next to nothing: a few seconds."""
        return cls(
            base=False,
            items=6,
            rounds=1,
            every_unit=20,
            evaluations=2,
            workers=16,
            units=100,
            every=80,
            lengths=0.1,
        )


@dataclass
class Bench:
    """The stages that benchmarks share."""

    home: Path
    scale: Scale

    @cached_property
    def tiny(self) -> Stage:
        """The tiny model."""
        return Stage(self.home, TINY, self.scale.items)

    @cached_property
    def base(self) -> Stage | None:
        """The larger model, at full scale."""
        return Stage(self.home, BASE) if self.scale.base else None

    @property
    def larger(self) -> Stage:
        """The largest model of this scale."""
        return self.base or self.tiny

    @cached_property
    def endless(self) -> Stage:
        """The tiny model without an end token of its own."""
        return Stage(self.home, replace(TINY, name="tiny without end", end_every=0), 12)


def _closed(bench: Bench) -> list[Result]:
    rounds = bench.scale.rounds
    found = closed_ways.compare(bench.tiny, rounds, rounds)
    if bench.base:
        found += closed_ways.compare(bench.base, LARGE_ROUNDS, 1)
    return found


def _engine(bench: Bench) -> list[Result]:
    rounds = bench.scale.rounds
    found = engine_share.engine_over_forward(bench.tiny, rounds, bar=None)
    if bench.base:
        found += engine_share.engine_over_forward(bench.base, LARGE_ROUNDS)
    return found


def _checkpoints(bench: Bench) -> list[Result]:
    return checkpoints.first_against_later(bench.tiny) + checkpoints.inputs_from_cache(
        bench.larger, bench.scale.rounds
    )


def _swap(bench: Bench) -> list[Result]:
    rounds = min(LARGE_ROUNDS, bench.scale.rounds)
    return checkpoints.swap_against_fresh_load(bench.larger, rounds)


def _coordinator(bench: Bench) -> list[Result]:
    scale = bench.scale
    found: list[Result] = []
    units = coordinator.plan_units()
    whole = [6] * (sum(units) // 6)  # what a budget of 8,192 tokens holds of the mix
    for sizes, what in ((whole, "units of 6"), (units, "the plan's, tail included")):
        found += coordinator.ingest(bench.home, sizes[:: scale.every_unit], what, scale.evaluations)
    return found + coordinator.leases(scale.workers, scale.units)


def _memory(bench: Bench) -> list[Result]:
    return memory.peaks(bench.larger)


def _mix(bench: Bench) -> list[Result]:
    return mix.padding() + mix.row_steps(bench.endless, bench.scale.every, bench.scale.lengths)


BENCHMARKS: dict[str, Callable[[Bench], list[Result]]] = {
    "closed": _closed,
    "engine": _engine,
    "checkpoints": _checkpoints,
    "swap": _swap,
    "coordinator": _coordinator,
    "memory": _memory,
    "mix": _mix,
}


def run(
    home: Path, scale: Scale, names: Sequence[str], tell: Callable[[str], None]
) -> list[Result]:
    """Run benchmarks in the order of :data:`BENCHMARKS`; files go under ``home``.

    Raises:
        AssertionError: ways that should agree do not, or something was not measured as said.
    """
    bench = Bench(home, scale)
    results: list[Result] = []
    for name, benchmark in BENCHMARKS.items():
        if name in names:
            began = time.process_time()
            results += benchmark(bench)
            tell(f"{name}: {time.process_time() - began:.0f} s of CPU time")
    return results
