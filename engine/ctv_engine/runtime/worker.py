"""One worker process: listens to the coordinator, proves that it lives, answers units."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Protocol

from ctv_engine.runtime.answering import Worker, WorkerSettings, line_of
from ctv_engine.runtime.messages import FromWorker, Heartbeat, Unit, WorkerLost, WorkerReady

HEARTBEAT_S = 1.0


class Channel(Protocol):
    """A worker's end of its connection to the coordinator."""

    def send(self, message: FromWorker, /) -> None:
        """Send a message.

        Raises:
            OSError: the coordinator is gone.
        """

    def recv(self) -> Unit:
        """Wait for the next unit.

        Raises:
            EOFError, OSError: there will be none.
        """


def run_worker(pipe: Connection, settings: WorkerSettings) -> None:
    """Be a worker in a process of its own, until ``pipe`` closes or the coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    serve(pipe, settings, lambda: os.getppid() == parent)


def serve(channel: Channel, settings: WorkerSettings, wanted: Callable[[], bool]) -> None:
    """Answer units from ``channel`` until it closes. torch is imported here and nowhere before.

    The process ends as soon as it is not ``wanted`` any more, even in the middle of a batch.
    """
    line = Line(channel)
    threading.Thread(target=_beat, args=(line, wanted), daemon=True).start()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    name = settings.device
    if settings.visible is not None:  # CUDA reads it when it is first used; a MIG instance needs it
        os.environ["CUDA_VISIBLE_DEVICES"] = settings.visible
        settings = replace(settings, device="cuda:0")
    try:
        worker = Worker(settings)
    except (RuntimeError, AssertionError, ImportError, OSError) as error:
        line.send(WorkerLost(f"{name} can't be used: {line_of(error)}"))
        return
    line.send(WorkerReady(worker.gpu_uuid, worker.device_kind, os.getpid()))
    units: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
    threading.Thread(target=_take_in, args=(channel, worker, units), daemon=True).start()
    while (unit := units.get()) is not None:
        try:
            line.send(worker.run(unit, line.send))
        except OSError:
            return


class Line:
    """A channel for two threads that speak: one message at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._turn = threading.Lock()

    def send(self, message: FromWorker) -> None:
        """Send a message.

        Raises:
            OSError: the coordinator is gone.
        """
        with self._turn:
            self._channel.send(message)


def _take_in(channel: Channel, worker: Worker, units: queue.SimpleQueue[Unit | None]) -> None:
    """Queue units as they arrive, and have their inputs made while others run."""
    while True:
        try:
            unit = channel.recv()
        except (EOFError, OSError):
            units.put(None)
            return
        worker.expect(unit)
        units.put(unit)


def _beat(line: Line, wanted: Callable[[], bool]) -> None:
    """Prove that the process lives; leave with the coordinator, even in the middle of a batch."""
    while wanted():
        try:
            line.send(Heartbeat())
        except OSError:
            break
        time.sleep(HEARTBEAT_S)
    os._exit(1)
