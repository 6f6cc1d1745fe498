"""Workers and the readings of their devices over the last minute."""

from __future__ import annotations

import sqlite3
from collections import deque
from dataclasses import dataclass

from ctv_tui.data.hosts import hosts_of, read_nodes
from ctv_tui.data.scores import ROWS_PER_TICK
from ctv_tui.data.snapshot import Device, Host, Missing

HISTORY_S = 60.0
_SILENT_KEPT_S = 600.0
_GAP_S = 2.5
_BACKWARDS_S = 5.0

_SAMPLES = (
    "SELECT id, at, gpu_uuid, host, utilisation, memory_used, memory_total, power_w,"
    " temperature_c, sm_clock_mhz, throttle, status, reason, {later} FROM gpu_samples"
)
_LATER_COLUMNS = ("power_limit_w", "unsupported", "other_processes", "other_memory")
"""Columns that files of earlier versions lack."""

_FIELDS = {
    "utilisation": "utilisation",
    "memory": "memory_used",
    "power": "power_w",
    "temperature": "temperature_c",
    "clock": "sm_clock_mhz",
    "throttle": "throttle",
}
"""A field's name in ``reason`` and its column."""

_UNSUPPORTED = ("not supported", "unsupported", "function not found")


@dataclass(frozen=True, slots=True)
class WorkerName:
    """A worker as far as the dashboard needs it."""

    id: int
    host: str
    device: str
    gpu_uuid: str | None
    alive: bool


class Machine:
    """Devices by host and UUID, each with the readings of the minute before the newest one."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._cursor: int | None = None
        self._samples = ""
        self._names: dict[tuple[str, str], tuple[int | None, str]] = {}
        self._readings: dict[tuple[str, str], deque[sqlite3.Row]] = {}
        self.workers: dict[int, WorkerName] = {}
        self.devices: tuple[Device, ...] = ()
        self.hosts: tuple[Host, ...] = ()

    def read(self, connection: sqlite3.Connection) -> bool:
        """Fold in new rows; return whether more are left to read."""
        rows = connection.execute(
            "SELECT id, host, device, gpu_uuid, state IN ('starting', 'ready') FROM workers"
            " WHERE run_id = ? ORDER BY id",
            (self._run_id,),
        ).fetchall()
        workers = {row[0]: WorkerName(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows}
        samples = self._new_samples(connection)
        if any((row["host"], row["gpu_uuid"]) not in self._readings for row in samples):
            self._read_names(connection)
        if samples or workers != self.workers:
            self.workers = workers
            self._fold(samples)
        alive = (worker.host for worker in workers.values() if worker.alive)
        known = (device.host for device in self.devices)
        self.hosts = hosts_of(alive, known, read_nodes(connection, self._run_id))
        return len(samples) == ROWS_PER_TICK

    def _read_names(self, connection: sqlite3.Connection) -> None:
        """Read what the GPUs are called, where the file tells it."""
        if connection.execute("PRAGMA table_info(gpus)").fetchone():
            rows = connection.execute("SELECT host, gpu_uuid, number, name FROM gpus").fetchall()
            self._names = {(row[0], row[1]): (row[2], row[3]) for row in rows}

    def _new_samples(self, connection: sqlite3.Connection) -> list[sqlite3.Row]:
        if self._cursor is None:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(gpu_samples)")}
            later = (c if c in columns else f"NULL AS {c}" for c in _LATER_COLUMNS)
            self._samples = _SAMPLES.format(later=", ".join(later))
            newest = connection.execute(
                "SELECT at, id FROM gpu_samples ORDER BY id DESC LIMIT 1"
            ).fetchone() or (0.0, 0)
            self._cursor = newest[1]
            return connection.execute(
                f"{self._samples} WHERE at BETWEEN ? AND ? ORDER BY id LIMIT ?",
                (newest[0] - HISTORY_S, newest[0] + _BACKWARDS_S, ROWS_PER_TICK - 1),
            ).fetchall()
        rows = connection.execute(
            f"{self._samples} WHERE id > ? ORDER BY id LIMIT ?", (self._cursor, ROWS_PER_TICK)
        ).fetchall()
        if rows:
            self._cursor = rows[-1]["id"]
        return rows

    def _fold(self, samples: list[sqlite3.Row]) -> None:
        for row in samples:
            kept = self._readings.setdefault((row["host"], row["gpu_uuid"]), deque(maxlen=600))
            if kept and row["at"] < kept[-1]["at"] - _BACKWARDS_S:
                kept.clear()  # the clock was set back: what came before is not the last minute
            kept.append(row)
        newest = max((kept[-1]["at"] for kept in self._readings.values()), default=0.0)
        for key, kept in list(self._readings.items()):
            while len(kept) > 1 and kept[0]["at"] < newest - HISTORY_S:
                kept.popleft()
            silent = newest - kept[-1]["at"]
            if silent > (HISTORY_S if kept[-1]["status"] == "host" else _SILENT_KEPT_S):
                del self._readings[key]
        self.devices = tuple(sorted((self._device(*key) for key in self._readings), key=_order))

    def _device(self, host: str, gpu_uuid: str) -> Device:
        kept = self._readings[host, gpu_uuid]
        last = kept[-1]
        slow = next((r for r in reversed(kept) if r["other_processes"] is not None), last)
        number, model = self._names.get((host, gpu_uuid), (None, None))
        own = [w for w in self.workers.values() if w.gpu_uuid == gpu_uuid and w.host == host]
        names = {worker.device: None for worker in own if worker.alive}
        return Device(
            gpu_uuid=gpu_uuid,
            host=host,
            workers=tuple(names),
            at=last["at"],
            status=last["status"],
            reason=last["reason"],
            utilisation=last["utilisation"],
            memory_used=last["memory_used"],
            memory_total=last["memory_total"],
            power_w=last["power_w"],
            temperature_c=last["temperature_c"],
            sm_clock_mhz=last["sm_clock_mhz"],
            throttle=last["throttle"],
            history=_history(kept),
            worker_ids=tuple(worker.id for worker in own),
            power_limit_w=last["power_limit_w"],
            missing=missing_of(last),
            number=number,
            model=model,
            other_processes=slow["other_processes"],
            other_memory=slow["other_memory"],
        )


def _history(kept: deque[sqlite3.Row]) -> tuple[float | None, ...]:
    """Return the readings; a stretch without any is a gap for every second of it."""
    values: list[float | None] = []
    before = None
    for row in kept:
        if before is not None and row["at"] - before > _GAP_S:
            values += [None] * min(int(HISTORY_S), round(row["at"] - before) - 1)
        values.append(row["utilisation"])
        before = row["at"]
    return tuple(values)


def missing_of(row: sqlite3.Row) -> tuple[tuple[str, Missing], ...]:
    """Return why each column without a value has none.

    ``reason`` holds ``field: what NVML said`` for every field that could not be read, and
    ``unsupported`` names those that this device never has.
    """
    never = (row["unsupported"] or "").split()
    said: dict[str, str] = {}
    for part in (row["reason"] or "").split("; "):
        field, _, why = part.partition(": ")
        said[field] = why.lower()
    found: list[tuple[str, Missing]] = []
    for field, column in _FIELDS.items():
        if row[column] is not None:
            continue
        why = said.get(field, "")
        kind: Missing = "failed" if why else "unknown"
        if field in never or any(words in why for words in _UNSUPPORTED):
            kind = "unsupported"
        found.append((column, kind))
    return tuple(found)


def _order(device: Device) -> tuple[object, ...]:
    """Order used devices by their worker before unused ones, and ``cuda:2`` before ``cuda:10``."""
    name = device.workers[0] if device.workers else device.gpu_uuid
    stem = name.rstrip("0123456789")
    number = int(name[len(stem) :][:9] or 0)
    return not device.workers, device.host, stem, number, device.gpu_uuid
