"""Prints which GPUs Ray's workers find assigned to them, and which are visible, as JSON.

``ADDRESS``: of the cluster. The first two were told to leave CUDA_VISIBLE_DEVICES alone.
"""

from __future__ import annotations

import json
import os
import sys

import ray

from ctv_engine.cluster.actors import assigned_gpus

LEFT_ALONE = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}


class Asked:
    """A worker that is asked for its GPUs."""

    def gpus(self) -> tuple[str | None, str | None]:
        return assigned_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")


if __name__ == "__main__":
    ray.init(address=sys.argv[1], log_to_driver=False)
    home = ray.get_runtime_context().get_node_id()
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(home, soft=False)
    actor = ray.remote(num_gpus=1, num_cpus=0, scheduling_strategy=here)(Asked)
    workers = [
        *(actor.options(runtime_env={"env_vars": LEFT_ALONE}).remote() for _ in range(2)),
        *(actor.remote() for _ in range(2)),
    ]
    print(json.dumps(ray.get([worker.gpus.remote() for worker in workers])))
