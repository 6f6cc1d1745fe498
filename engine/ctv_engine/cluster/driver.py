"""The process that speaks with Ray for the coordinator."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ctv_engine.cluster.actors import NodeActor, SourceActor, WorkerActor
from ctv_engine.cluster.connecting import connect
from ctv_engine.cluster.members import (
    Node,
    differences,
    hosts_of,
    in_our_time,
    readings_in_our_time,
    versions,
)
from ctv_engine.cluster.messages import (
    ClusterError,
    ClusterSettings,
    Connected,
    ForgetWorker,
    FromDriver,
    KillWorker,
    Places,
    Quit,
    Refused,
    Said,
    SendUnit,
    StartWorker,
    ToDriver,
    WatchWorker,
)
from ctv_engine.cluster.spreading import Answer, Spreading
from ctv_engine.cluster.trees import Tree, files_of, files_tree
from ctv_engine.runtime.messages import (
    FromWorker,
    Unit,
    UnitDone,
    UnitFailed,
    WorkerLost,
    WorkerReady,
)
from ctv_engine.store.rows import EventLevel
from ctv_engine.telemetry.poller import News

WAIT_S = 0.1
LIST_S = 0.5
CLOCK_S = 5.0
PROBE_S = 1.5
"""So long a machine may take to say that it lives, after one of its workers fell silent."""
JOIN_S = 60.0
RETRY_S = 30.0


@dataclass
class _Actor:
    """A worker. ``units`` under way, with the checkpoints that they need."""

    node: Node
    settings: Any
    handle: Any = None
    stream: Any = None
    ready: bool = False
    units: dict[int, str] = field(default_factory=dict)


@dataclass
class _Call:
    answer: Answer
    deadline: float | None


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
    except SystemExit:
        pipe.send(Refused("Ray's head does not answer"))
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
    """Actors, machines and files of one cluster; what the coordinator asks for, done with Ray."""

    def __init__(self, pipe: Connection, settings: ClusterSettings, address: str) -> None:
        import ray

        self._ray = ray
        self._pipe = pipe
        self._settings = settings
        self._address = address
        self._turn = threading.RLock()
        self._nodes: dict[str, Node] = {}
        self._lost_at: dict[str, float] = {}
        self._workers: dict[int, _Actor] = {}
        self._streams: dict[Any, Callable[[Any, Exception | None], None]] = {}
        self._calls: dict[Any, _Call] = {}
        self._trees: dict[Path, Tree] = {}
        self._places: tuple[str, ...] = ()
        self._connected = False
        self._began = time.monotonic()
        self._listed: list[dict[str, Any]] = []
        self._free: dict[str, float] = {}
        self._answered_at = time.monotonic()
        self._home: str = ray.get_runtime_context().get_node_id()
        self._spreading = Spreading(settings.files, self._home, self)
        self._source: Any = None
        self._retried_at = 0.0
        self._device = "cuda" if settings.cpu_workers is None else "cpu"

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the coordinator or the head is gone."""
        for target in (self._list_nodes, self._obey):
            threading.Thread(target=target, daemon=True).start()
        while True:
            with self._turn:
                waiting = [*self._streams, *self._calls]
            if waiting:
                self._take_in(waiting)
            else:
                time.sleep(WAIT_S)
            with self._turn:
                self._look_round()

    def _take_in(self, waiting: list[Any]) -> None:
        wait = self._ray.wait
        ready, rest = wait(waiting, num_returns=1, timeout=WAIT_S, fetch_local=False)
        if ready and rest:
            ready += wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
        for one in ready:
            with self._turn:
                if one in self._calls:
                    self._end_call(one)
                elif one in self._streams:
                    self._take_next(one)

    def _take_next(self, stream: Any) -> None:
        take = self._streams[stream]
        try:
            value = self._ray.get(next(stream))
        except StopIteration:
            take(None, EOFError("it ended"))
        except Exception as error:  # whatever Ray says of an actor that is gone
            self._streams.pop(stream, None)
            take(None, error)
        else:
            take(value, None)

    def _end_call(self, ref: Any) -> None:
        call = self._calls.pop(ref)
        try:
            value = self._ray.get(ref)
        except Exception as error:  # the actor's own, or Ray's about the actor
            call.answer(None, error)
        else:
            call.answer(value, None)

    def _on_answer(self, ref: Any, answer: Answer, within_s: float | None = None) -> None:
        self._calls[ref] = _Call(answer, None if within_s is None else time.monotonic() + within_s)

    def _look_round(self) -> None:
        """Do what time demands."""
        now = time.monotonic()
        silence_s = self._settings.silence_s
        if now - self._answered_at > silence_s:
            text = f"Ray's head at {self._address} has not answered for {silence_s:.0f} s"
            self._send(Refused(text))
            os._exit(0)
        for ref in [
            r for r, c in self._calls.items() if c.deadline is not None and now > c.deadline
        ]:
            self._calls.pop(ref).answer(None, TimeoutError("no answer"))
        self._refresh()
        for node in list(self._nodes.values()):
            if node.heard_at and node.state != "left":
                silent_s = now - node.heard_at
                if silent_s > self._settings.silence_s:
                    self._lose(node, f"nothing was heard of it for {silent_s:.0f} s")
                elif now - node.clock_asked_at > CLOCK_S:
                    self._ask_clock(node)
        if now - self._retried_at > RETRY_S:
            self._retried_at = now
            for node in self._nodes.values():
                if node.state == "set aside":
                    self._spreading.look_again(node)
        self._tell_places()

    def _send(self, message: FromDriver) -> None:
        with self._turn:
            try:
                self._pipe.send(message)
            except OSError:  # the coordinator is gone, and the workers go with this process
                os._exit(0)

    # --- what the coordinator asks for --------------------------------------------------------

    def _obey(self) -> None:
        while True:
            try:
                command: ToDriver = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)
            with self._turn:
                if isinstance(command, Quit):
                    self._ray.shutdown()
                    os._exit(0)
                self._do(command)

    def _do(
        self, command: StartWorker | SendUnit | KillWorker | WatchWorker | ForgetWorker
    ) -> None:
        if isinstance(command, StartWorker):
            self._start(command.worker_id, command.place)
            return
        actor = self._workers.get(command.worker_id)
        if actor is None:
            return
        if isinstance(command, SendUnit):
            self._hand_over(command.worker_id, actor, command.unit)
        elif isinstance(command, KillWorker):
            self._end(command.worker_id)
        elif isinstance(command, WatchWorker):
            actor.node.agent.watch.remote(
                command.worker_id, command.name, command.pid, command.process
            )
        elif isinstance(command, ForgetWorker):
            actor.node.agent.forget.remote(command.worker_id)

    def _on_node(self, node_id: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node_id, soft=False)

    def _start(self, worker_id: int, place: str) -> None:
        host, _, device = place.rpartition("/")
        node = self._nodes.get(host)
        if node is None or not node.ready:
            self._send(Said(worker_id, WorkerLost(f"{host} is not there", blameless=True)))
            return
        settings = replace(self._settings.worker, device=device, host=host)
        actor = self._workers[worker_id] = _Actor(node, settings)
        trees: list[Tree] = []
        if settings.processor is not None:
            trees.append(self._tree("processor", settings.processor))
        self._spreading.need(
            node, trees, self._others(), lambda: self._create(worker_id, actor, trees)
        )

    def _create(self, worker_id: int, actor: _Actor, trees: Sequence[Tree]) -> None:
        if self._workers.get(worker_id) is not actor:
            return
        settings = actor.settings
        if trees:
            settings = replace(settings, processor=self._spreading.path(actor.node, trees[0]))
        gpus = 1 if self._gpus_of(actor.node.node_id) else 0
        # The coordinator replaces workers itself: it knows which batch to blame, and what a device
        # has been through. So Ray restarts none, and repeats no call.
        made = self._ray.remote(WorkerActor).options(
            num_gpus=gpus,
            num_cpus=1 - gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
            scheduling_strategy=self._on_node(actor.node.node_id),
        )
        actor.handle = made.remote(settings)
        actor.stream = actor.handle.listen.options(num_returns="streaming").remote()
        self._streams[actor.stream] = lambda message, error: self._hear(worker_id, message, error)

    def _tree(self, what: str, directory: Path, digest: str | None = None) -> Tree:
        """Return a directory as it was when it was first needed."""
        if directory not in self._trees:
            suite = self._settings.suites.get(directory)
            if suite is not None:
                self._trees[directory] = Tree("suite", what, directory, files_of(directory), suite)
            elif digest is not None:
                self._trees[directory] = Tree("files", what, directory, files_of(directory), digest)
            else:
                self._trees[directory] = files_tree(what, directory)
        return self._trees[directory]

    def _trees_of(self, unit: Unit) -> list[Tree]:
        checkpoint = unit.checkpoint
        batches = [unit.batch, *([unit.probe] if unit.probe else [])]
        trees = {b.suite_directory: self._tree("suite", b.suite_directory) for b in batches}
        if checkpoint.base is None:
            own = self._tree("checkpoint", checkpoint.directory, checkpoint.digest)
            return [own, *trees.values()]
        return [
            self._tree("checkpoint", checkpoint.directory),
            self._tree("base model", checkpoint.base),
            *trees.values(),
        ]

    def _hand_over(self, worker_id: int, actor: _Actor, unit: Unit) -> None:
        try:
            trees = self._trees_of(unit)
        except OSError as error:
            text = f"{error.filename or unit.checkpoint.directory}: {error.strerror or error}"
            self._send(Said(worker_id, UnitFailed(unit.unit_id, "batch", text)))
            return
        actor.units[unit.unit_id] = trees[0].digest

        def then() -> None:
            if self._workers.get(worker_id) is actor and actor.handle is not None:
                actor.handle.take.remote(self._as_seen_there(actor.node, unit, trees))
                used = [
                    d
                    for w in self._workers.values()
                    if w.node is actor.node
                    for d in w.units.values()
                ]
                self._spreading.clear(actor.node, frozenset(used))

        self._spreading.need(actor.node, trees, self._others(), then)

    def _as_seen_there(self, node: Node, unit: Unit, trees: Sequence[Tree]) -> Unit:
        where = {tree.directory: self._spreading.path(node, tree) for tree in trees}
        if all(path == directory for directory, path in where.items()):
            return unit
        base = unit.checkpoint.base
        checkpoint = replace(
            unit.checkpoint,
            directory=where[unit.checkpoint.directory],
            base=None if base is None else where[base],
        )
        batch = replace(unit.batch, suite_directory=where[unit.batch.suite_directory])
        probe = unit.probe
        if probe is not None:
            probe = replace(probe, suite_directory=where[probe.suite_directory])
        return replace(unit, checkpoint=checkpoint, batch=batch, probe=probe)

    def _end(self, worker_id: int) -> None:
        actor = self._workers.pop(worker_id)
        if actor.stream is not None:
            self._streams.pop(actor.stream, None)
        if actor.handle is not None:
            self._ray.kill(actor.handle)
        if actor.node.agent is not None and actor.node.state != "left":
            actor.node.agent.forget.remote(worker_id)

    # --- what workers say ---------------------------------------------------------------------

    def _hear(self, worker_id: int, message: FromWorker | None, error: Exception | None) -> None:
        actor = self._workers.get(worker_id)
        if actor is None:
            return
        if message is None:
            self._suspect(worker_id, actor, error)
            return
        if isinstance(message, WorkerReady):
            actor.ready = True
        elif isinstance(message, UnitDone | UnitFailed):
            actor.units.pop(message.unit_id, None)
        self._send(Said(worker_id, in_our_time(message, actor.node.offset_s)))
        if isinstance(message, WorkerLost):
            self._end(worker_id)

    def _suspect(self, worker_id: int, actor: _Actor, error: Exception | None) -> None:
        """Find out whether a worker is gone alone, or with its machine."""

        def answer(value: Any, silence: Exception | None) -> None:
            if self._workers.get(worker_id) is not actor:
                return
            if silence is not None:
                self._lose(actor.node, "it was cut off")
                return
            self._end(worker_id)
            self._send(Said(worker_id, WorkerLost(_cause(error))))

        self._on_answer(actor.node.agent.clock.remote(), answer, PROBE_S)

    # --- machines -----------------------------------------------------------------------------

    def _list_nodes(self) -> None:
        """Ask the head for its machines, again and again; it hangs when the head is gone."""
        from ray._private.state import available_resources_per_node

        while True:
            listed = self._ray.nodes()
            free = {n: r.get("GPU", 0.0) for n, r in available_resources_per_node().items()}
            self._listed, self._free = listed, free
            self._answered_at = time.monotonic()
            time.sleep(LIST_S)

    def _gpus_of(self, node_id: str) -> int:
        for one in self._listed:
            if one["NodeID"] == node_id:
                return int(one["Resources"].get("GPU", 0))
        return 0

    def _slots(self, node_id: str, ours: int) -> int:
        """Return how many workers a machine has room for beside what others use."""
        gpus, wanted = self._gpus_of(node_id), self._settings.cpu_workers
        free = min(gpus, ours + int(self._free.get(node_id, 0)))
        if wanted is None:
            return free
        return min(wanted, free) if gpus else wanted

    def _others(self) -> list[Node]:
        return [node for node in self._nodes.values() if node.ready]

    def _refresh(self) -> None:
        """Take note of machines that came or went."""
        if not self._listed:
            return
        alive = {one["NodeID"] for one in self._listed if one["Alive"]}
        for node in list(self._nodes.values()):
            if node.node_id not in alive:
                self._lose(node, "Ray has declared it dead")
        # Ray takes its time to notice; one that is back has its name from the one that is gone.
        now = time.monotonic()
        gone = {n for n, at in self._lost_at.items() if now - at < RETRY_S}
        there = [one for one in self._listed if one["NodeID"] in alive - gone]
        names, known = hosts_of(there), {node.node_id for node in self._nodes.values()}
        for one in there:
            node_id = one["NodeID"]
            name = names[node_id]
            if name in self._nodes:
                name = f"{name}-{node_id[:6]}"
            if node_id not in known and (slots := self._slots(node_id, 0)):
                self._join(Node(node_id, name, one["NodeManagerAddress"], slots))
        for node in self._nodes.values():
            own = [actor for actor in self._workers.values() if actor.node is node]
            if node.ready and all(actor.ready for actor in own):
                node.slots = self._slots(node.node_id, len(own))

    def _join(self, node: Node) -> None:
        self._nodes[node.host] = node

        def theirs() -> dict[str, str]:  # by value: the machine may have no ctv-tui at all
            import platform
            from importlib import metadata

            found = {"Python": platform.python_version()}
            for one in metadata.distributions():
                found.setdefault((one.metadata["Name"] or "").lower(), one.version)
            return found

        def answer(value: Any, error: Exception | None) -> None:
            if self._nodes.get(node.host) is not node:
                return
            if error is not None:
                self.set_aside(node, f"nothing can be started on it: {_cause(error)}")
                return
            found = differences(versions(), value)
            if found:
                text = f"it has {', '.join(found)}; install the same versions there"
                self.set_aside(node, text)
                return
            self._open(node)

        task = self._ray.remote(theirs).options(
            num_cpus=0, max_retries=0, scheduling_strategy=self._on_node(node.node_id)
        )
        self._on_answer(task.remote(), answer, JOIN_S)

    def _open(self, node: Node) -> None:
        """Let a machine speak."""
        made = self._ray.remote(NodeActor).options(
            num_cpus=0,
            max_restarts=0,
            max_concurrency=16,
            scheduling_strategy=self._on_node(node.node_id),
        )
        node.agent = made.remote(node.host)
        node.stream = node.agent.listen.options(num_returns="streaming").remote()

        def take(readings: Any, error: Exception | None) -> None:
            if self._nodes.get(node.host) is not node:
                return
            if error is not None:
                self._lose(node, "it was cut off")
                return
            first, node.heard_at = not node.heard_at, time.monotonic()
            self._send(readings_in_our_time(readings, node.offset_s))
            if first:
                self._ask_clock(node)
                self._send(node.row())
                text = f"{node.host} ({node.address}) has joined, {node.slots} workers"
                self._send(_told("info", text))

        self._streams[node.stream] = take

    def _ask_clock(self, node: Node) -> None:
        node.clock_asked_at = time.monotonic()
        asked_at = time.time()

        def answer(value: Any, error: Exception | None) -> None:
            if error is None and self._nodes.get(node.host) is node:
                node.note_clock(asked_at, value, time.time())
                self._send(node.row())

        self._on_answer(node.agent.clock.remote(), answer, self._settings.silence_s)

    def _lose(self, node: Node, reason: str) -> None:
        """Take a machine for gone, with everything on it."""
        if self._nodes.get(node.host) is not node:
            return
        del self._nodes[node.host]
        self._lost_at[node.node_id] = time.monotonic()
        told = node.state == "set aside" or node.heard_at > 0
        silent_s = time.monotonic() - node.heard_at if node.heard_at else None
        node.state, node.reason = "left", reason
        self._streams.pop(node.stream, None)
        self._tell_places()
        self._end_workers(node, f"{node.host} has left: {reason}")
        self._spreading.forget(node)
        if told:
            self._send(node.row(silent_s))
            self._send(_told("error", f"{node.host} ({node.address}) has left: {reason}"))

    def _end_workers(self, node: Node, reason: str) -> None:
        for worker_id in [n for n, actor in self._workers.items() if actor.node is node]:
            self._end(worker_id)
            self._send(Said(worker_id, WorkerLost(reason, blameless=True)))

    def _tell_places(self) -> None:
        places = tuple(
            place
            for node in sorted(self._nodes.values(), key=lambda node: node.host)
            if node.ready
            for place in node.places(self._device)
        )
        if places != self._places:
            self._places = places
            self._send(Places(places))
        if not self._connected:
            self._connect_or_refuse()

    def _connect_or_refuse(self) -> None:
        """Say whether the cluster is of use, once its machines have answered."""
        if not self._listed:
            return
        if self._places:
            self._connected = True
            self._send(Connected(self._address))
            return
        undecided = [n for n in self._nodes.values() if n.state == "joined"]
        if undecided and time.monotonic() - self._began < JOIN_S:
            return
        reasons = [f"{n.host}: {n.reason or 'it says nothing'}" for n in self._nodes.values()]
        if reasons:
            why = f"none of its {len(reasons)} machines can be used: {'; '.join(reasons[:3])}"
        else:
            alive = hosts_of(self._listed)
            gpus = sum(self._gpus_of(node_id) for node_id in alive)
            names = ", ".join(sorted(alive.values())[:8])
            why = f"no GPU on its {len(alive)} machines ({names})"
            way = "start Ray there with --num-gpus N, or use --devices cpu:4"
            if gpus:
                why = f"all of its {gpus} GPUs are taken by other Ray jobs ({names})"
                way = "wait, end those (`ray list actors`), or add machines"
            why = f"{why}; {way}"
        self._send(Refused(f"Ray at {self._address}: {why}"))
        os._exit(0)

    # --- calls for the spreading of files -----------------------------------------------------

    def look(self, node: Node, tree: Tree, patience_s: float, answer: Answer) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        self._on_answer(node.agent.look.remote(tree, patience_s), answer)

    def fetch(self, node: Node, tree: Tree, answer: Answer) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        if self._source is None:
            made = self._ray.remote(SourceActor).options(
                num_cpus=0, max_concurrency=8, scheduling_strategy=self._on_node(self._home)
            )
            self._source = made.remote()
        size = sum(tree.files.values())
        text = f"{node.host} gets a copy of the {tree.what} ({size / 1e6:,.1f} MB)"
        self._send(_told("info", text))
        self._on_answer(node.agent.fetch.remote(tree, self._source), answer)

    def drop(self, node: Node, digest: str) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        node.agent.drop.remote(digest)

    def set_aside(self, node: Node, reason: str) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        node.state, node.reason = "set aside", reason
        self._tell_places()
        self._end_workers(node, f"{node.host} is set aside: {reason}")
        self._send(node.row())
        self._send(_told("error", f"{node.host} ({node.address}) is not used: {reason}"))

    def take_back(self, node: Node) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        node.state, node.reason = "joined", None
        self._send(node.row())
        self._send(_told("info", f"{node.host} ({node.address}) is used again"))


def _told(level: EventLevel, text: str) -> News:
    return News(level, text, "cluster")


def _cause(error: Exception | None) -> str:
    """Return the one line of Ray's many that says what happened to an actor."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    telling = [line for line in lines if "exit" in line.lower() or "died" in line.lower()]
    return (telling or lines or [type(error).__name__])[-1][:300]
