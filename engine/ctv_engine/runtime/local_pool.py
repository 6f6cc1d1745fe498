"""Workers as spawned processes of this machine, one per device."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import FromWorker, Unit, WorkerLost
from ctv_engine.runtime.worker import run_worker

KILL_TIMEOUT_S = 5.0


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection


class LocalPool:
    """One spawned process per device; a pipe each; death is seen through the process's sentinel."""

    def __init__(self, devices: tuple[str, ...], settings: WorkerSettings) -> None:
        """Make an empty pool; ``settings`` are every worker's, but for the device."""
        self._devices = devices
        self._settings = settings
        self._workers: dict[int, _Worker] = {}
        self._context = multiprocessing.get_context("spawn")

    def capacity(self) -> tuple[str, ...]:
        """Return the devices that a worker can be started on."""
        return self._devices

    def start(self, worker_id: int, device: str) -> int | None:
        """Start a worker process and return its process id."""
        ours, theirs = self._context.Pipe()
        settings = replace(self._settings, device=device)
        process = self._context.Process(
            target=run_worker, args=(theirs, settings), name=f"ctv-worker-{device}", daemon=True
        )
        process.start()
        theirs.close()
        self._workers[worker_id] = _Worker(process, ours)
        return process.pid

    def send(self, worker_id: int, unit: Unit) -> None:
        """Hand a unit to a worker."""
        try:
            self._workers[worker_id].pipe.send(unit)
        except (BrokenPipeError, ConnectionResetError):
            return  # its sentinel tells receive()

    def receive(self, timeout_s: float) -> list[tuple[int, FromWorker]]:
        """Wait for messages and deaths; a worker's last words come before its loss."""
        waitables: dict[Any, int] = {}
        for worker_id, worker in self._workers.items():
            waitables[worker.pipe] = worker_id
            waitables[worker.process.sentinel] = worker_id
        if not waitables:
            time.sleep(timeout_s)
            return []
        due = {waitables[ready] for ready in wait(list(waitables), timeout_s)}
        messages: list[tuple[int, FromWorker]] = []
        for worker_id in sorted(due):
            worker = self._workers[worker_id]
            try:
                while worker.pipe.poll():
                    messages.append((worker_id, worker.pipe.recv()))
            except (EOFError, OSError):
                worker.process.join(KILL_TIMEOUT_S)
            if not worker.process.is_alive():
                del self._workers[worker_id]
                worker.pipe.close()
                messages.append((worker_id, WorkerLost(_cause(worker.process.exitcode))))
        return messages

    def kill(self, worker_id: int) -> None:
        """End a worker now."""
        worker = self._workers.pop(worker_id, None)
        if worker is None:
            return
        worker.process.kill()
        worker.process.join(KILL_TIMEOUT_S)
        worker.pipe.close()


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"exit status {exitcode}"
