"""A cluster of one head and three machines with four stand-ins for GPUs each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import AHEAD_S, TOKEN, FakeCluster, beginning_with, machines

CLOCK = f"import time\nnow = time.time\ntime.time = lambda: now() + {AHEAD_S}\n"


@pytest.fixture(scope="session", autouse=True)
def token() -> Iterator[None]:
    """Every engine of these tests has the cluster's token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    nodes = machines("node1", "node2", "node3")
    clock = beginning_with(CLOCK, tmp_path_factory.mktemp("ahead") / "site")
    nodes[2]["env_vars"] = {"PYTHONPATH": clock}
    running = FakeCluster(nodes)
    yield running
    running.end()
