"""A cluster of one head and three machines with four stand-ins for GPUs each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import TOKEN, FakeCluster, machines


@pytest.fixture(scope="session", autouse=True)
def token() -> Iterator[None]:
    """Every engine of these tests has the cluster's token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    running = FakeCluster(machines("node1", "node2", "node3"))
    yield running
    running.end()
