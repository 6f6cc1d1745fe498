"""Who does what next. No processes, no database, a clock that is handed in: tests can drive it."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ctv_engine.runtime.costs import CostModel, Estimate, MemoryLimits, Name, padded_size
from ctv_engine.runtime.leases import Lease, LeaseBook, Overdue, Patience
from ctv_engine.runtime.messages import Batch, Checkpoint, Fault, ItemResult, Task, Unit
from ctv_engine.runtime.waiting import LongestFirst, Pending, Schedule, StridedShards, Waiting

MAX_LOSSES = 2
"""A batch that was under way when this many workers died is split, a single item given up."""


@dataclass(slots=True)
class _Evaluation:
    evaluation_id: int
    checkpoint: Checkpoint
    task: Task
    background: bool
    model: str
    waiting: Waiting
    probe: Batch | None = None
    leased: int = 0
    listed: bool = False
    """Whether it stands in the order of urgency."""

    @property
    def priority(self) -> tuple[bool, int, bool]:
        """Gold after everything else, newest checkpoint first, closed before open."""
        return (self.background, -self.checkpoint.step, self.task == "open")


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Items of a unit that will not be answered, with the reason; to be stored as failed."""

    unit: Unit
    results: tuple[ItemResult, ...]


class Scheduler:
    """Leases batches of evaluations to workers, the most urgent evaluation first.

    ``queue``: inside an evaluation the batch that should take longest goes first, and when nothing
    of it waits, a unit that is late gets one copy on another worker. ``static``: the paper's
    baseline, see :class:`StridedShards`; a worker at the barrier waits, and nothing is copied.
    """

    def __init__(
        self,
        schedule: Schedule = "queue",
        *,
        costs: CostModel | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty schedule; ``clock`` returns seconds that never run backwards."""
        self._schedule = schedule
        self._costs = costs or CostModel()
        self._clock = clock
        self._book = LeaseBook(patience or Patience(), self._costs.seconds)
        self._limits = MemoryLimits()
        self._evaluations: dict[int, _Evaluation] = {}
        self._urgent: list[tuple[tuple[bool, int, bool], int]] = []
        self._numbers = itertools.count(1)

    # --- evaluations --------------------------------------------------------------------------

    def add(
        self,
        evaluation_id: int,
        checkpoint: Checkpoint,
        task: Task,
        batches: Iterable[Batch],
        *,
        background: bool = False,
        model: str = "",
        probe: Batch | None = None,
    ) -> None:
        """Queue an evaluation; ``background`` work runs only when nothing else is waiting.

        Checkpoints with the same ``model`` need the same memory for the same batch. ``probe`` goes
        with every unit, see :class:`Unit`.
        """
        pending = [self._pending(task, batch) for batch in batches]
        waiting: Waiting = (
            LongestFirst(pending)
            if self._schedule == "queue"
            else StridedShards(pending, lambda: self._book.workers)
        )
        work = _Evaluation(evaluation_id, checkpoint, task, background, model, waiting, probe)
        self._evaluations[evaluation_id] = work
        self._list(work)

    def drop(self, evaluation_id: int) -> None:
        """Forget an evaluation; results that still arrive for it find no unit."""
        if self._evaluations.pop(evaluation_id, None) is not None:
            for lease in self._book.of_evaluation(evaluation_id):
                self._book.void(lease)

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

    # --- workers ------------------------------------------------------------------------------

    def join(self, worker_id: int) -> None:
        """Note that a worker is being started; until it leases it is a member all the same."""
        self._book.join(worker_id, self._clock())

    def ready(self, worker_id: int, device_kind: str = "") -> None:
        """Note that a worker can be given work."""
        self._book.ready(worker_id, device_kind, self._clock())

    def beat(self, worker_id: int) -> None:
        """Note that a worker's process is alive."""
        self._book.beat(worker_id, self._clock())

    def wait(self, worker_id: int) -> None:
        """Note that files are on their way to a worker; that time is not its work's."""
        self._book.wait(worker_id, self._clock())

    def overdue(self) -> list[Overdue]:
        """Return the workers to be ended and, by :meth:`lose`, written off."""
        return self._book.overdue(self._clock())

    def next_late_at(self) -> float | None:
        """Return the time from which a worker without work might be given a second copy."""
        return self._book.next_late_at() if self._schedule == "queue" else None

    # --- leases -------------------------------------------------------------------------------

    def lease(self, worker_id: int, *, ahead: bool = False) -> Unit | None:
        """Return the next unit for a worker, or None if there is nothing for it now.

        ``ahead``: a unit to prepare while the worker runs another. It is given only as long as more
        units wait than there are workers, so that none waits behind another while a worker is free.
        """
        now = self._clock()
        work = self._most_urgent()
        if ahead and (work is None or len(work.waiting) <= len(self._book.workers)):
            return None
        late = None if ahead else self._late_unit(worker_id, work, now)
        if late is not None:
            return self._copy(late, worker_id, now)
        if work is None:
            return None
        pending = work.waiting.take(worker_id, work.leased)
        if pending is None:
            return None
        pending = self._fitting(pending, work, worker_id)
        unit = Unit(
            unit_id=next(self._numbers),
            evaluation_id=work.evaluation_id,
            checkpoint=work.checkpoint,
            task=work.task,
            batch=pending.batch,
            attempt=pending.attempt,
            losses=pending.losses,
            probe=work.probe,
        )
        work.leased += 1
        self._book.grant(unit, pending.estimate, worker_id, now)
        return unit

    def unit(self, unit_id: int) -> Unit | None:
        """Return a unit whose result is waited for.

        None: its evaluation was dropped, or the other copy was faster.
        """
        lease = self._book.get(unit_id)
        return lease.unit if lease and not lease.void else None

    def complete(self, unit_id: int, seconds: Mapping[Name, float] | None = None) -> None:
        """Take a unit's results as delivered; ``seconds`` are its items' device times."""
        lease = self._end(unit_id)
        if lease is None:
            return
        self._void_twin(lease)
        if seconds:
            names, tokens, new_tokens = _sizes(lease.unit.batch)
            self._costs.observe(lease.unit.task, names, tokens, new_tokens, seconds)
            self._book.measure(lease, sum(seconds.values()), self._clock())

    def fail(self, unit_id: int, reason: str, fault: Fault = "batch") -> GivenUp | None:
        """Queue the parts of a batch that could not be run; give up on a single item.

        After a ``memory`` fault no batch of that size is leased to such a device again.
        """
        held = self._book.get(unit_id)
        kind = self._book.device_kind(held.worker_id) if held else ""
        lease = self._end(unit_id)
        if lease is None:
            return None
        unit = lease.unit
        if fault == "memory":
            model = self._evaluations[unit.evaluation_id].model
            self._limits.note(model, kind, unit.task, _padded(unit.batch))
        if self._leave_to_twin(lease, unit.losses):
            return None
        return self._retry_in_parts(unit, reason)

    def lose(self, worker_id: int, reason: str, *, blame: bool = True) -> list[GivenUp]:
        """Take back what a dead worker held: once as it is, after that in parts.

        ``blame``: whether the unit under way may be why; else it goes back as it is every time.
        """
        given_up: list[GivenUp] = []
        held = self._book.leave(worker_id)
        for work in self._evaluations.values():
            work.waiting.leave(worker_id)
        for lease in held:
            if lease.void:
                continue
            unit = lease.unit
            work = self._evaluations[unit.evaluation_id]
            work.leased -= 1
            begun = lease.began is not None  # what only waited behind another unit was not tried
            losses = unit.losses + (begun and blame)
            if self._leave_to_twin(lease, losses):
                continue
            if losses < MAX_LOSSES:
                self._push_again(work, unit.batch, unit.attempt + begun, losses)
            else:
                why = f"{MAX_LOSSES} workers died on it: {reason}"
                # A part is suspect already: one more death splits it again.
                lost = self._retry_in_parts(unit, why, losses=MAX_LOSSES - 1)
                given_up += [lost] if lost else []
        return given_up

    # --- order --------------------------------------------------------------------------------

    def _list(self, work: _Evaluation) -> None:
        if not work.listed:
            work.listed = True
            heapq.heappush(self._urgent, (work.priority, work.evaluation_id))

    def _most_urgent(self) -> _Evaluation | None:
        """Return the evaluation whose turn it is; under ``static`` it may be at its barrier."""
        while self._urgent:
            work = self._evaluations.get(self._urgent[0][1])
            if work is not None:
                if work.waiting or (work.leased and self._schedule == "static"):
                    return work
                work.listed = False
            heapq.heappop(self._urgent)
        return None

    def _pending(self, task: Task, batch: Batch, attempt: int = 1, losses: int = 0) -> Pending:
        estimate = self._estimate(task, batch)
        return Pending(batch, estimate, self._costs.rank(estimate), attempt, losses)

    def _estimate(self, task: Task, batch: Batch) -> Estimate:
        return self._costs.estimate(task, *_sizes(batch))

    def _push_again(self, work: _Evaluation, batch: Batch, attempt: int, losses: int) -> None:
        work.waiting.push_again(self._pending(work.task, batch, attempt, losses))
        self._list(work)

    def _fitting(self, pending: Pending, work: _Evaluation, worker_id: int) -> Pending:
        """Return the part of a batch that such a device can hold; the rest waits."""
        kind = self._book.device_kind(worker_id)
        while len(pending.batch.items) > 1 and not self._limits.fits(
            work.model, kind, work.task, _padded(pending.batch)
        ):
            first, second = _halves(pending.batch)
            self._push_again(work, second, pending.attempt, pending.losses)
            pending = self._pending(work.task, first, pending.attempt, pending.losses)
        return pending

    # --- second copies ------------------------------------------------------------------------

    def _late_unit(self, worker_id: int, waiting: _Evaluation | None, now: float) -> Lease | None:
        """Return a late unit of another worker that is more urgent than all that waits."""
        if self._schedule != "queue":
            return None
        kind = self._book.device_kind(worker_id)
        for work, late in sorted(
            ((self._evaluations[number], late) for number, late in self._book.late(now).items()),
            key=lambda pair: pair[0].priority,
        ):
            if waiting is not None and work.priority >= waiting.priority:
                return None
            if work.waiting:
                continue
            for lease in late:
                size = _padded(lease.unit.batch)
                fits = self._limits.fits(work.model, kind, work.task, size)
                if lease.worker_id != worker_id and fits:
                    return lease
        return None

    def _copy(self, late: Lease, worker_id: int, now: float) -> Unit:
        first = late.unit
        unit = replace(first, unit_id=next(self._numbers), attempt=first.attempt + 1)
        self._evaluations[unit.evaluation_id].leased += 1
        copy = self._book.grant(unit, late.estimate, worker_id, now)
        self._book.copied(late, copy)
        return unit

    def _void_twin(self, lease: Lease) -> None:
        twin = self._twin(lease)
        if twin is not None:
            self._book.void(twin)
            self._evaluations[twin.unit.evaluation_id].leased -= 1

    def _leave_to_twin(self, lease: Lease, losses: int) -> bool:
        """Let the other copy of a unit be the only one; tell whether there is one."""
        twin = self._twin(lease)
        if twin is None:
            return False
        twin.twin = None
        twin.unit = replace(twin.unit, losses=losses)
        return True

    def _twin(self, lease: Lease) -> Lease | None:
        twin = self._book.get(lease.twin) if lease.twin is not None else None
        return None if twin is None or twin.void else twin

    # --- ends and faults ----------------------------------------------------------------------

    def _end(self, unit_id: int) -> Lease | None:
        lease = self._book.end(unit_id, self._clock())
        if lease is None or lease.void:
            return None
        self._evaluations[lease.unit.evaluation_id].leased -= 1
        return lease

    def _retry_in_parts(self, unit: Unit, reason: str, losses: int = 0) -> GivenUp | None:
        batch = unit.batch
        if len(batch.items) == 1:
            item = batch.items[0]
            result = ItemResult((item.dataset, item.key), reason=reason)
            return GivenUp(unit, (result,))
        work = self._evaluations[unit.evaluation_id]
        for part in reversed(_halves(batch)):
            self._push_again(work, part, unit.attempt + 1, losses)
        return None


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.items) // 2
    return batch.part(slice(None, middle)), batch.part(slice(middle, None))


def _sizes(batch: Batch) -> tuple[list[Name], tuple[int, ...], tuple[int, ...]]:
    """Return names, tokens to read and tokens that may be written, item by item."""
    names = [(item.dataset, item.key) for item in batch.items]
    tokens = batch.tokens or (1,) * len(names)
    return names, tokens, tuple(dataset.max_new_tokens for dataset in batch.datasets)


def _padded(batch: Batch) -> int:
    return padded_size(batch.tokens, len(batch.items))
