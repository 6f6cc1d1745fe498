"""Machines that workers run on: what a cluster says of them, and how each did in an evaluation."""

from __future__ import annotations

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ctv_tui.data.balance import Part, parts_of
from ctv_tui.data.snapshot import Device, Host, Lane, Timeline

Row = TypeVar("Row", Device, Lane)

_COLUMNS = (
    "host, address, state, reason, slots, clock_offset_s, clock_error_s, joined_at, left_at,"
    " silent_s"
)


def read_nodes(connection: sqlite3.Connection, run_id: int) -> dict[str, Host]:
    """Return the machines of a run's cluster by name: of one that came back, the last row.

    Files of earlier versions have no such table.
    """
    if not connection.execute("PRAGMA table_info(nodes)").fetchone():
        return {}
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM nodes WHERE run_id = ? ORDER BY id", (run_id,)
    )
    return {row[0]: Host(row[0], 0, *row[1:]) for row in rows}


def hosts_of(
    workers: Iterable[str], devices: Iterable[str], nodes: dict[str, Host]
) -> tuple[Host, ...]:
    """Return the machines that workers, devices and ``nodes`` name, ``node-2`` before ``node-10``.

    ``workers`` names a machine once for every worker that is up on it.
    """
    counts = Counter(workers)
    known = {name: Host(name) for name in (*counts, *devices)} | nodes
    found = (replace(host, workers=counts[name]) for name, host in known.items())
    return tuple(sorted(found, key=lambda host: _natural(host.name)))


@dataclass(frozen=True, slots=True)
class HostUse:
    """A machine with the mean utilisation of its devices [%] and its idle fraction 0…1.

    Both are None where they are not known.
    """

    host: Host
    use: float | None = None
    idle: float | None = None


def grouped(
    hosts: Sequence[Host], devices: Sequence[Device], timelines: Sequence[Timeline]
) -> tuple[HostUse, ...]:
    """Return the machines that devices and lanes are to be grouped by.

    Nothing if there is one machine and it is in use: then there is nothing to tell apart.
    """
    known = {host.name: host for host in hosts}
    for lane in (lane for timeline in timelines for lane in timeline.lanes if lane.host):
        known.setdefault(lane.host, Host(lane.host))
    if len(known) < 2 and all(host.state in (None, "joined") for host in known.values()):
        return ()
    idle = idle_by_host(parts_of(timelines), timelines)
    return tuple(
        HostUse(known[name], use_of(d for d in devices if d.host == name), idle.get(name))
        for name in sorted(known, key=_natural)
    )


def by_host(hosts: Sequence[HostUse], rows: Sequence[Row]) -> list[HostUse | Row]:
    """Return the rows under their machines; without machines, the rows as they are."""
    if not hosts:
        return list(rows)
    found: list[HostUse | Row] = []
    for one in hosts:
        found.append(one)
        found.extend(row for row in rows if row.host == one.host.name)
    return found


def under_heading(rows: Sequence[HostUse | Row], first: int) -> list[HostUse | Row]:
    """Return ``rows`` from the ``first`` on; in its place stands its machine's line, if it has one.

    So it is always said whose rows are in view. The row that gives way is in view one row above.
    """
    heads = [row for row in rows[: first + 1] if isinstance(row, HostUse)]
    shown = list(rows[first:])
    if heads:
        shown[0] = heads[-1]
    return shown


def idle_by_host(parts: Sequence[Part], timelines: Iterable[Timeline]) -> dict[str, float | None]:
    """Return every machine's idle fraction, 0…1, in the last of ``parts`` that has ended."""
    machines = {lane.worker_id: lane.host for t in timelines for lane in t.lanes}
    for part in reversed(parts):
        if part.waits_s is None:
            continue
        found: dict[str, float | None] = {}
        for name in set(machines.values()):
            own = [worker for worker in part.busy_s if machines.get(worker) == name]
            waited = math.fsum(part.waits_s.get(worker, 0.0) for worker in own)
            worked = math.fsum(part.busy_s[worker] for worker in own)
            found[name] = waited / (worked + waited) if worked + waited > 0 else None
        return found
    return {}


def use_of(devices: Iterable[Device]) -> float | None:
    """Return the mean utilisation in per cent over devices that could be read, or None."""
    known = [device.utilisation for device in devices if device.utilisation is not None]
    return math.fsum(known) / len(known) if known else None


def _natural(name: str) -> tuple[object, ...]:
    """Order by the numbers in a name, not by their digits."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part[:18]), part) if n % 2 else (0, part) for n, part in enumerate(parts))
