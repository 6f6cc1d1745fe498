"""A Ray cluster on this machine, whose machines are groups of processes: obeys standard input.

``kill NAME`` ends a machine at once, as a loss of power would, ``add NAME`` starts one, ``head``
kills the head; each is answered by a line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ray.cluster_utils import Cluster


def main() -> None:
    head, nodes = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    common = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "num_cpus": 0}
    cluster = Cluster(initialize_head=True, head_node_args={**common, **head})

    def add(arguments: dict[str, Any]) -> Any:
        return cluster.add_node(**{**common, **arguments})

    running = {one["node_name"]: add(one) for one in nodes}
    settings = {one["node_name"]: one for one in nodes}
    print(cluster.address, flush=True)
    for line in sys.stdin:
        word, _, name = line.strip().partition(" ")
        if word == "kill":
            cluster.remove_node(running.pop(name), allow_graceful=False)
        elif word == "add":
            running[name] = add(settings[name])
        elif word == "head":
            cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        print("done", flush=True)
    for node in [*running.values(), cluster.head_node]:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    os._exit(0)


if __name__ == "__main__":
    main()
