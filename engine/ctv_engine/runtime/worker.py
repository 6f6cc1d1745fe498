"""One worker process: keeps a model resident on one device and answers batches."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection

from ctv_engine.runtime.answering import Worker, WorkerSettings, line_of
from ctv_engine.runtime.messages import Unit, WorkerLost, WorkerReady

ORPHAN_CHECK_S = 1.0


def run_worker(pipe: Connection, settings: WorkerSettings) -> None:
    """Serve units from ``pipe`` until it closes. torch is imported here and nowhere before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        worker = Worker(settings)
    except (RuntimeError, AssertionError, ImportError, OSError) as error:
        pipe.send(WorkerLost(f"{settings.device} can't be used: {line_of(error)}"))
        return
    pipe.send(WorkerReady(worker.gpu_uuid))
    units: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
    threading.Thread(target=_take_in, args=(pipe, worker, units), daemon=True).start()
    while (unit := units.get()) is not None:
        try:
            pipe.send(worker.run(unit, pipe.send))
        except OSError:
            return


def _take_in(pipe: Connection, worker: Worker, units: queue.SimpleQueue[Unit | None]) -> None:
    """Queue units as they arrive, and have their inputs made while others run."""
    while True:
        try:
            unit: Unit = pipe.recv()
        except (EOFError, OSError):
            units.put(None)
            return
        worker.expect(unit)
        units.put(unit)


def _end_with_parent(parent: int) -> None:
    """Leave as soon as the coordinator is gone, even in the middle of a batch."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)
