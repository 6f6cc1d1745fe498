"""The workers of a run: started, fed, listened to, ended and replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ctv_engine.runtime.devices import host_and_device
from ctv_engine.runtime.messages import (
    ClosedPart,
    FromWorker,
    Heartbeat,
    Unit,
    UnitDone,
    UnitFailed,
    WorkerLost,
    WorkerReady,
)
from ctv_engine.runtime.pool import Pool
from ctv_engine.service.ledger import Ledger
from ctv_engine.telemetry.poller import Telemetry

MAX_STRIKES = 12
"""Strikes in a row, without a finished batch between, after which a device is set aside."""
STRIKES_UNUSED, STRIKES_IN_BATCH = 4, 1
"""A worker that dies before it has work speaks against the device, one in a batch against that."""


class Soon(Protocol):
    """Takes a step that writes to the database: it is done in its turn, again until it succeeds."""

    def __call__(self, step: Callable[..., object], /, *values: object) -> None:
        """Queue a step."""


@dataclass
class _Worker:
    place: str
    host: str
    device: str
    pid: int | None = None
    ready: bool = False
    units: set[int] = field(default_factory=set)

    @property
    def is_on_cpu(self) -> bool:
        return self.device.startswith("cpu")


class Crew:
    """Workers on the devices of a pool, and what happens when one speaks, falls silent or dies.

    Whatever is written to the database is a step of its own, queued by ``soon``; the schedule and
    the crew change only where nothing can fail any more. A full disk therefore delays things, but
    nothing is done twice or by halves.
    """

    def __init__(
        self, pool: Pool, ledger: Ledger, poller: Telemetry, host: str, soon: Soon
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._evaluations = ledger.evaluations
        self._scheduler = ledger.evaluations.scheduler
        self._writer = ledger.writer
        self._poller = poller
        self._host = host
        self._soon = soon
        self._workers: dict[int, _Worker] = {}
        self._strikes: dict[str, int] = {}
        self._told: set[str] = set()
        self._standing_down = True

    # --- what the loop asks -------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a worker can be given work."""
        return any(worker.ready for worker in self._workers.values())

    @property
    def busy(self) -> bool:
        """Whether a worker has a unit."""
        return any(worker.units for worker in self._workers.values())

    @property
    def hopeless(self) -> bool:
        """Whether there are devices, but none that a worker could be started on."""
        places = self._pool.capacity()
        return not self._workers and bool(places) and all(map(self._is_set_aside, places))

    def start_all(self) -> None:
        """Let :meth:`replenish` start workers from now on."""
        self._standing_down = False

    def replenish(self) -> None:
        """Start workers where there is a device without one: new, or left by one that is lost."""
        if self._standing_down:
            return
        taken = {worker.place for worker in self._workers.values()}
        for place in self._pool.capacity():
            if place not in taken and not self._is_set_aside(place):
                self._start(place)

    def listen(self, timeout_s: float) -> None:
        """Take in what workers say; a heartbeat counts even while nothing can be written."""
        for worker_id, message in self._pool.receive(timeout_s):
            self._scheduler.beat(worker_id)
            if isinstance(message, Heartbeat):
                if message.waits:
                    self._scheduler.wait(worker_id)
            else:
                self._soon(self._on_message, worker_id, message)

    def feed(self) -> None:
        """Give every free worker its next unit, and the busy ones one to prepare meanwhile."""
        ready = [(number, worker) for number, worker in self._workers.items() if worker.ready]
        for ahead in (False, True):
            for worker_id, worker in ready:
                if len(worker.units) != ahead:
                    continue
                unit = self._scheduler.lease(worker_id, ahead=ahead)
                if unit is not None:
                    worker.units.add(unit.unit_id)
                    self._pool.send(worker_id, unit)
                    self._soon(self._evaluations.start, unit)

    def replace_overdue(self) -> None:
        """End workers that are silent or stuck, and start others in their place."""
        for overdue in self._scheduler.overdue():
            worker = self._workers.get(overdue.worker_id)
            if worker is not None:
                self._pool.kill(overdue.worker_id)
                text = f"worker on {worker.place} killed: {overdue.reason}"
                self._write_off(overdue.worker_id, worker, overdue.reason, text)

    def stand_down(self) -> None:
        """Start no worker any more, until :meth:`start_all`."""
        self._standing_down = True

    def rest(self) -> None:
        """End every worker, which has no unit; its device's memory is free afterwards."""
        for worker_id in list(self._workers):
            self._pool.kill(worker_id)
            self._poller.forget_process(worker_id)
            del self._workers[worker_id]
            self._scheduler.lose(worker_id, "paused")
            self._soon(self._writer.set_worker, worker_id, "ended")
        self._strikes.clear()

    def end_all(self) -> None:
        """End every worker now."""
        for worker_id in list(self._workers):
            self._pool.kill(worker_id)
        for worker_id in self._workers:
            self._writer.set_worker(worker_id, "ended")

    # --- starting and losing ------------------------------------------------------------------

    def _is_set_aside(self, place: str) -> bool:
        return self._strikes.get(place, 0) >= MAX_STRIKES

    def _start(self, place: str) -> None:
        host, device = host_and_device(place, self._host)
        worker_id = self._writer.add_worker(self._ledger.run_id, host, device)
        worker = self._workers[worker_id] = _Worker(place, host, device)
        self._scheduler.join(worker_id)
        try:
            pid = self._pool.start(worker_id, place)
        except OSError as error:
            text = f"no worker could be started on {place}: {error}"
            self._write_off(worker_id, worker, str(error), text)
            return
        worker.pid = pid
        self._soon(self._note_start, worker_id, pid)
        if pid is not None and worker.is_on_cpu:
            self._poller.watch_process(worker_id, f"cpu-{device.partition(':')[2]}", pid)

    def _note_start(self, worker_id: int, pid: int | None) -> None:
        self._writer.set_worker(worker_id, "starting", pid=pid)

    def _write_off(
        self, worker_id: int, worker: _Worker, reason: str, text: str, *, blame: bool = True
    ) -> None:
        """Forget a worker that is gone; its device gets another, unless it is to blame."""
        del self._workers[worker_id]
        self._poller.forget_process(worker_id)
        self._soon(self._ledger.event, "error", "worker", text)
        self._soon(self._writer.set_worker, worker_id, "lost")
        for lost in self._scheduler.lose(worker_id, reason, blame=blame):
            self._soon(self._evaluations.give_up, lost, worker_id)
            self._finish_soon(lost.unit)
        if not blame:
            return
        place = worker.place
        strikes = STRIKES_IN_BATCH if worker.units else STRIKES_UNUSED
        self._strikes[place] = self._strikes.get(place, 0) + strikes
        if self._is_set_aside(place):
            text = f"{place} set aside: its workers die without finishing a batch"
            self._soon(self._ledger.event, "error", "worker", text)

    # --- messages -----------------------------------------------------------------------------

    def _on_message(self, worker_id: int, message: FromWorker) -> None:
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        if isinstance(message, WorkerReady):
            known = worker.pid is not None
            pid = worker.pid if known else message.pid
            self._writer.set_worker(worker_id, "ready", pid=pid, gpu_uuid=message.gpu_uuid)
            worker.pid = pid
            if not worker.is_on_cpu:
                self._poller.watch_gpu(worker_id, message.gpu_uuid, pid)
            elif not known and pid is not None:
                self._poller.watch_process(worker_id, message.gpu_uuid, pid)
            self._scheduler.ready(worker_id, message.device_kind)
            worker.ready = True
        elif isinstance(message, ClosedPart):
            unit = self._scheduler.unit(message.unit_id)
            if unit is not None:
                self._evaluations.take_part(unit, worker_id, message)
                self._finish_soon(unit)
        elif isinstance(message, UnitDone):
            self._on_done(worker_id, worker, message)
        elif isinstance(message, UnitFailed):
            self._on_failed(worker_id, worker, message)
        elif isinstance(message, WorkerLost):
            text = f"worker on {worker.place} ended: {message.reason}"
            blame = not message.blameless
            self._write_off(worker_id, worker, message.reason, text, blame=blame)

    def _on_done(self, worker_id: int, worker: _Worker, message: UnitDone) -> None:
        unit = self._scheduler.unit(message.unit_id)
        if unit is None:  # the other copy was faster, or the evaluation has ended
            self._scheduler.complete(message.unit_id)
        else:
            self._evaluations.take(unit, worker_id, message)
            self._finish_soon(unit)
            for note in message.notes:
                if note not in self._told:
                    self._told.add(note)
                    number = unit.checkpoint.checkpoint_id
                    self._soon(self._ledger.event, "warning", "model", note, number)
        self._strikes.pop(worker.place, None)
        worker.units.discard(message.unit_id)

    def _on_failed(self, worker_id: int, worker: _Worker, message: UnitFailed) -> None:
        unit = self._scheduler.unit(message.unit_id)
        whole = message.fault in ("checkpoint", "evaluation")
        if unit is not None and message.fault == "checkpoint":
            self._ledger.fail_checkpoint(unit.checkpoint, message.reason)
        elif unit is not None and message.fault == "evaluation":
            self._evaluations.fail_evaluation(unit.evaluation_id, message.reason)
        lost = self._scheduler.fail(message.unit_id, message.reason, message.fault)
        if unit is not None and not whole:
            text = f"batch {unit.batch.batch_id} of step {unit.checkpoint.step}"
            self._soon(self._ledger.event, "warning", "batch", f"{text}: {message.reason}")
            if lost is not None:
                self._soon(self._evaluations.give_up, lost, worker_id)
            self._finish_soon(unit)
        worker.units.discard(message.unit_id)

    def _finish_soon(self, unit: Unit) -> None:
        self._soon(self._evaluations.finish_if_complete, unit.evaluation_id)
