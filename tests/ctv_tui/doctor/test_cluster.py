"""What the doctor says of the machines of a cluster; the cluster itself is a stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from ctv_engine.cluster import checking
from ctv_engine.cluster.checking import Machine
from ctv_engine.cluster.messages import ClusterError
from ctv_engine.store.rows import GpuRow, NodeRow
from ctv_tui.doctor import Finding, cluster


def node(host: str, **values: Any) -> NodeRow:
    return NodeRow(f"id-{host}", host, "10.0.0.1", values.pop("state", "joined"), 4, **values)


def test_a_line_for_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    gpus = [GpuRow(f"GPU-{n}", "a", n, "A100") for n in range(4)]

    def look_at(*values: Any) -> list[Machine]:
        asked.append(values)
        return [
            Machine(node("a", clock_offset_s=0.001, clock_error_s=0.001), gpus),
            Machine(node("b", clock_offset_s=-7.25, clock_error_s=0.001), []),
            Machine(node("c", state="set aside", reason="it has torch 2.0"), []),
        ]

    monkeypatch.setattr(checking, "look_at", look_at)
    found = cluster.findings("ray:head:6379", "cpu:4")
    assert asked == [("head:6379", 4)]
    assert [(one.level, one.text) for one in found] == [
        ("ok", "a (10.0.0.1): 4 workers, GPUs: A100"),
        (
            "warn",
            "b (10.0.0.1): 4 workers, GPUs: none that NVML lists; its clock is -7.2 s off",
        ),
        ("fail", "c (10.0.0.1): set aside: it has torch 2.0"),
    ]
    assert all(one.way_out for one in found[1:])


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_at(*_: Any) -> list[Machine]:
        raise ClusterError("no Ray cluster runs on this machine")

    monkeypatch.setattr(checking, "look_at", look_at)
    (found,) = cluster.findings("ray", "auto")
    assert found == Finding(
        "cluster", "fail", "no Ray cluster runs on this machine", "docs/cluster.md has recipes"
    )
    (found,) = cluster.findings("ray", "cuda:1")
    assert found.level == "fail" and "on a cluster use auto" in found.text


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    (found,) = cluster.findings("ray", "auto")
    assert (found.level, found.way_out) == ("fail", "pip install 'ctv-tui[engine,ray]'")
