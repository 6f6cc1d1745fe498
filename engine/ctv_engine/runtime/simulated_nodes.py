"""Machines of a simulated cluster: how GPUs are spread over them, and what each machine did."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Lane = Sequence[tuple[float, float, int]]
"""What a GPU did: (began, ended, batch id)."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """A cluster of ``count`` machines, numbered from 1.

    Each reads the weights once in ``read_s`` seconds, and its GPUs begin when it is through.
    ``slow`` has, by machine, how many times as long reading and work take there. The machine
    ``lost`` is gone after that many seconds, which is noticed at once.
    """

    count: int = 1
    read_s: float = 0.0
    slow: Mapping[int, float] = field(default_factory=dict)
    lost: tuple[int, float] | None = None

    def of(self, gpus: int) -> tuple[range, ...]:
        """Return each machine's GPUs: equally many, or one more on the first ones.

        Raises:
            ValueError: there are fewer GPUs than machines, or a machine that does not exist is
                named.
        """
        if not 1 <= self.count <= gpus:
            raise ValueError(f"{gpus} GPUs can't be spread over {self.count} nodes")
        named = {*self.slow} | ({self.lost[0]} if self.lost else set())
        if unknown := sorted(node for node in named if not 1 <= node <= self.count):
            raise ValueError(f"there is no node {unknown[0]} among {self.count}")
        each, more = divmod(gpus, self.count)
        starts = [n * each + min(n, more) for n in range(self.count + 1)]
        return tuple(range(a, b) for a, b in itertools.pairwise(starts))

    def factor(self, node: int) -> float:
        """Return how many times as long everything takes on a machine."""
        return self.slow.get(node, 1.0)

    def ready_s(self, node: int) -> float:
        """Return when a machine has read the weights."""
        return self.read_s * self.factor(node)

    def gone_s(self, node: int) -> float:
        """Return when a machine is lost; infinite if it is not."""
        return self.lost[1] if self.lost and self.lost[0] == node else math.inf


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What one machine did. ``busy_s`` is the sum over its GPUs, reading the weights included.

    ``idle_fraction`` = 1 - busy / (GPUs times the time that it was there); None if it never was.
    """

    node: int
    gpus: int
    read_s: float
    busy_s: float
    there_s: float
    idle_fraction: float | None
    lost_at_s: float | None = None


def shares(nodes: Nodes, gpus: int, lanes: Sequence[Lane], end: float) -> tuple[NodeShare, ...]:
    """Return what each machine did until ``end``; what runs longer is cut there."""
    found = []
    for node, own in enumerate(nodes.of(gpus), start=1):
        there_s = min(end, nodes.gone_s(node))
        read_s = min(nodes.ready_s(node), there_s)
        spent = [min(b, end) - a for gpu in own for a, b, _ in lanes[gpu]]
        busy_s = math.fsum(spent) + len(own) * read_s
        whole = len(own) * there_s
        found.append(
            NodeShare(
                node=node,
                gpus=len(own),
                read_s=read_s,
                busy_s=busy_s,
                there_s=there_s,
                idle_fraction=max(0.0, 1 - busy_s / whole) if whole else None,
                lost_at_s=nodes.gone_s(node) if nodes.gone_s(node) < end else None,
            )
        )
    return tuple(found)
