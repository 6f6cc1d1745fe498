"""Workers as spawned processes of this machine, one per device."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.inbox import Inbox
from ctv_engine.runtime.messages import FromWorker, Unit, WorkerLost
from ctv_engine.runtime.worker import run_worker

KILL_TIMEOUT_S = 5.0


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    units: queue.SimpleQueue[Unit | None] = field(default_factory=queue.SimpleQueue)


class LocalPool:
    """One spawned process per device; a pipe each; its end of file tells of the process's death.

    Every pipe is read and written by threads of its own: a worker that is stopped in the middle of
    a message holds up nobody but itself.
    """

    def __init__(
        self,
        devices: tuple[str, ...],
        settings: WorkerSettings,
        visible: Mapping[str, str] | None = None,
    ) -> None:
        """Make an empty pool; ``settings`` are every worker's, but for the device.

        ``visible`` is the UUID of a device's GPU, where it is known.
        """
        self.move(devices, visible or {})
        self._settings = settings
        self._workers: dict[int, _Worker] = {}
        self._inbox = Inbox()
        self._context = multiprocessing.get_context("spawn")

    def move(self, devices: tuple[str, ...], visible: Mapping[str, str]) -> None:
        """Start workers on these devices from now on; those that run stay where they are."""
        self._devices, self._visible = devices, visible

    def capacity(self) -> tuple[str, ...]:
        """Return the devices that a worker can be started on."""
        return self._devices

    def start(self, worker_id: int, device: str) -> int | None:
        """Start a worker process and return its process id."""
        ours, theirs = self._context.Pipe()
        settings = replace(self._settings, device=device, visible=self._visible.get(device))
        process = self._context.Process(
            target=run_worker, args=(theirs, settings), name=f"ctv-worker-{device}", daemon=True
        )
        process.start()
        theirs.close()
        worker = self._workers[worker_id] = _Worker(process, ours)
        for target in (self._read, self._write):
            threading.Thread(target=target, args=(worker_id, worker), daemon=True).start()
        return process.pid

    def send(self, worker_id: int, unit: Unit) -> None:
        """Hand a unit to a worker."""
        self._workers[worker_id].units.put(unit)

    def receive(self, timeout_s: float) -> list[tuple[int, FromWorker]]:
        """Wait for messages and deaths; a worker's last words come before its loss."""
        messages = self._inbox.take(timeout_s)
        return [message for message in messages if self._is_from_a_worker(*message)]

    def kill(self, worker_id: int) -> None:
        """End a worker now."""
        worker = self._workers.pop(worker_id, None)
        if worker is None:
            return
        worker.units.put(None)
        worker.process.kill()
        worker.process.join(KILL_TIMEOUT_S)

    def _is_from_a_worker(self, worker_id: int, message: FromWorker) -> bool:
        """Forget a worker with its last message; of one that was killed nothing counts."""
        known = worker_id in self._workers
        if known and isinstance(message, WorkerLost):
            self._workers.pop(worker_id).units.put(None)
        return known

    def _read(self, worker_id: int, worker: _Worker) -> None:
        try:
            while True:
                self._inbox.put(worker_id, worker.pipe.recv())
        except (EOFError, OSError):
            worker.process.join(KILL_TIMEOUT_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(KILL_TIMEOUT_S)
        self._inbox.put(worker_id, WorkerLost(_cause(worker.process.exitcode)))
        worker.pipe.close()

    def _write(self, worker_id: int, worker: _Worker) -> None:
        while (unit := worker.units.get()) is not None:
            try:
                worker.pipe.send(unit)
            except (OSError, TypeError):  # closed meanwhile, in the middle of a message even
                return  # the reader tells of its death


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"exit status {exitcode}"
