"""The one telemetry thread of a host."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import psutil

from ctv_engine.store.rows import EventLevel, GpuRow, NodeRow, SampleRow, SampleStatus
from ctv_engine.telemetry.caller import Caller
from ctv_engine.telemetry.device import Device, empty
from ctv_engine.telemetry.nvml import UNKNOWN, Nvml, NvmlUnavailableError

INTERVAL_S = 1.0
SLOW_S = 10.0
"""Processes, memory errors and PCIe traffic: the last two calls alone block for 20 ms each."""
PATIENCE_S = 0.5
"""How long one device may hold up the others, once; after that it answers when it can."""
STALLED_S = 5.0
START_S = 30.0
"""Without the persistence daemon the driver wakes every GPU first."""
NAMING_S = 5.0
RECENT = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample, and whether processes, memory errors and traffic were read for it."""

    sample: SampleRow
    slow: bool


@dataclass(frozen=True, slots=True)
class News:
    """Something about a device that is worth an event."""

    level: EventLevel
    text: str
    kind: str = "telemetry"


class Telemetry(Protocol):
    """What the coordinator asks of whatever reads devices, here or on many machines."""

    unavailable: str | None
    """Why no GPU can be asked, or None."""
    absent: bool
    """Whether there is no driver at all, rather than one that does not answer."""

    @property
    def census(self) -> tuple[GpuRow, ...]:
        """What the GPUs are."""

    def drain(self) -> list[SampleRow]:
        """Return the samples since the last call."""

    def news(self) -> list[News]:
        """Return what happened to devices since the last call."""

    def nodes(self) -> list[NodeRow]:
        """Return the machines of a cluster about which something is new since the last call."""

    def watch_process(self, worker_id: int, name: str, pid: int) -> None:
        """Read a CPU worker's process from now on, under the device name ``name``."""

    def watch_gpu(self, worker_id: int, gpu_uuid: str, pid: int | None) -> None:
        """Note that a worker is on the GPU that calls itself ``gpu_uuid``."""

    def forget_process(self, worker_id: int) -> None:
        """Stop reading a worker's process."""

    def stop(self) -> None:
        """End it."""


class _Watched:
    """A device, the thread that asks it, and what it said last."""

    def __init__(self, gpu: GpuRow, slow_at: float) -> None:
        self.device = Device(gpu)
        self.caller: Caller[Reading] = Caller(f"nvml {gpu.gpu_uuid}")
        self.slow_at = slow_at
        self.late = False
        self.status: SampleStatus = "ok"
        self.recent: deque[Reading] = deque(maxlen=RECENT)


class Poller:
    """Reads every device once a second, one after the other.

    Each device is asked on a thread of its own, so that a call that hangs stalls nothing but its
    device. Workers on CPUs are shown by their process: CPU use in per cent of one core, resident
    memory. Where there is no driver, GPUs that workers report get a row that says so.
    """

    def __init__(self, host: str, interval_s: float = INTERVAL_S, slow_s: float = SLOW_S) -> None:
        self._host = host
        self._interval_s = interval_s
        self._slow_s = slow_s
        self._samples: queue.SimpleQueue[SampleRow] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._processes: dict[int, tuple[str, psutil.Process]] = {}
        self._own: dict[int, tuple[str, int | None]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._absent_at = 0.0
        self._watched: list[_Watched] = []
        self.unavailable: str | None = None
        self.absent = False
        """Whether there is no driver at all, rather than one that does not answer."""
        try:
            for gpu in self._start_library():
                self._watch(gpu)
        except NvmlUnavailableError as error:
            self.unavailable, self.absent = str(error), error.absent
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def _start_library(self) -> list[GpuRow]:
        """Return all GPUs; one that does not answer in time is there under its number."""
        starter: Caller[Nvml] = Caller("nvml start")
        starter.ask(lambda: Nvml())
        nvml = starter.answer(START_S)
        if nvml is None:
            text = f"the NVIDIA driver can't be asked (no answer within {START_S:.0f} s)"
            raise NvmlUnavailableError(text, absent=False)
        end = time.monotonic() + NAMING_S
        callers: list[Caller[list[GpuRow]]] = []
        for number in range(nvml.count):
            callers.append(Caller(f"nvml name {number}"))
            callers[-1].ask(partial(nvml.gpu, number, self._host))
        found: list[GpuRow] = []
        for number, caller in enumerate(callers):
            named = caller.answer(max(0.0, end - time.monotonic()))
            found += nvml.unknown(number, self._host) if named is None else named
        return found

    def _watch(self, gpu: GpuRow) -> None:
        with self._lock:
            self._watched.append(_Watched(gpu, slow_at=0.0))

    @property
    def gpus(self) -> int:
        """Number of NVIDIA devices that the driver lists, MIG instances not counted."""
        return sum(gpu.parent_uuid is None for gpu in self.census)

    @property
    def census(self) -> tuple[GpuRow, ...]:
        """What the GPUs and MIG instances of this machine are."""
        return tuple(watched.device.gpu for watched in self._watched)

    def recent(self, since: float = 0.0) -> dict[str, list[Reading]]:
        """Return the last readings of every device from ``since`` on, by UUID, oldest first."""
        with self._lock:
            return {
                watched.device.gpu.gpu_uuid: [
                    one for one in tuple(watched.recent) if one.sample.at >= since
                ]
                for watched in self._watched
            }

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def watch_process(self, worker_id: int, name: str, pid: int) -> None:
        """Read a CPU worker's process from now on, under the device name ``name``."""
        try:
            process = psutil.Process(pid)
            process.cpu_percent()
        except psutil.Error:
            return
        with self._lock:
            self._processes[worker_id] = (name, process)

    def watch_gpu(self, worker_id: int, gpu_uuid: str, pid: int | None) -> None:
        """Note that a worker is on the GPU that calls itself ``gpu_uuid``; read it if it is new."""
        with self._lock:
            self._own[worker_id] = (gpu_uuid, pid)
        known = {gpu.gpu_uuid for gpu in self.census}
        if self.unavailable is None and gpu_uuid not in known:
            self._watch(GpuRow(gpu_uuid, self._host, None, UNKNOWN))

    def forget_process(self, worker_id: int) -> None:
        """Stop reading a worker's process, and take it for a stranger where it still runs."""
        with self._lock:
            self._processes.pop(worker_id, None)
            self._own.pop(worker_id, None)

    def drain(self) -> list[SampleRow]:
        """Return the samples since the last call."""
        samples: list[SampleRow] = []
        while not self._samples.empty():
            samples.append(self._samples.get())
        return samples

    def news(self) -> list[News]:
        """Return what happened to devices since the last call."""
        news: list[News] = []
        while not self._news.empty():
            news.append(self._news.get())
        return news

    def nodes(self) -> list[NodeRow]:
        """Return nothing: this machine is no part of a cluster."""
        return []

    def stop(self) -> None:
        """End the thread; a query that hangs is left to end with the process."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._interval_s)

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval_s, time.monotonic())
            with self._lock:
                watched, processes = list(self._watched), list(self._processes.values())
            for place, one in enumerate(watched):
                self._read_gpu(one, place / len(watched))
            if self.unavailable is not None:
                self._tell_absent(self.unavailable)
            for name, process in processes:
                sample_or_none = self._read_process(name, process)
                if sample_or_none is not None:
                    self._samples.put(sample_or_none)

    def _read_gpu(self, one: _Watched, share: float) -> None:
        """Ask one device; ``share`` spreads the slow readings of many over their interval."""
        now = time.monotonic()
        if one.caller.waiting_s is None:
            slow = now >= one.slow_at
            if slow:
                first = not one.slow_at
                one.slow_at = now + self._slow_s * (1 + share if first else 1)
            one.caller.ask(partial(_read, one.device, slow, self._own_pids(one)))
        gpu = one.device.gpu
        try:
            reading = one.caller.answer(0.0 if one.late else PATIENCE_S)
        except Exception as error:  # nothing that a driver says may end the thread
            reading = Reading(empty(gpu, "error", repr(error), time.time()), False)
        waiting_s = one.caller.waiting_s
        one.late = waiting_s is not None
        if reading is None and waiting_s is not None and waiting_s >= STALLED_S:
            why = f"the driver has not answered for {waiting_s:.0f} s"
            reading = Reading(empty(gpu, "error", why, time.time()), False)
        if reading is not None:
            one.recent.append(reading)
            self._samples.put(reading.sample)
            self._note_change(one, reading.sample)

    def _own_pids(self, one: _Watched) -> frozenset[int]:
        with self._lock:
            mine = (pid for uuid, pid in self._own.values() if uuid == one.device.gpu.gpu_uuid)
            return frozenset(pid for pid in mine if pid is not None)

    def _note_change(self, one: _Watched, sample: SampleRow) -> None:
        if sample.status == one.status:
            return
        gpu = one.device.gpu
        number = "" if gpu.number is None else f"GPU {gpu.number}, "
        name = f"{number}{gpu.name} ({gpu.gpu_uuid})"
        if sample.status == "lost":
            self._news.put(News("error", f"{name} is lost: {sample.reason}"))
        elif sample.status == "error":
            self._news.put(News("warning", f"{name} can't be asked: {sample.reason}"))
        else:
            self._news.put(News("info", f"{name} answers again"))
        one.status = sample.status

    def _tell_absent(self, why: str) -> None:
        now = time.monotonic()
        if now < self._absent_at:
            return
        self._absent_at = now + self._slow_s
        with self._lock:
            uuids = {uuid for uuid, _ in self._own.values()}
        for uuid in sorted(uuids):
            gpu = GpuRow(uuid, self._host, None, UNKNOWN)
            self._samples.put(empty(gpu, "no driver", why, time.time()))

    def _read_process(self, name: str, process: psutil.Process) -> SampleRow | None:
        try:
            with process.oneshot():
                utilisation = process.cpu_percent()
                resident = process.memory_info().rss
        except psutil.Error:
            return None
        return SampleRow(
            at=time.time(),
            gpu_uuid=name,
            host=self._host,
            utilisation=utilisation,
            memory_used=resident,
            memory_total=psutil.virtual_memory().total,
            power_w=None,
            temperature_c=None,
            sm_clock_mhz=None,
            throttle=None,
            status="host",
            reason="a CPU worker: process values stand in for a GPU's",
        )


def _read(device: Device, slow: bool, own: frozenset[int]) -> Reading:
    return Reading(device.read(slow=slow, own=own), slow)
