"""A look at a whole cluster, without a worker on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.cluster.messages import ClusterSettings
from ctv_engine.cluster.ray_pool import RayPool
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.store.rows import GpuRow, NodeRow

SETTLED_S = 3.0
"""After so long without another machine all have spoken."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of a cluster and the GPUs that its driver lists."""

    node: NodeRow
    gpus: Sequence[GpuRow]


def look_at(address: str | None, cpu_workers: int | None) -> list[Machine]:
    """Return the machines of a cluster that have room for workers, or are set aside.

    Raises:
        ClusterError: it can't be used.
    """
    worker = WorkerSettings(device="", dtype="auto", processor=None)
    pool = RayPool(ClusterSettings(address, worker, cpu_workers, "auto", silence_s=10.0))
    try:
        nodes: dict[str, NodeRow] = {}
        end = time.monotonic() + SETTLED_S
        while time.monotonic() < end:
            for node in pool.nodes():
                if node.node_id not in nodes:
                    end = time.monotonic() + SETTLED_S
                nodes[node.node_id] = node
            time.sleep(POLL_S)
        census = pool.census
    finally:
        pool.stop()
    return [
        Machine(node, [gpu for gpu in census if gpu.host == node.host])
        for node in sorted(nodes.values(), key=lambda node: node.host)
    ]
