"""Who holds which unit, since when, and when that becomes too long."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ctv_engine.runtime.costs import Estimate, Ratio
from ctv_engine.runtime.messages import Unit

LATE_FACTOR, LATE_FLOOR_S = 2.5, 1.0
"""A unit is late after this many times its predicted time, and this on top."""
DEADLINE_FACTOR = 20.0
"""A unit that takes this many times its predicted time is taken for stuck."""
UNKNOWN_FACTOR = 3.0
"""How many times ``hang_s`` is allowed where nothing can be predicted: to start, or to load."""
PAUSE_SHARE = 0.5
"""The coordinator itself stood still if it did not look for this share of ``silence_s``."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may take. Seconds.

    ``hang_s`` is the least that any unit gets: the first one on a worker includes loading the
    weights. ``silence_s`` is how long a worker may send no heartbeat.
    """

    hang_s: float = 600.0
    silence_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Overdue:
    """A worker to be ended and replaced, with the reason."""

    worker_id: int
    reason: str


@dataclass(slots=True)
class Lease:
    """A unit in a worker's hands. ``twin`` is the unit of the other copy, where there is one.

    A worker runs its units in the order in which it got them; a unit that waits behind another has
    not ``began``. A ``void`` lease is one whose result nobody waits for any more; its worker is
    still busy.
    """

    unit: Unit
    estimate: Estimate
    worker_id: int
    loads: bool
    began: float | None = None
    predicted_s: float | None = None
    late_at: float = math.inf
    deadline: float = math.inf
    copied: bool = False
    twin: int | None = None
    void: bool = False


@dataclass(slots=True)
class _Worker:
    device_kind: str
    heard_at: float
    ready_by: float | None
    resident: str | None = None
    held: dict[int, Lease] = field(default_factory=dict)


class LeaseBook:
    """Leases, heartbeats and deadlines. Time is what the caller says it is.

    Seconds in which the coordinator itself stood still (a suspended machine, a stopped process)
    count against nobody: they are taken out of every comparison.
    """

    def __init__(
        self, patience: Patience, expected_s: Callable[[Estimate], float | None] = lambda _: None
    ) -> None:
        """Make an empty book; ``expected_s`` tells how long a unit's device work should take."""
        self._patience = patience
        self._expected_s = expected_s
        self._workers: dict[int, _Worker] = {}
        self._leases: dict[int, Lease] = {}
        self._late_heap: list[tuple[float, int]] = []
        self._late: dict[int, dict[int, Lease]] = {}
        self._unpredicted: dict[int, Lease] = {}
        self._loading_s: float | None = None
        self._elapsed = Ratio()
        self._paused_s = 0.0
        self._looked_at: float | None = None

    # --- workers ------------------------------------------------------------------------------

    @property
    def workers(self) -> Collection[int]:
        """The workers that are known, oldest first."""
        return self._workers.keys()

    def join(self, worker_id: int, now: float) -> None:
        """Note that a worker is being started."""
        now -= self._paused_s
        ready_by = now + UNKNOWN_FACTOR * self._patience.hang_s
        self._workers[worker_id] = _Worker("", now, ready_by)

    def ready(self, worker_id: int, device_kind: str, now: float) -> None:
        """Note that a worker can be given work."""
        worker = self._worker(worker_id, now)
        worker.device_kind = device_kind
        worker.ready_by = None
        worker.heard_at = now - self._paused_s

    def beat(self, worker_id: int, now: float) -> None:
        """Note that a worker's process is alive."""
        if worker_id in self._workers:
            self._workers[worker_id].heard_at = now - self._paused_s

    def wait(self, worker_id: int, now: float) -> None:
        """Note that files are on their way to a worker: what it has to do begins only now."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        at = now - self._paused_s
        if worker.ready_by is not None:
            worker.ready_by = at + UNKNOWN_FACTOR * self._patience.hang_s
        for lease in worker.held.values():
            if lease.began is not None:
                self._not_late(lease)
                self._begin(lease, at)

    def leave(self, worker_id: int) -> list[Lease]:
        """Forget a worker; return the leases that it held."""
        worker = self._workers.pop(worker_id, None)
        held = list(worker.held) if worker else []
        return [lease for unit_id in held if (lease := self._forget(unit_id))]

    def device_kind(self, worker_id: int) -> str:
        """Return the kind of a worker's device."""
        worker = self._workers.get(worker_id)
        return worker.device_kind if worker else ""

    # --- leases -------------------------------------------------------------------------------

    def grant(self, unit: Unit, estimate: Estimate, worker_id: int, now: float) -> Lease:
        """Write down that a worker has a unit."""
        worker = self._worker(worker_id, now)
        loads = worker.resident != unit.checkpoint.digest
        worker.resident = unit.checkpoint.digest
        lease = Lease(unit, estimate, worker_id, loads)
        self._leases[unit.unit_id] = lease
        worker.held[unit.unit_id] = lease
        if len(worker.held) == 1:
            self._begin(lease, now - self._paused_s)
        return lease

    def _begin(self, lease: Lease, at: float) -> None:
        lease.began = at
        self._predict(lease)
        least_s = self._patience.hang_s
        lease.deadline = at + (
            UNKNOWN_FACTOR * least_s
            if lease.predicted_s is None
            else max(least_s, DEADLINE_FACTOR * lease.predicted_s)
        )

    def _predict(self, lease: Lease) -> None:
        """Say when a unit becomes late, now or as soon as enough has been measured."""
        unit_id = lease.unit.unit_id
        expected_s = self._expected_s(lease.estimate)
        if lease.began is None or expected_s is None or (lease.loads and self._loading_s is None):
            self._unpredicted[unit_id] = lease
            return
        self._unpredicted.pop(unit_id, None)
        lease.predicted_s = expected_s * max(1.0, self._elapsed.value or 1.0)
        if lease.loads:
            lease.predicted_s += self._loading_s or 0.0
        lease.late_at = lease.began + LATE_FLOOR_S + LATE_FACTOR * lease.predicted_s
        heapq.heappush(self._late_heap, (lease.late_at, unit_id))

    def get(self, unit_id: int) -> Lease | None:
        """Return a lease."""
        return self._leases.get(unit_id)

    def of_evaluation(self, evaluation_id: int) -> list[Lease]:
        """Return the leases of an evaluation."""
        return [v for v in self._leases.values() if v.unit.evaluation_id == evaluation_id]

    def void(self, lease: Lease) -> None:
        """Note that nobody waits for a unit any more; its worker has it all the same."""
        lease.void = True
        self._not_late(lease)

    def end(self, unit_id: int, now: float) -> Lease | None:
        """Take a lease back; what the worker holds behind it begins."""
        lease = self._forget(unit_id)
        if lease is not None:
            held = self._workers[lease.worker_id].held
            del held[unit_id]
            if held and (following := next(iter(held.values()))).began is None:
                self._begin(following, now - self._paused_s)
        return lease

    def measure(self, lease: Lease, device_s: float, now: float) -> None:
        """Learn from a finished unit how its time passes beside the device's work."""
        if lease.began is None:
            return
        elapsed_s = now - self._paused_s - lease.began
        if lease.loads:
            beside_s = max(0.0, elapsed_s - device_s)
            self._loading_s = max(beside_s, self._loading_s or 0.0)
        else:
            self._elapsed.add(elapsed_s, device_s)
        for waiting in list(self._unpredicted.values()):
            self._predict(waiting)

    def _forget(self, unit_id: int) -> Lease | None:
        lease = self._leases.pop(unit_id, None)
        self._unpredicted.pop(unit_id, None)
        if lease is not None:
            self._not_late(lease)
        return lease

    def _not_late(self, lease: Lease) -> None:
        late = self._late.get(lease.unit.evaluation_id)
        if late is not None:
            late.pop(lease.unit.unit_id, None)
            if not late:
                del self._late[lease.unit.evaluation_id]

    def _worker(self, worker_id: int, now: float) -> _Worker:
        if worker_id not in self._workers:
            self.join(worker_id, now)
            self._workers[worker_id].ready_by = None
        return self._workers[worker_id]

    # --- too long -----------------------------------------------------------------------------

    def copied(self, first: Lease, second: Lease) -> None:
        """Note that a late unit has a second copy; neither gets another."""
        self._not_late(first)
        first.copied = second.copied = True
        first.twin, second.twin = second.unit.unit_id, first.unit.unit_id

    def late(self, now: float) -> Mapping[int, Collection[Lease]]:
        """Return the units that take much longer than predicted, by evaluation.

        Units that have a second copy, or that nobody waits for, are not among them.
        """
        now -= self._paused_s
        while self._late_heap and self._late_heap[0][0] <= now:
            _, unit_id = heapq.heappop(self._late_heap)
            lease = self._leases.get(unit_id)
            if lease is None or lease.late_at > now:  # it waited for files meanwhile
                continue
            if not lease.copied and not lease.void:
                self._late.setdefault(lease.unit.evaluation_id, {})[unit_id] = lease
        return {number: late.values() for number, late in self._late.items()}

    def next_late_at(self) -> float | None:
        """Return when the next unit may become late, or None."""
        while self._late_heap and self._late_heap[0][1] not in self._leases:
            heapq.heappop(self._late_heap)
        return self._late_heap[0][0] + self._paused_s if self._late_heap else None

    def overdue(self, now: float) -> list[Overdue]:
        """Return the workers that are silent or stuck. To be asked every second or so."""
        silence_s = self._patience.silence_s
        if self._looked_at is not None and now - self._looked_at > PAUSE_SHARE * silence_s:
            self._paused_s += now - self._looked_at
        self._looked_at = now
        now -= self._paused_s
        found: list[Overdue] = []
        for worker_id, worker in self._workers.items():
            reason = self._fault(worker, now)
            if reason:
                found.append(Overdue(worker_id, reason))
        return found

    def _fault(self, worker: _Worker, now: float) -> str | None:
        if now - worker.heard_at > self._patience.silence_s:
            return f"no heartbeat for {now - worker.heard_at:.0f} s"
        if worker.ready_by is not None and now > worker.ready_by:
            return f"not ready after {UNKNOWN_FACTOR * self._patience.hang_s:.0f} s"
        for lease in worker.held.values():
            if lease.began is not None and now > lease.deadline:
                spent_s, batch = now - lease.began, lease.unit.batch.batch_id
                expected = (
                    "" if lease.predicted_s is None else f", expected {lease.predicted_s:.1f} s"
                )
                return f"stuck in batch {batch} for {spent_s:.0f} s{expected}"
        return None
