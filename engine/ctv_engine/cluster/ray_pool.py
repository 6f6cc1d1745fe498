"""The coordinator's side of a cluster: a pool like any other, and telemetry of every machine."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeVar

from ctv_engine.cluster.driver import run_driver
from ctv_engine.cluster.messages import (
    ClusterError,
    ClusterSettings,
    Connected,
    ForgetWorker,
    FromDriver,
    KillWorker,
    Places,
    Quit,
    Readings,
    Refused,
    Said,
    SendUnit,
    StartWorker,
    ToDriver,
    WatchWorker,
)
from ctv_engine.runtime.inbox import Inbox
from ctv_engine.runtime.messages import FromWorker, Unit, WorkerLost
from ctv_engine.store.rows import GpuRow, NodeRow, SampleRow
from ctv_engine.telemetry.poller import News

CONNECT_S = 150.0
RECONNECT_S = 5.0
END_S = 5.0

T = TypeVar("T")


class RayPool:
    """Workers as actors of a Ray cluster, behind the calls of a pool.

    A thread keeps a driver running and takes in what it says. When a driver ends, its workers are
    lost, and nothing speaks against what they had.
    """

    unavailable: str | None = None
    absent = False

    def __init__(self, settings: ClusterSettings) -> None:
        """Connect to the cluster.

        Raises:
            ClusterError: it can't be used; the text says why and what to do.
        """
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._turn = threading.Lock()
        self._sending = threading.Lock()
        """Apart from the other: who takes in what the driver says must never wait for it."""
        self._workers: set[int] = set()
        self._inbox = Inbox()
        self._samples: queue.SimpleQueue[SampleRow] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._changed: queue.SimpleQueue[NodeRow] = queue.SimpleQueue()
        self._nodes: dict[str, NodeRow] = {}
        self._gpus: dict[tuple[str, str], GpuRow] = {}
        self._places: tuple[str, ...] = ()
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None
        self._ends = threading.Event()
        self._first: queue.SimpleQueue[Connected | Refused] = queue.SimpleQueue()
        self._opened = False
        self._refused: str | None = None
        self._thread = threading.Thread(target=self._keep, name="cluster", daemon=True)
        self._thread.start()
        try:
            first = self._first.get(timeout=CONNECT_S)
        except queue.Empty:
            first = Refused(f"Ray has not answered for {CONNECT_S:.0f} s")
        if isinstance(first, Refused):
            self.stop()
            raise ClusterError(first.reason)

    # --- the five calls -----------------------------------------------------------------------

    def capacity(self) -> tuple[str, ...]:
        """Return where a worker can be started now."""
        return self._places

    def start(self, worker_id: int, device: str) -> int | None:
        """Start a worker; its process id comes with its first message."""
        with self._turn:
            self._workers.add(worker_id)
        self._tell(StartWorker(worker_id, device))
        return None

    def send(self, worker_id: int, unit: Unit) -> None:
        """Hand a unit to a worker."""
        self._tell(SendUnit(worker_id, unit))

    def receive(self, timeout_s: float) -> list[tuple[int, FromWorker]]:
        """Wait for messages and losses, oldest first per worker."""
        messages = self._inbox.take(timeout_s)
        return [message for message in messages if self._is_from_a_worker(*message)]

    def kill(self, worker_id: int) -> None:
        """End a worker now."""
        with self._turn:
            self._workers.discard(worker_id)
        self._tell(KillWorker(worker_id))

    def _is_from_a_worker(self, worker_id: int, message: FromWorker) -> bool:
        with self._turn:
            known = worker_id in self._workers
            if isinstance(message, WorkerLost):
                self._workers.discard(worker_id)
        return known

    # --- telemetry ----------------------------------------------------------------------------

    @property
    def census(self) -> tuple[GpuRow, ...]:
        """What the GPUs of all machines are."""
        with self._turn:
            return tuple(self._gpus[key] for key in sorted(self._gpus))

    def drain(self) -> list[SampleRow]:
        """Return the samples since the last call, in the engine's time."""
        return _all_of(self._samples)

    def news(self) -> list[News]:
        """Return what happened to machines and devices since the last call."""
        return _all_of(self._news)

    def nodes(self) -> list[NodeRow]:
        """Return the machines about which something is new since the last call."""
        return _all_of(self._changed)

    def watch_process(self, worker_id: int, name: str, pid: int) -> None:
        """Read a CPU worker's process on its machine from now on, under the name ``name``."""
        self._tell(WatchWorker(worker_id, name, pid, process=True))

    def watch_gpu(self, worker_id: int, gpu_uuid: str, pid: int | None) -> None:
        """Note that a worker is on the GPU that calls itself ``gpu_uuid``."""
        self._tell(WatchWorker(worker_id, gpu_uuid, pid, process=False))

    def forget_process(self, worker_id: int) -> None:
        """Stop reading a worker's process."""
        self._tell(ForgetWorker(worker_id))

    def stop(self) -> None:
        """End the driver, and every worker with it."""
        self._ends.set()
        # A driver that hangs takes in nothing: whoever tells it so may wait until it is killed.
        threading.Thread(target=self._tell, args=(Quit(),), name="quit", daemon=True).start()
        process = self._process
        if process is not None:
            process.join(END_S)
            if process.is_alive():
                process.kill()
        self._thread.join(END_S)

    # --- the driver's process -----------------------------------------------------------------

    def _tell(self, command: ToDriver) -> None:
        with self._sending:
            try:
                if self._pipe is not None:
                    self._pipe.send(command)
                    return
            except (OSError, ValueError):  # its end is noticed by the thread that reads
                pass
        if isinstance(command, StartWorker):
            lost = WorkerLost("the cluster is gone", blameless=True)
            self._inbox.put(command.worker_id, lost)

    def _keep(self) -> None:
        """Run one driver after the other."""
        while not self._ends.is_set():
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=run_driver, args=(theirs, self._settings), name="ctv-cluster", daemon=True
            )
            process.start()
            theirs.close()
            self._process = process
            with self._sending:
                self._pipe = ours
            try:
                while True:
                    self._take(ours.recv())
            except (EOFError, OSError):
                process.join(END_S)
            self._lose_all(ours)
            self._ends.wait(RECONNECT_S)

    def _take(self, message: FromDriver) -> None:
        if isinstance(message, Said):
            self._inbox.put(message.worker_id, message.message)
        elif isinstance(message, Places):
            self._places = message.places
        elif isinstance(message, Readings):
            self._take_readings(message)
        elif isinstance(message, NodeRow):
            self._nodes[message.node_id] = message
            if message.state == "left":
                del self._nodes[message.node_id]
                self._forget_gpus(message.host)
            self._changed.put(message)
        elif isinstance(message, News):
            self._news.put(message)
        else:
            if not self._opened:
                self._opened = True
                self._first.put(message)
            if isinstance(message, Connected):
                if self._refused is not None:
                    self._news.put(
                        News("info", f"connected to Ray at {message.address} again", "cluster")
                    )
                self._refused = None
            elif message.reason != self._refused:
                self._refused = message.reason
                self._news.put(
                    News("error", f"{message.reason}; tried again until it answers", "cluster")
                )

    def _take_readings(self, readings: Readings) -> None:
        with self._turn:
            for gpu in readings.census:
                self._gpus[gpu.host, gpu.gpu_uuid] = gpu
        for sample in readings.samples:
            self._samples.put(sample)
        for news in readings.news:
            self._news.put(news)

    def _forget_gpus(self, host: str) -> None:
        with self._turn:
            for key in [key for key in self._gpus if key[0] == host]:
                del self._gpus[key]

    def _lose_all(self, pipe: Connection) -> None:
        """Take every worker for lost with its driver."""
        with self._sending:
            self._pipe = None
        with self._turn:
            lost = sorted(self._workers)
        pipe.close()
        self._places = ()
        if self._ends.is_set():
            return
        reason = self._refused or "the connection to Ray broke"
        for node in self._nodes.values():
            self._changed.put(replace(node, state="left", reason=reason))
        self._nodes.clear()
        for worker_id in lost:
            self._inbox.put(worker_id, WorkerLost(reason, blameless=True))
        if self._refused is None:
            self._refused = reason
            self._news.put(News("error", f"{reason}; connecting again", "cluster"))


def _all_of(waiting: queue.SimpleQueue[T]) -> list[T]:
    found: list[T] = []
    while not waiting.empty():
        found.append(waiting.get())
    return found
