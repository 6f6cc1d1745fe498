"""Who does what next. No processes, no clock, no database: a state machine that tests can drive."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ctv_engine.runtime.messages import Batch, Checkpoint, ItemResult, Task, Unit

MAX_LOSSES = 2
"""A batch that was under way when this many workers died is split, a single item given up."""


@dataclass
class _Evaluation:
    evaluation_id: int
    checkpoint: Checkpoint
    task: Task
    background: bool
    waiting: deque[tuple[Batch, int, int]]
    """Batch, attempt, losses."""
    leased: int = 0

    @property
    def priority(self) -> tuple[bool, int, bool]:
        """Gold after everything else, newest checkpoint first, closed before open."""
        return (self.background, -self.checkpoint.step, self.task != "closed")


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Items of a unit that will not be answered, with the reason; to be stored as failed."""

    unit: Unit
    results: tuple[ItemResult, ...]


@dataclass
class Scheduler:
    """Leases batches of evaluations to workers, the most urgent evaluation first."""

    _evaluations: dict[int, _Evaluation] = field(default_factory=dict)
    _leases: dict[int, tuple[Unit, int]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def add(
        self,
        evaluation_id: int,
        checkpoint: Checkpoint,
        task: Task,
        batches: Iterable[Batch],
        *,
        background: bool = False,
    ) -> None:
        """Queue an evaluation; ``background`` work runs only when nothing else is waiting."""
        self._evaluations[evaluation_id] = _Evaluation(
            evaluation_id, checkpoint, task, background, deque((batch, 1, 0) for batch in batches)
        )

    def lease(self, worker_id: int) -> Unit | None:
        """Return the next unit for a worker, or None if nothing is waiting."""
        waiting = [work for work in self._evaluations.values() if work.waiting]
        if not waiting:
            return None
        work = min(waiting, key=lambda candidate: candidate.priority)
        batch, attempt, losses = work.waiting.popleft()
        unit = Unit(
            unit_id=next(self._numbers),
            evaluation_id=work.evaluation_id,
            checkpoint=work.checkpoint,
            task=work.task,
            batch=batch,
            attempt=attempt,
            losses=losses,
        )
        work.leased += 1
        self._leases[unit.unit_id] = (unit, worker_id)
        return unit

    def unit(self, unit_id: int) -> Unit | None:
        """Return a unit that is under way, or None if its evaluation was dropped meanwhile."""
        lease = self._leases.get(unit_id)
        return lease[0] if lease else None

    def complete(self, unit_id: int) -> None:
        """Take a unit's results as delivered."""
        self._release(unit_id)

    def fail(self, unit_id: int, reason: str) -> GivenUp | None:
        """Queue the parts of a batch that could not be run; give up on a single item."""
        unit = self._release(unit_id)
        return self._retry_in_parts(unit, reason) if unit else None

    def lose(self, worker_id: int, reason: str) -> list[GivenUp]:
        """Take back what a dead worker held: once as it is, after that in parts."""
        given_up: list[GivenUp] = []
        for unit_id in [u for u, (_, holder) in self._leases.items() if holder == worker_id]:
            unit = self._release(unit_id)
            if unit is None:
                continue
            losses = unit.losses + 1
            if losses < MAX_LOSSES:
                work = self._evaluations[unit.evaluation_id]
                work.waiting.appendleft((unit.batch, unit.attempt + 1, losses))
            else:
                why = f"{MAX_LOSSES} workers died on it: {reason}"
                # A part is suspect already: one more death splits it again.
                lost = self._retry_in_parts(unit, why, losses=MAX_LOSSES - 1)
                given_up += [lost] if lost else []
        return given_up

    def drop(self, evaluation_id: int) -> None:
        """Forget an evaluation; results that still arrive for it find no unit."""
        self._evaluations.pop(evaluation_id, None)
        for unit_id in [
            u for u, (v, _) in self._leases.items() if v.evaluation_id == evaluation_id
        ]:
            del self._leases[unit_id]

    def is_finished(self, evaluation_id: int) -> bool:
        """Tell whether nothing of an evaluation that is known is waiting or under way."""
        work = self._evaluations.get(evaluation_id)
        return work is not None and not work.waiting and not work.leased

    def evaluations_of(self, checkpoint_id: int) -> list[int]:
        """Return the queued and running evaluations of a checkpoint."""
        return [
            work.evaluation_id
            for work in self._evaluations.values()
            if work.checkpoint.checkpoint_id == checkpoint_id
        ]

    def begun(self) -> list[int]:
        """Return the evaluations of which something is under way."""
        return [work.evaluation_id for work in self._evaluations.values() if work.leased]

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or under way."""
        return not self._evaluations

    def _release(self, unit_id: int) -> Unit | None:
        lease = self._leases.pop(unit_id, None)
        if lease is None:
            return None
        self._evaluations[lease[0].evaluation_id].leased -= 1
        return lease[0]

    def _retry_in_parts(self, unit: Unit, reason: str, losses: int = 0) -> GivenUp | None:
        batch = unit.batch
        if len(batch.items) == 1:
            item = batch.items[0]
            result = ItemResult((item.dataset, item.key), reason=reason)
            return GivenUp(unit, (result,))
        middle = len(batch.items) // 2
        waiting = self._evaluations[unit.evaluation_id].waiting
        for part in (slice(middle, None), slice(None, middle)):
            smaller = replace(batch, items=batch.items[part], texts=batch.texts[part])
            waiting.appendleft((smaller, unit.attempt + 1, losses))
        return None
