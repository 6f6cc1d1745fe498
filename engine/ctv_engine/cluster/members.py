"""The machines of a cluster, as its driver knows them."""

from __future__ import annotations

import platform
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from ctv_engine.cluster.messages import Readings
from ctv_engine.runtime.messages import ClosedPart, FromWorker, TimedSpan, UnitDone
from ctv_engine.store.rows import NodeRow, NodeState

CLOCKS_KEPT = 12
COMPARED = ("ctv-tui", "torch", "transformers", "tokenizers", "safetensors", "pillow")


@dataclass
class Node:
    """A machine. ``slots``: workers that it has room for; ``agent`` speaks for it.

    ``asked`` is whether it has yet to say what is installed on it.
    """

    node_id: str
    host: str
    address: str
    slots: int
    agent: Any = None
    stream: Any = None
    state: NodeState = "joined"
    reason: str | None = None
    asked: bool = False
    heard_at: float = 0.0
    clock_asked_at: float = 0.0
    clocks: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=CLOCKS_KEPT))
    """Round trips in seconds with the offset that each gave."""

    @property
    def ready(self) -> bool:
        """Whether the machine speaks and is in use."""
        return self.state == "joined" and self.heard_at > 0

    @property
    def offset_s(self) -> float | None:
        """Its clock minus ours, by the shortest of the last round trips; None: not measured."""
        return min(self.clocks)[1] if self.clocks else None

    @property
    def named(self) -> str:
        """Its name and address, for people."""
        return f"{self.host} ({self.address})"

    def note_clock(self, asked_at: float, answer: float, heard_at: float) -> None:
        """Take in a reading of its clock, which happened somewhere between the two times."""
        self.clocks.append((heard_at - asked_at, answer - (asked_at + heard_at) / 2))

    def row(self, silent_s: float | None = None) -> NodeRow:
        """Return what the database knows of it."""
        error_s = min(self.clocks)[0] / 2 if self.clocks else None
        return NodeRow(
            self.node_id,
            self.host,
            self.address,
            self.state,
            self.slots,
            self.reason,
            self.offset_s,
            error_s,
            silent_s,
        )

    def places(self, device: str) -> list[str]:
        """Return where workers can be started on it."""
        return [f"{self.host}/{device}:{number}" for number in range(self.slots)]


def hosts_of(listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return a name for each living machine of Ray's list, by node id.

    The name that it was given, else its host name; equal ones are told apart by their ids.
    """
    names: dict[str, str] = {}
    for one in listed:
        if one["Alive"]:
            given, address = one["NodeName"], one["NodeManagerAddress"]
            name = given if given and given != address else one["NodeManagerHostname"]
            names[one["NodeID"]] = (name or address).replace("/", "-")
    counts = Counter(names.values())
    return {
        node_id: name if counts[name] == 1 else f"{name}-{node_id[:6]}"
        for node_id, name in names.items()
    }


def versions() -> dict[str, str]:
    """Return what must be the same on every machine, since it can move a score."""
    found = {"Python": platform.python_version()}
    for name in COMPARED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return what another machine has otherwise, in words; builds of one version are equal."""
    return [
        f"{name} {theirs.get(name, 'not installed')} instead of {version}"
        for name, version in ours.items()
        if _public(theirs.get(name, "")) != _public(version)
    ]


def _public(version: str) -> str:
    return version.partition("+")[0]


def in_our_time(message: FromWorker, offset_s: float | None) -> FromWorker:
    """Return a worker's message with its times on our clock."""
    if not offset_s or not isinstance(message, ClosedPart | UnitDone):
        return message
    spans = tuple(
        TimedSpan(span.kind, span.started_at - offset_s, span.ended_at - offset_s)
        for span in message.spans
    )
    return replace(message, spans=spans)


def readings_in_our_time(readings: Readings, offset_s: float | None) -> Readings:
    """Return a machine's readings with their times on our clock."""
    if not offset_s:
        return readings
    samples = tuple(replace(one, at=one.at - offset_s) for one in readings.samples)
    return replace(readings, at=readings.at - offset_s, samples=samples)
