"""The process that speaks with Ray for the coordinator."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from ctv_engine.cluster.actors import WorkerActor
from ctv_engine.cluster.calls import WAIT_S, Calls, cause_of
from ctv_engine.cluster.connecting import connect
from ctv_engine.cluster.members import Node, in_our_time
from ctv_engine.cluster.membership import Membership
from ctv_engine.cluster.messages import (
    ClusterError,
    ClusterSettings,
    ForgetWorker,
    FromDriver,
    KillWorker,
    Quit,
    Refused,
    Said,
    SendUnit,
    StartWorker,
    ToDriver,
    WatchWorker,
)
from ctv_engine.cluster.needs import Needs, as_seen_there
from ctv_engine.cluster.trees import Tree
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import (
    Fault,
    FromWorker,
    Heartbeat,
    Unit,
    UnitDone,
    UnitFailed,
    WorkerLost,
    WorkerReady,
)

HEARTBEAT_S = 1.0
BEGIN_S = 120.0
"""So long Ray may take to give a worker its process; a GPU may have been claimed meanwhile."""
PROBE_S = 1.5
"""So long a machine may take to say that it lives, after one of its workers fell silent."""


@dataclass
class _Worker:
    """A worker's actor. ``units`` are under way, with the digests of their checkpoints.

    ``asked_at`` is when Ray was asked for it; it has ``begun`` when it has said something. Those
    of the units in ``coming`` lack files.
    """

    node: Node
    settings: WorkerSettings
    handle: Any = None
    stream: Any = None
    asked_at: float | None = None
    begun: bool = False
    ready: bool = False
    pid: int | None = None
    units: dict[int, str] = field(default_factory=dict)
    coming: set[int] = field(default_factory=set)

    @property
    def waits(self) -> bool:
        """Whether what it has to do next lacks files, so that time is not its own."""
        return self.asked_at is None or next(iter(self.units), None) in self.coming


def run_driver(pipe: Connection, settings: ClusterSettings) -> None:
    """Serve the coordinator until its pipe closes, or the cluster's head is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _silence()
    try:
        address = connect(settings.address)
    except ClusterError as error:
        pipe.send(Refused(str(error)))
        return
    try:
        Driver(pipe, settings, address).run()
    except Exception as error:  # the coordinator takes the workers for lost, and says why
        pipe.send(Refused(f"Ray at {address}: {type(error).__name__}: {error}"))


def _silence() -> None:
    """Keep Ray's own messages off the engine's output; what matters of them becomes an event."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


class Driver:
    """What the coordinator asks for, done with Ray: workers as actors of the cluster's machines.

    The coordinator replaces workers itself: it knows which batch to blame, and what a device has
    been through. So Ray restarts none, and repeats no call.
    """

    def __init__(self, pipe: Connection, settings: ClusterSettings, address: str) -> None:
        self._pipe = pipe
        self._settings = settings
        self._turn = threading.RLock()
        self._workers: dict[int, _Worker] = {}
        self._needs = Needs(settings.suites)
        self._calls = Calls(self._turn)
        self._members = Membership(
            self._calls, settings, address, self._send, self._are_up, self._end_all
        )
        self._spreading = self._members.spreading

    def run(self) -> None:
        """Serve until the coordinator or the head is gone."""
        threading.Thread(target=self._obey, name="commands", daemon=True).start()
        looked_at = spoke_at = 0.0
        while True:
            self._calls.listen()
            if time.monotonic() - looked_at >= WAIT_S:
                looked_at = time.monotonic()
                with self._turn:
                    self._calls.give_up_late()
                    self._members.look_round()
            if looked_at - spoke_at >= HEARTBEAT_S:
                spoke_at = looked_at
                with self._turn:
                    self._speak_for_those_who_wait(spoke_at)

    def _send(self, message: FromDriver) -> None:
        """Tell the coordinator; a refusal is the last that it hears."""
        with self._turn:
            try:
                self._pipe.send(message)
            except OSError:  # the coordinator is gone, and the workers go with this process
                os._exit(0)
        if isinstance(message, Refused):
            os._exit(0)

    # --- what the coordinator asks for --------------------------------------------------------

    def _obey(self) -> None:
        while True:
            try:
                command: ToDriver = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)
            try:
                self._read_for(command)
                with self._turn:
                    self._do(command)
            except Exception as error:  # a driver that obeys no more must not look like one
                self._send(Refused(f"the driver of Ray failed: {type(error).__name__}: {error}"))

    def _read_for(self, command: ToDriver) -> None:
        """Read what a command needs before its turn: a slow file system holds up no heartbeat."""
        with contextlib.suppress(OSError):
            if isinstance(command, SendUnit):
                self._needs.of(command.unit)
            elif isinstance(command, StartWorker) and self._settings.worker.processor is not None:
                self._needs.tree("processor", self._settings.worker.processor)

    def _do(self, command: ToDriver) -> None:
        if isinstance(command, Quit):
            self._calls.ray.shutdown()
            os._exit(0)
        if isinstance(command, StartWorker):
            self._start(command.worker_id, command.place)
            return
        worker = self._workers.get(command.worker_id)
        if worker is None:
            return
        if isinstance(command, SendUnit):
            self._hand_over(command.worker_id, worker, command.unit)
        elif isinstance(command, KillWorker):
            self._end(command.worker_id)
        elif isinstance(command, WatchWorker):
            worker.node.agent.watch.remote(
                command.worker_id, command.name, command.pid, command.process
            )
        elif isinstance(command, ForgetWorker):
            worker.node.agent.forget.remote(command.worker_id)

    def _start(self, worker_id: int, place: str) -> None:
        host, _, device = place.rpartition("/")
        node = self._members.get(host)
        if node is None:
            self._send(Said(worker_id, WorkerLost(f"{host} is not there", blameless=True)))
            return
        settings = replace(self._settings.worker, device=device, host=host)
        worker = self._workers[worker_id] = _Worker(node, settings)
        trees: list[Tree] = []
        if settings.processor is not None:
            try:
                trees.append(self._needs.tree("processor", settings.processor))
            except OSError as error:
                self._lose(worker_id, WorkerLost(_words(error)))
                return

        def then(reason: str | None) -> None:
            if self._workers.get(worker_id) is not worker:
                return
            if reason is None:
                self._create(worker_id, worker, trees)
            else:
                self._lose(worker_id, WorkerLost(reason))

        self._spreading.need(node, trees, self._members.ready(), then)

    def _create(self, worker_id: int, worker: _Worker, trees: Sequence[Tree]) -> None:
        node, settings = worker.node, worker.settings
        if trees:
            settings = replace(settings, processor=self._spreading.path(node, trees[0]))
        gpus = 1 if self._members.gpus(node.node_id) else 0
        made = self._calls.on(
            node.node_id,
            WorkerActor,
            num_gpus=gpus,
            num_cpus=1 - gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
        )
        worker.handle, worker.asked_at = made.remote(settings), time.monotonic()
        worker.stream = self._calls.follow(
            lambda: worker.handle.listen.options(num_returns="streaming").remote(),
            lambda message, error: self._hear(worker_id, message, error),
        )

    def _hand_over(self, worker_id: int, worker: _Worker, unit: Unit) -> None:
        node = worker.node
        try:
            trees = self._needs.of(unit)
        except OSError as error:
            self._send(Said(worker_id, UnitFailed(unit.unit_id, _fault(unit), _words(error))))
            return
        worker.units[unit.unit_id] = trees[0].digest
        worker.coming.add(unit.unit_id)

        def then(reason: str | None) -> None:
            worker.coming.discard(unit.unit_id)
            if self._workers.get(worker_id) is not worker or worker.handle is None:
                return
            if reason is not None:
                worker.units.pop(unit.unit_id, None)
                self._send(Said(worker_id, UnitFailed(unit.unit_id, _fault(unit), reason)))
            else:
                there = as_seen_there(unit, trees, lambda tree: self._spreading.path(node, tree))
                worker.handle.take.remote(there)
                self._spreading.clear(node, self._in_use(node))

        self._spreading.need(node, trees, self._members.ready(), then)

    def _in_use(self, node: Node) -> frozenset[str]:
        ours = [worker for worker in self._workers.values() if worker.node is node]
        return frozenset(digest for worker in ours for digest in worker.units.values())

    def _are_up(self, node: Node) -> list[bool]:
        return [worker.ready for worker in self._workers.values() if worker.node is node]

    def _speak_for_those_who_wait(self, now: float) -> None:
        """Say of workers that wait for files or for a process that they live; not for ever."""
        late: list[int] = []
        for worker_id, worker in self._workers.items():
            if worker.begun:
                if worker.waits:
                    self._send(Said(worker_id, Heartbeat(waits=True)))
            elif worker.asked_at is None or now - worker.asked_at <= BEGIN_S:
                self._send(Said(worker_id, Heartbeat(worker.waits)))
            else:
                late.append(worker_id)
        for worker_id in late:
            self._end(worker_id)
        if late:  # where something else has the GPU, there is a place less
            self._members.look_round()
        text = f"Ray has not started it within {BEGIN_S:.0f} s; another job may have its GPU"
        for worker_id in late:
            self._send(Said(worker_id, WorkerLost(text, blameless=True)))

    # --- what workers say, and their end ------------------------------------------------------

    def _hear(self, worker_id: int, message: FromWorker | None, error: Exception | None) -> None:
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        if message is None:
            self._suspect(worker_id, worker, error)
            return
        worker.begun = True
        if isinstance(message, WorkerReady):
            worker.ready, worker.pid = True, message.pid
        elif isinstance(message, UnitDone | UnitFailed):
            worker.units.pop(message.unit_id, None)
        self._send(Said(worker_id, in_our_time(message, worker.node.offset_s)))
        if isinstance(message, WorkerLost):
            self._end(worker_id)

    def _suspect(self, worker_id: int, worker: _Worker, error: Exception | None) -> None:
        """Find out whether a worker is gone alone, or with its machine."""

        def answer(value: Any, silence: Exception | None) -> None:
            if self._workers.get(worker_id) is not worker:
                return
            if silence is not None:
                self._members.lose(worker.node, "it was cut off")
                return
            self._lose(worker_id, WorkerLost(cause_of(error)))

        self._calls.ask(worker.node.agent.clock.remote(), answer, PROBE_S)

    def _end(self, worker_id: int) -> None:
        worker = self._workers.pop(worker_id)
        if worker.handle is not None:
            self._calls.leave(worker.stream)
            self._calls.ray.kill(worker.handle)
        if worker.node.ready:
            worker.node.agent.end.remote(worker_id, worker.pid)

    def _end_all(self, node: Node, reason: str) -> None:
        for worker_id in [n for n, worker in self._workers.items() if worker.node is node]:
            self._lose(worker_id, WorkerLost(reason, blameless=True))

    def _lose(self, worker_id: int, lost: WorkerLost) -> None:
        self._end(worker_id)
        self._send(Said(worker_id, lost))


def _fault(unit: Unit) -> Fault:
    """Return what to blame where files of a unit are gone."""
    checkpoint = unit.checkpoint
    weights = [place for place in (checkpoint.directory, checkpoint.base) if place is not None]
    return "batch" if all(place.is_dir() for place in weights) else "checkpoint"


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
