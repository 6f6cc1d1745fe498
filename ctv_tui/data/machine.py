"""Workers and the readings of their devices over the last minute."""

from __future__ import annotations

import sqlite3
from collections import deque
from dataclasses import dataclass

from ctv_tui.data.scores import ROWS_PER_TICK
from ctv_tui.data.snapshot import Device

HISTORY_S = 60.0

_SAMPLES = (
    "SELECT id, at, gpu_uuid, host, utilisation, memory_used, memory_total, power_w,"
    " temperature_c, sm_clock_mhz, throttle, status, reason FROM gpu_samples"
)


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
        self._readings: dict[tuple[str, str], deque[sqlite3.Row]] = {}
        self.workers: dict[int, WorkerName] = {}
        self.devices: tuple[Device, ...] = ()

    def read(self, connection: sqlite3.Connection) -> bool:
        """Fold in new rows; return whether more are left to read."""
        rows = connection.execute(
            "SELECT id, host, device, gpu_uuid, state IN ('starting', 'ready') FROM workers"
            " WHERE run_id = ? ORDER BY id",
            (self._run_id,),
        ).fetchall()
        workers = {row[0]: WorkerName(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows}
        samples = self._new_samples(connection)
        if samples or workers != self.workers:
            self.workers = workers
            self._fold(samples)
        return len(samples) == ROWS_PER_TICK

    def _new_samples(self, connection: sqlite3.Connection) -> list[sqlite3.Row]:
        if self._cursor is None:
            newest = connection.execute("SELECT max(at), max(id) FROM gpu_samples").fetchone()
            self._cursor = newest[1] or 0
            return connection.execute(
                f"{_SAMPLES} WHERE at >= ? ORDER BY at LIMIT ?",
                ((newest[0] or 0.0) - HISTORY_S, ROWS_PER_TICK - 1),
            ).fetchall()
        rows = connection.execute(
            f"{_SAMPLES} WHERE id > ? ORDER BY id LIMIT ?", (self._cursor, ROWS_PER_TICK)
        ).fetchall()
        if rows:
            self._cursor = rows[-1]["id"]
        return rows

    def _fold(self, samples: list[sqlite3.Row]) -> None:
        for row in samples:
            key = (row["host"], row["gpu_uuid"])
            self._readings.setdefault(key, deque(maxlen=600)).append(row)
        newest = max((kept[-1]["at"] for kept in self._readings.values()), default=0.0)
        for key, kept in list(self._readings.items()):
            while kept and kept[0]["at"] < newest - HISTORY_S:
                kept.popleft()
            if not kept:
                del self._readings[key]
        self.devices = tuple(sorted((self._device(*key) for key in self._readings), key=_order))

    def _device(self, host: str, gpu_uuid: str) -> Device:
        kept = self._readings[host, gpu_uuid]
        last = kept[-1]
        names = {
            worker.device: None
            for worker in self.workers.values()
            if worker.gpu_uuid == gpu_uuid and worker.host == host and worker.alive
        }
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
            history=tuple(row["utilisation"] for row in kept),
        )


def _order(device: Device) -> tuple[object, ...]:
    """Order used devices by their worker before unused ones, and ``cuda:2`` before ``cuda:10``."""
    name = device.workers[0] if device.workers else device.gpu_uuid
    stem = name.rstrip("0123456789")
    number = int(name[len(stem) :][:9] or 0)
    return not device.workers, device.host, stem, number, device.gpu_uuid
