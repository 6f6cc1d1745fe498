"""What a pool's processes run in tests: no model, only the pipe."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any

from ctv_engine.runtime.messages import Heartbeat, UnitDone, WorkerReady


def echo(pipe: Connection, settings: Any) -> None:
    """Be ready, answer every unit at once with a note as long as its first question."""
    pipe.send(WorkerReady(f"gpu-of-{settings.device}", "kind"))
    while True:
        unit = pipe.recv()
        pipe.send(UnitDone(unit.unit_id, (), (), (unit.batch.items[0].question,)))


def half_a_message(pipe: Connection, settings: Any) -> None:
    """Announce a message and never write it all."""
    os.write(pipe.fileno(), (1000).to_bytes(4, "big") + b"begin")
    time.sleep(600)


def last_words(pipe: Connection, settings: Any) -> None:
    """Speak and die."""
    pipe.send(Heartbeat())
    pipe.send(WorkerReady("gpu"))
    os._exit(7)


def what_cuda_would_see(pipe: Connection, settings: Any) -> None:
    """Run the real worker, but instead of a model tell what its process would let CUDA see."""
    from ctv_engine.runtime import worker

    class Seen:
        device_kind = "kind"

        def __init__(self, own: Any) -> None:
            self.gpu_uuid = f"{os.environ.get('CUDA_VISIBLE_DEVICES')} as {own.device}"

    worker.Worker = Seen  # type: ignore[assignment,misc]
    worker.run_worker(pipe, settings)
