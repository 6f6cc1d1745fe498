"""Which items of a benchmark go into the suite: a number of each, seeded, balanced over strata."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ctv_engine.construction.distractors import Known
from ctv_engine.construction.source import Fault, SourceItem

PAPER_2230: Mapping[str, int] = {
    "chartqa": 450,
    "infovqa": 450,
    "docvqa": 450,
    "mathvista": 250,
    "mmvet": 180,
    "vizwiz": 450,
}
"""Items per benchmark in the paper's validation set."""

PRESETS: Mapping[str, Mapping[str, int]] = {"paper-2230": PAPER_2230}
T = TypeVar("T")
POOL = 4000
SPARE = 1.25


@dataclass(frozen=True, slots=True)
class Sample:
    """What one pass over a source found.

    ``chosen`` are in the order of their draw; ``spare`` are those that come next, for places that
    chosen ones leave. ``answers`` is a sample of all answers. ``faults`` counts the rows that are
    no items by reason, ``examples`` holds one of each.
    """

    chosen: tuple[SourceItem, ...]
    spare: tuple[SourceItem, ...]
    answers: tuple[Known, ...]
    rows: int
    faults: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Fault] = field(default_factory=dict)


def draw(
    rows: Iterable[SourceItem | Fault],
    count: int | None,
    seed: int,
    without: Collection[tuple[str, str]] = (),
) -> Sample:
    """Draw ``count`` items (all, without one) in one pass; memory grows with ``count`` alone.

    The draw takes the items with the smallest hash of seed, dataset and key, in each stratum its
    share of the whole: rows that are added elsewhere change nothing about the others.

    Args:
        rows: a source's items and faults.
        count: how many to choose.
        seed: of the draw.
        without: dataset and key of items that are not to be drawn.
    """
    strata: dict[str, _Smallest[SourceItem]] = defaultdict(lambda: _Smallest(_room(count)))
    sizes: Counter[str] = Counter()
    pool: _Smallest[Known] = _Smallest(POOL)
    faults: Counter[str] = Counter()
    examples: dict[str, Fault] = {}
    total = 0
    for row in rows:
        total += 1
        if isinstance(row, Fault):
            reason = _kind_of(row.reason)
            faults[reason] += 1
            examples.setdefault(reason, row)
            continue
        drawn = _hash(seed, row)
        pool.offer(drawn, Known(row.question, row.answers[0]))
        if (row.dataset, row.key) not in without:
            sizes[row.stratum] += 1
            strata[row.stratum].offer(drawn, row)
    wanted = sizes.total() if count is None else min(count, sizes.total())
    quotas = _quotas(sizes, wanted)
    chosen, spare = [], []
    for stratum in sorted(strata):
        ranked = strata[stratum].ranked()
        chosen += ranked[: quotas[stratum]]
        spare += ranked[quotas[stratum] :]
    return Sample(
        tuple(item for _, item in sorted(chosen, key=lambda one: one[0])),
        tuple(item for _, item in sorted(spare, key=lambda one: one[0])),
        tuple(known for _, known in pool.ranked()),
        total,
        dict(faults),
        examples,
    )


class _Smallest(Generic[T]):
    """The items with the smallest hashes that were offered, up to a number."""

    def __init__(self, room: int | None) -> None:
        self._room = room
        self._heap: list[tuple[int, int, T]] = []
        self._offered = 0

    def offer(self, drawn: int, item: T) -> None:
        self._offered += 1
        entry = (-drawn, -self._offered, item)
        if self._room is None or len(self._heap) < self._room:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    def ranked(self) -> list[tuple[int, T]]:
        return sorted(((-drawn, item) for drawn, _, item in self._heap), key=lambda one: one[0])


def _room(count: int | None) -> int | None:
    return None if count is None else int(count * SPARE) + 20


def _hash(seed: int, item: SourceItem) -> int:
    name = f"{seed}\0{item.dataset}\0{item.key}".encode(errors="replace")
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big")


def _quotas(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Share ``wanted`` out by size; the largest remainders get what rounding leaves."""
    total = sum(sizes.values())
    exact = {stratum: wanted * size / total for stratum, size in sizes.items()}
    quotas = {stratum: int(share) for stratum, share in exact.items()}
    left = wanted - sum(quotas.values())
    by_remainder = sorted(exact, key=lambda name: (int(exact[name]) - exact[name], name))
    for stratum in by_remainder[:left]:
        quotas[stratum] += 1
    return quotas


def _kind_of(reason: str) -> str:
    """Return a reason without the value that it quotes, so that like ones are counted together."""
    return reason.partition("'")[0].rstrip(" :(") if "'" in reason else reason
