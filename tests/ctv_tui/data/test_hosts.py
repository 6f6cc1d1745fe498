"""Machines of a cluster: read, ordered, grouped, and how each of them did."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import recorded_hosts
import recorded_run

from ctv_tui.data import Snapshot, as_json, read_snapshot
from ctv_tui.data.hosts import by_host, grouped, under_heading, use_of
from ctv_tui.data.snapshot import Host
from ctv_tui.data.standing import straggler, waits


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Snapshot]:
    path = tmp_path_factory.mktemp("hosts") / "run.db"
    recorded_hosts.record(path)
    return path, read_snapshot(path)


def test_machines_are_read_with_what_the_cluster_says_of_them(
    cluster: tuple[Path, Snapshot],
) -> None:
    first, second, left, aside = cluster[1].hosts
    assert [h.name for h in cluster[1].hosts] == ["node-1", "node-2", "node-3", "node-10"]
    assert [h.workers for h in cluster[1].hosts] == [4, 4, 0, 0]
    assert (first.state, first.address, first.slots) == ("joined", "10.0.0.1", 4)
    assert (second.clock_offset_s, second.clock_error_s) == (0.0015, 0.0003)
    assert (left.state, left.reason, left.silent_s) == ("left", "its daemon is dead", 3.2)
    assert (aside.state, aside.reason) == ("set aside", recorded_hosts.REASON)
    told = as_json(cluster[1])["hosts"]
    assert [host["name"] for host in told] == [h.name for h in cluster[1].hosts]
    assert told[1]["clock_offset_s"] == 0.0015 and told[1]["left_at"] is None


def test_each_machine_has_its_use_and_idle_fraction(cluster: tuple[Path, Snapshot]) -> None:
    """Six batches of 1.0 and 1.1 s until 6.6 s; two of 1.2 s, and gone after 4 s."""
    path, snapshot = cluster
    found = grouped(snapshot.hosts, snapshot.devices, snapshot.timelines)
    idle = {one.host.name: one.idle for one in found}
    assert idle["node-1"] == pytest.approx(0.6 / 6.6)
    assert idle["node-2"] == pytest.approx(0.0)
    assert idle["node-3"] == pytest.approx(1.6 / 4.0)
    assert idle["node-10"] is None
    use = {one.host.name: one.use for one in found}
    assert use["node-1"] == pytest.approx((90 + 89 + 88 + 87) / 4)
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT host, idle_fraction FROM host_balance WHERE evaluation_id = 2"
    )
    assert dict(rows) == pytest.approx({k: v for k, v in idle.items() if v is not None})
    connection.close()


def test_processes_that_are_called_alike_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    recorded_hosts.record(path, gpu=False)
    snapshot = read_snapshot(path)
    assert len({d.gpu_uuid for d in snapshot.devices}) == 4
    assert len(snapshot.devices) == 8
    assert {d.host: d.memory_used for d in snapshot.devices} == {
        "node-1": 10**9,
        "node-2": 2 * 10**9,
    }
    assert all(len(d.worker_ids) == 1 for d in snapshot.devices)
    found = waits(snapshot.timelines)
    assert found["node-1", "cpu:0"] == pytest.approx(0.6 / 6.6)
    assert found["node-2", "cpu:0"] == pytest.approx(0.0)
    last = straggler(snapshot.timelines)
    assert last is not None and (last.host, last.device) == ("node-2", "cpu:0")


def test_one_machine_in_use_is_no_group(snapshot: Snapshot) -> None:
    assert [host.name for host in snapshot.hosts] == ["node-7"]
    assert grouped(snapshot.hosts, snapshot.devices, snapshot.timelines) == ()
    aside = Host("node-7", state="set aside", reason="why")
    (one,) = grouped([aside], snapshot.devices, snapshot.timelines)
    assert one.host is aside


def test_a_machine_that_only_lanes_name_is_there(snapshot: Snapshot) -> None:
    found = grouped([Host("node-8")], (), snapshot.timelines)
    assert [one.host.name for one in found] == ["node-7", "node-8"]


def test_of_a_machine_that_came_back_the_last_row_counts(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    recorded_hosts.record(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "INSERT INTO nodes (run_id, node_id, host, address, state, slots, joined_at)"
        " VALUES (1, 'again', 'node-3', '10.0.0.9', 'joined', 4, 5e9)"
    )
    connection.close()
    host = read_snapshot(path).hosts[2]
    assert (host.name, host.state, host.address) == ("node-3", "joined", "10.0.0.9")
    assert host.reason is None and host.clock_offset_s is None


def test_a_file_without_the_table_has_machines_of_its_workers(
    recorder: recorded_run.Recorder,
) -> None:
    with recorder.writer.transaction() as connection:
        connection.execute("DROP TABLE nodes")
    (host,) = read_snapshot(recorder.writer.path).hosts
    assert (host.name, host.workers, host.state) == ("node-7", 2, None)


def test_a_heading_stands_in_for_the_row_that_is_first_in_view(
    cluster: tuple[Path, Snapshot],
) -> None:
    snapshot = cluster[1]
    hosts = grouped(snapshot.hosts, snapshot.devices, snapshot.timelines)
    rows = by_host(hosts, snapshot.devices)
    assert len(rows) == 4 + 16
    seen = set()
    for first in range(len(rows)):
        shown = under_heading(rows, first)
        assert len(shown) == len(rows) - first
        heading, *rest = shown
        below = rest[: 4 - first % 5]
        assert all(row.host == heading.host.name for row in below)  # type: ignore[union-attr]
        seen |= {id(row) for row in shown[:3]}
    assert seen == {id(row) for row in rows}, "every row comes into view"
    assert under_heading(snapshot.devices, 3) == list(snapshot.devices[3:])


def test_use_of_devices_that_can_not_be_read_is_not_known() -> None:
    assert use_of([]) is None
