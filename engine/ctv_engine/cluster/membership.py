"""Machines that join a cluster, are used, set aside or lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ctv_engine.cluster.actors import NodeActor, SourceActor
from ctv_engine.cluster.calls import Answer, Calls, cause_of
from ctv_engine.cluster.members import (
    Node,
    differences,
    hosts_of,
    readings_in_our_time,
    versions,
)
from ctv_engine.cluster.messages import ClusterSettings, Connected, FromDriver, Places, Refused
from ctv_engine.cluster.spreading import Spreading
from ctv_engine.cluster.trees import Tree, is_there
from ctv_engine.store.rows import EventLevel
from ctv_engine.telemetry.poller import News

LIST_S = 0.5
CLOCK_S = 5.0
JOIN_S = 60.0
RETRY_S = 30.0


class Membership:
    """The machines of a cluster by their names; sees to files on them, see :class:`Spreading`."""

    def __init__(
        self,
        calls: Calls,
        settings: ClusterSettings,
        address: str,
        send: Callable[[FromDriver], None],
        workers: Callable[[Node], Sequence[bool]],
        end_workers: Callable[[Node, str], None],
    ) -> None:
        """Begin without a machine.

        Args:
            calls: the cluster.
            settings: what the driver was started with.
            address: the head's.
            send: tells the coordinator; of a refusal it does not return.
            workers: returns for each of our workers on a machine whether it is up.
            end_workers: ends all workers on a machine, for a reason.
        """
        self._calls = calls
        self._settings = settings
        self._address = address
        self._send = send
        self._workers = workers
        self._end_workers = end_workers
        self.spreading = Spreading(settings.files, calls.home, self)
        self._nodes: dict[str, Node] = {}
        self._lost_at: dict[str, float] = {}
        self._places: tuple[str, ...] = ()
        self._connected = False
        self._listed: list[dict[str, Any]] = []
        self._free: dict[str, dict[str, float]] = {}
        self._began = self._answered_at = time.monotonic()
        self._retried_at = 0.0
        self._source: Any = None
        self._device = "cuda" if settings.cpu_workers is None else "cpu"
        threading.Thread(target=self._list, name="members", daemon=True).start()

    def get(self, host: str) -> Node | None:
        """Return a machine that is in use."""
        node = self._nodes.get(host)
        return node if node is not None and node.ready else None

    def ready(self) -> list[Node]:
        """Return the machines that are in use."""
        return [node for node in self._nodes.values() if node.ready]

    def gpus(self, node_id: str) -> int:
        """Return how many GPUs Ray was told of on a machine, taken or not."""
        for one in self._listed:
            if one["NodeID"] == node_id:
                return int(one["Resources"].get("GPU", 0))
        return 0

    # --- what time demands --------------------------------------------------------------------

    def _list(self) -> None:
        """Ask the head for its machines, again and again; it hangs when the head is gone."""
        from ray._private.state import available_resources_per_node

        while True:
            listed = self._calls.ray.nodes()  # type: ignore[no-untyped-call,unused-ignore]
            self._listed, self._free = listed, available_resources_per_node()
            self._answered_at = time.monotonic()
            time.sleep(LIST_S)

    def look_round(self) -> None:
        """Notice who came, who went, and who is silent."""
        now, silence_s = time.monotonic(), self._settings.silence_s
        if now - self._answered_at > silence_s:
            text = f"Ray's head at {self._address} has not answered for {silence_s:.0f} s"
            self._send(Refused(text))
        if self._listed:
            self._take_leave()
            self._welcome()
        for node in self.ready():
            silent_s = now - node.heard_at
            if silent_s > silence_s:
                self.lose(node, f"nothing was heard of it for {silent_s:.0f} s")
                continue
            if now - node.clock_asked_at > CLOCK_S:
                self._ask_clock(node)
            workers = self._workers(node)
            if all(workers):
                node.slots = self._slots(node.node_id, len(workers))
        if now - self._retried_at > RETRY_S:
            self._retried_at = now
            for node in list(self._nodes.values()):
                if node.state != "set aside" or node.asked:
                    continue
                if node.agent is None:
                    self._ask_versions(node)
                else:
                    self.spreading.look_again(node)
        self._tell_places()
        if not self._connected and self._listed:
            self._connect_or_refuse()

    def _take_leave(self) -> None:
        alive = {one["NodeID"] for one in self._listed if one["Alive"]}
        for node in list(self._nodes.values()):
            if node.node_id not in alive:
                self.lose(node, "Ray has declared it dead")

    def _welcome(self) -> None:
        # Ray takes its time to notice; one that is back has its name from the one that is gone.
        now = time.monotonic()
        gone = {n for n, at in self._lost_at.items() if now - at < RETRY_S}
        there = [one for one in self._listed if one["NodeID"] not in gone]
        names, known = hosts_of(there), {node.node_id for node in self._nodes.values()}
        for one in there:
            node_id = one["NodeID"]
            if node_id not in names or node_id in known:
                continue
            name = names[node_id]
            if name in self._nodes:
                name = f"{name}-{node_id[:6]}"
            slots = self._slots(node_id, 0)
            if slots:
                self._join(Node(node_id, name, one["NodeManagerAddress"], slots))

    def _slots(self, node_id: str, ours: int) -> int:
        """Return how many workers a machine has room for beside what others use."""
        gpus, wanted = self.gpus(node_id), self._settings.cpu_workers
        kind = "GPU" if gpus or wanted is None else "CPU"
        free = ours + int(self._free.get(node_id, {}).get(kind, 0))
        return min(free, gpus if wanted is None else wanted)

    # --- joining ------------------------------------------------------------------------------

    def _join(self, node: Node) -> None:
        self._nodes[node.host] = node
        self._ask_versions(node)

    def _is_in(self, node: Node) -> bool:
        return self._nodes.get(node.host) is node

    def _ask_versions(self, node: Node) -> None:
        """Let a machine speak if it has what the engine's has."""

        def theirs() -> dict[str, str]:  # by value: the machine may have no ctv-tui at all
            import platform
            from importlib import metadata

            found = {"Python": platform.python_version()}
            for one in metadata.distributions():
                found.setdefault((one.metadata["Name"] or "").lower(), one.version)
            return found

        def answer(value: Any, error: Exception | None) -> None:
            if not self._is_in(node):
                return
            node.asked = False
            if error is not None:
                self.set_aside(node, f"nothing can be started on it: {cause_of(error)}")
            elif found := differences(versions(), value):
                text = f"it has {', '.join(found)}; install the same versions there"
                self.set_aside(node, text)
            else:
                self._open(node)

        node.asked = True
        task = self._calls.on(node.node_id, theirs, max_retries=0)
        self._calls.ask(task.remote(), answer, JOIN_S)

    def _open(self, node: Node) -> None:
        made = self._calls.on(node.node_id, NodeActor, max_restarts=0, max_concurrency=16)
        agent = node.agent = made.remote(node.host)

        def answer(_: Any, error: Exception | None) -> None:
            if not self._is_in(node) or node.agent is not agent:
                return
            if error is None:  # from now on an answer tells the time, not how long a start took
                self._ask_clock(node, lambda: self._listen(node))
            else:
                self._let_go(node)
                self.set_aside(node, f"nothing can be started on it: {cause_of(error)}")

        self._calls.ask(agent.clock.remote(), answer, JOIN_S)

    def _listen(self, node: Node) -> None:
        agent = node.agent

        def take(readings: Any, error: Exception | None) -> None:
            if not self._is_in(node):
                return
            if error is not None:
                self.lose(node, "it was cut off")
                return
            first, node.heard_at = not node.heard_at, time.monotonic()
            self._send(readings_in_our_time(readings, node.offset_s))
            if first:
                node.state, node.reason = "joined", None
                self._send(node.row())
                self._tell("info", f"{node.named} has joined, {node.slots} workers")

        node.stream = self._calls.follow(
            lambda: agent.listen.options(num_returns="streaming").remote(), take
        )

    def _ask_clock(self, node: Node, then: Callable[[], None] | None = None) -> None:
        node.clock_asked_at = time.monotonic()
        asked_at = time.time()

        def answer(value: Any, error: Exception | None) -> None:
            if not self._is_in(node):
                return
            if error is None:
                node.note_clock(asked_at, value, time.time())
            if then is not None:
                then()
            elif error is None:
                self._send(node.row())

        self._calls.ask(node.agent.clock.remote(), answer, self._settings.silence_s)

    # --- leaving ------------------------------------------------------------------------------

    def lose(self, node: Node, reason: str) -> None:
        """Take a machine for gone, with everything on it."""
        if not self._is_in(node):
            return
        del self._nodes[node.host]
        self._lost_at[node.node_id] = time.monotonic()
        told = node.state == "set aside" or node.heard_at > 0
        silent_s = time.monotonic() - node.heard_at if node.heard_at else None
        node.state, node.reason = "left", reason
        self._tell_places()
        self._end_workers(node, f"{node.host} has left: {reason}")
        self._let_go(node)
        self.spreading.forget(node)
        if told:
            self._send(node.row(silent_s))
            self._tell("error", f"{node.named} has left: {reason}")

    def _let_go(self, node: Node) -> None:
        """End a machine's agent: one that is only cut off would go on there beside the next."""
        self._calls.leave(node.stream)
        if node.agent is not None:
            self._calls.ray.kill(node.agent)
        node.agent = node.stream = None

    def set_aside(self, node: Node, reason: str) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        if (node.state, node.reason) == ("set aside", reason):
            return
        node.state, node.reason = "set aside", reason
        self._tell_places()
        self._end_workers(node, f"{node.host} is set aside: {reason}")
        self._send(node.row())
        self._tell("error", f"{node.named} is not used: {reason}")

    def take_back(self, node: Node) -> None:
        """See :class:`ctv_engine.cluster.spreading.Caller`."""
        node.state, node.reason = "joined", None
        self._send(node.row())
        self._tell("info", f"{node.named} is used again")

    # --- what the coordinator is told ---------------------------------------------------------

    def _tell(self, level: EventLevel, text: str) -> None:
        self._send(News(level, text, "cluster"))

    def _tell_places(self) -> None:
        """Say where workers can be started, if that is new; before their workers are lost."""
        places = tuple(
            place
            for node in sorted(self.ready(), key=lambda node: node.host)
            for place in node.places(self._device)
        )
        if places != self._places:
            self._places = places
            self._send(Places(places))

    def _connect_or_refuse(self) -> None:
        """Say whether the cluster is of use, once its machines have answered."""
        if self._places:
            self._connected = True
            self._send(Connected(self._address))
            return
        undecided = any(node.state == "joined" for node in self._nodes.values())
        if not undecided or time.monotonic() - self._began > JOIN_S:
            self._send(Refused(f"Ray at {self._address}: {self._why_useless()}"))

    def _why_useless(self) -> str:
        reasons = [f"{n.host}: {n.reason or 'it says nothing'}" for n in self._nodes.values()]
        if reasons:
            return f"none of its {len(reasons)} machines can be used: {'; '.join(reasons[:3])}"
        alive = hosts_of(self._listed)
        gpus = sum(self.gpus(node_id) for node_id in alive)
        names = ", ".join(sorted(alive.values())[:8])
        if self._device == "cpu" and not gpus:
            return (
                f"no CPU is free on its {len(alive)} machines ({names}); start Ray there with"
                " --num-cpus N, or end other Ray jobs (`ray list actors`)"
            )
        if gpus:
            return (
                f"all of its {gpus} GPUs are taken by other Ray jobs ({names}); wait, end those"
                " (`ray list actors`), or add machines"
            )
        return (
            f"no GPU on its {len(alive)} machines ({names}); start Ray there with --num-gpus N, or"
            " use --devices cpu:4"
        )

    # --- files, see Caller in spreading -------------------------------------------------------

    def look(self, node: Node, tree: Tree, patience_s: float, answer: Answer) -> None:
        """Ask a machine whether it sees a tree."""
        self._calls.ask(node.agent.look.remote(tree, patience_s), answer)

    def fetch(self, node: Node, tree: Tree, answer: Answer) -> None:
        """Let a machine copy a tree."""
        if self._source is None:
            made = self._calls.on(
                self._calls.home,
                SourceActor,
                max_concurrency=8,
                max_restarts=-1,
                max_task_retries=-1,
            )
            self._source = made.remote()
        size = sum(tree.files.values())
        self._tell("info", f"{node.host} gets a copy of the {tree.what} ({size / 1e6:,.1f} MB)")
        self._calls.ask(node.agent.fetch.remote(tree, self._source), answer)

    def drop(self, node: Node, digest: str, answer: Answer) -> None:
        """Let a machine remove a copy."""
        self._calls.ask(node.agent.drop.remote(digest), answer)

    def is_there(self, tree: Tree) -> bool:
        """See :func:`ctv_engine.cluster.trees.is_there`."""
        return is_there(tree)
