"""One worker process: keeps a model resident on one device and answers batches."""

from __future__ import annotations

import os
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
    while True:
        try:
            unit: Unit = pipe.recv()
            pipe.send(worker.run(unit, pipe.send))
        except (EOFError, OSError):
            return


def _end_with_parent(parent: int) -> None:
    """Leave as soon as the coordinator is gone, even in the middle of a batch."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)
