"""The order in which the batches of one evaluation are handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from ctv_engine.runtime.costs import Estimate
from ctv_engine.runtime.messages import Batch

Schedule = Literal["queue", "static"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that waits for a worker. ``rank`` says how long it is expected to take."""

    batch: Batch
    estimate: Estimate
    rank: float
    attempt: int = 1
    losses: int = 0


class Waiting(Protocol):
    """The waiting batches of one evaluation."""

    def __len__(self) -> int:
        """Return how many batches wait."""

    def push_again(self, pending: Pending) -> None:
        """Take back a batch, or a part of one, that somebody has failed on."""

    def take(self, worker_id: int, under_way: int) -> Pending | None:
        """Return what a worker is to do next; None if it has to wait.

        ``under_way`` is how many units of the evaluation are leased.
        """

    def leave(self, worker_id: int) -> None:
        """Note that a worker is gone."""


class LongestFirst:
    """One queue for all workers: what failed before first, then by expected cost, longest first.

    Batches of equal cost keep the order of the plan. Handing out is O(1).
    """

    def __init__(self, batches: Iterable[Pending]) -> None:
        self._queue = deque(sorted(batches, key=lambda pending: -pending.rank))

    def __len__(self) -> int:
        return len(self._queue)

    def push_again(self, pending: Pending) -> None:
        """Queue before everything else, what failed last first."""
        self._queue.appendleft(pending)

    def take(self, worker_id: int, under_way: int) -> Pending | None:
        """Return the most urgent batch, whoever asks."""
        return self._queue.popleft() if self._queue else None

    def leave(self, worker_id: int) -> None:
        """Change nothing: no batch belongs to a worker before it is leased."""


class StridedShards:
    """The paper's baseline: rank r of N owns batches r, r + N, ...; a barrier after every dataset.

    The ranks are those of the workers that are known when a dataset begins. What a dead worker
    leaves behind, and what failed, goes to whoever has finished its own shard.
    """

    def __init__(
        self, batches: Iterable[Pending], workers: Callable[[], Collection[int]] = tuple
    ) -> None:
        self._workers = workers
        by_dataset: dict[str, list[Pending]] = {}
        for pending in batches:
            by_dataset.setdefault(pending.batch.items[0].dataset, []).append(pending)
        self._later = deque(by_dataset.values())
        self._shards: dict[int, deque[Pending]] = {}
        self._ownerless: deque[Pending] = deque()
        self._count = sum(map(len, self._later))

    def __len__(self) -> int:
        return self._count

    def push_again(self, pending: Pending) -> None:
        """Give to the next worker that is through with its own shard."""
        self._ownerless.append(pending)
        self._count += 1

    def take(self, worker_id: int, under_way: int) -> Pending | None:
        """Return the next batch of the worker's shard; None at the barrier."""
        unfinished = under_way or self._ownerless or any(self._shards.values())
        if self._later and not unfinished:
            self._deal(self._later.popleft())
        mine = self._shards.get(worker_id) or self._ownerless
        if not mine:
            return None
        self._count -= 1
        return mine.popleft()

    def leave(self, worker_id: int) -> None:
        """Hand a dead worker's shard to the survivors."""
        self._ownerless.extend(self._shards.pop(worker_id, ()))

    def _deal(self, batches: Sequence[Pending]) -> None:
        workers = self._workers()
        self._shards = {
            worker_id: deque(batches[rank :: len(workers)])
            for rank, worker_id in enumerate(workers)
        }
        if not workers:
            self._ownerless.extend(batches)
