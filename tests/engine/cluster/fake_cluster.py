"""A Ray cluster on this machine, whose machines are groups of processes: obeys standard input.

``kill NAME`` ends a machine at once, as a loss of power would, ``add NAME`` starts it again,
``more JSON`` starts one with these arguments, ``fill``
takes nearly all of every machine's object store until ``empty``; each is answered by a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from ray.cluster_utils import Cluster

STORE_BYTES = 80 * 2**20


def fill(address: str) -> None:
    """Hold objects that take nine tenths of every store, until killed."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray.init(address=address, log_to_driver=False)

    @ray.remote(num_cpus=0)
    def large() -> bytes:
        return bytes(STORE_BYTES * 9 // 10)

    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes()]
    made = [large.options(scheduling_strategy=place).remote() for place in places]
    ray.wait(made, num_returns=len(made), fetch_local=False)
    print("full", flush=True)
    signal.pause()


def main() -> None:
    head, nodes = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    common = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "num_cpus": 0}
    cluster = Cluster(initialize_head=True, head_node_args={**common, **head})

    def add(arguments: dict[str, Any]) -> Any:
        return cluster.add_node(**{**common, **arguments})

    filling: subprocess.Popen[bytes] | None = None
    running = {one["node_name"]: add(one) for one in nodes}
    settings = {one["node_name"]: one for one in nodes}
    print(cluster.address, flush=True)
    for line in sys.stdin:
        word, _, name = line.strip().partition(" ")
        if word == "kill":
            cluster.remove_node(running.pop(name), allow_graceful=False)
        elif word == "add":
            running[name] = add(settings[name])
        elif word == "more":
            add(json.loads(name))
        elif word == "fill":
            command = [sys.executable, __file__, "fill", cluster.address]
            filling = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert filling.stdout is not None and filling.stdout.readline() == b"full\n"
        elif word == "empty" and filling is not None:
            filling.kill()
        print("done", flush=True)
    for node in [*running.values(), cluster.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(sys.argv[2])
    main()
