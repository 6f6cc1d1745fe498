"""What runs on the machines of a cluster. Ray makes actors of these classes; they don't know it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctv_engine.cluster.messages import Readings
from ctv_engine.cluster.trees import Piece, Shelf, Tree, look, pieces, read_piece
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import FromWorker, Unit, WorkerLost
from ctv_engine.runtime.worker import serve
from ctv_engine.settings import default_cache
from ctv_engine.telemetry.poller import Poller

READ_S = 1.0
STREAMED = 1000
"""Of one stream; see :meth:`ctv_engine.cluster.calls.Calls.follow`."""
AHEAD = 3
"""Pieces that are on their way at once. A store that is full delays them; they don't fill it."""


class _Channel:
    """The two ways between a worker's thread and its actor's calls."""

    def __init__(self) -> None:
        self.units: queue.SimpleQueue[Unit] = queue.SimpleQueue()
        self.messages: queue.SimpleQueue[FromWorker] = queue.SimpleQueue()

    def send(self, message: FromWorker, /) -> None:
        self.messages.put(message)

    def recv(self) -> Unit:
        return self.units.get()


class WorkerActor:
    """A worker: what is a process on one machine is an actor here, and does the same.

    It ends with its actor's process, which Ray ends with the driver.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        """Begin to serve; a GPU is the one that Ray has assigned."""
        self._channel = _Channel()
        if settings.device.startswith("cuda"):
            settings = replace(settings, visible=assigned_gpus())
        if settings.own_cache:
            settings = replace(settings, cache_directory=default_cache())
        thread = threading.Thread(target=self._serve, args=(settings,), name="worker", daemon=True)
        thread.start()

    def _serve(self, settings: WorkerSettings) -> None:
        try:
            serve(self._channel, settings, lambda: True)
        except BaseException as error:  # nobody else would hear of it
            print(f"worker: {error!r}", file=sys.stderr, flush=True)
            self._channel.send(WorkerLost(f"{type(error).__name__}: {error}"))

    def listen(self) -> Iterator[FromWorker]:
        """Yield what the worker says next."""
        for _ in range(STREAMED):
            yield self._channel.messages.get()

    def take(self, unit: Unit) -> None:
        """Queue a unit."""
        self._channel.units.put(unit)


def assigned_gpus() -> str | None:
    """Return the GPUs that Ray has assigned to this process, as CUDA_VISIBLE_DEVICES has them.

    That variable itself says nothing of it where training code has told Ray to leave it alone
    (RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES).
    """
    import ray

    return ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"]) or None


class NodeActor:
    """Speaks for a machine: its devices, its clock, and the files that it sees or gets."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._poller = Poller(host)
        self._poller.start()
        self._shelf: Shelf | None = None
        self._one_at_a_time = threading.Lock()

    def listen(self) -> Iterator[Readings]:
        """Yield what the devices say next, once a second."""
        poller = self._poller
        for _ in range(STREAMED):
            samples, news = tuple(poller.drain()), tuple(poller.news())
            yield Readings(time.time(), poller.census, samples, news)
            time.sleep(READ_S)

    def clock(self) -> float:
        """Return this machine's time in epoch seconds."""
        return time.time()

    def watch(self, worker_id: int, name: str, pid: int | None, process: bool) -> None:
        """Read a worker's device, or its process under the name ``name``, from now on."""
        if not process:
            self._poller.watch_gpu(worker_id, name, pid)
        elif pid is not None:
            self._poller.watch_process(worker_id, name, pid)

    def forget(self, worker_id: int) -> None:
        """Stop reading a worker's process."""
        self._poller.forget_process(worker_id)

    def end(self, worker_id: int, pid: int | None) -> None:
        """Kill a worker's process, should it not obey Ray, and stop reading it."""
        self._poller.forget_process(worker_id)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def look(self, tree: Tree, patience_s: float) -> str | None:
        """See :func:`ctv_engine.cluster.trees.look`."""
        return look(tree, patience_s)

    def fetch(self, tree: Tree, source: Any) -> Path:
        """Copy a tree from the actor ``source`` to this machine, if it is not there already.

        Raises:
            OSError: it can't be written, or is not what it should be.
        """
        with self._one_at_a_time:
            if self._shelf is None:
                self._shelf = Shelf()
            return self._shelf.copy(tree, _from(source, tree))

    def drop(self, digest: str) -> None:
        """Remove the copy of a tree."""
        if self._shelf is not None:
            self._shelf.drop(digest)


def _from(source: Any, tree: Tree) -> Iterator[bytes]:
    """Yield the pieces of a tree, asked for ahead."""
    import ray

    coming: deque[Any] = deque()
    for piece in pieces(tree):
        coming.append(source.read.remote(tree, piece))
        if len(coming) == AHEAD:
            yield ray.get(coming.popleft())
    while coming:
        yield ray.get(coming.popleft())


class SourceActor:
    """Reads the engine's files for other machines."""

    def read(self, tree: Tree, piece: Piece) -> bytes:
        """See :func:`ctv_engine.cluster.trees.read_piece`."""
        return read_piece(tree, piece)
