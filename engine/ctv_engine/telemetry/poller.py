"""The one telemetry thread of a host."""

from __future__ import annotations

import queue
import threading
import time

import psutil

from ctv_engine.store.rows import SampleRow
from ctv_engine.telemetry.nvml import Nvml, NvmlUnavailableError

INTERVAL_S = 1.0


class Poller:
    """Reads every device once a second on a thread of its own.

    Workers on CPUs are shown by their process: CPU use in per cent of one core, resident memory.
    A query that hangs stalls this thread only; :meth:`drain` then returns nothing new.
    """

    def __init__(self, host: str, interval_s: float = INTERVAL_S) -> None:
        self._host = host
        self._interval_s = interval_s
        self._samples: queue.SimpleQueue[SampleRow] = queue.SimpleQueue()
        self._processes: dict[int, tuple[str, psutil.Process]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.unavailable: str | None = None
        try:
            self._nvml: Nvml | None = Nvml()
        except NvmlUnavailableError as error:
            self._nvml = None
            self.unavailable = str(error)
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    @property
    def gpus(self) -> int:
        """Number of NVIDIA devices that the driver lists."""
        return self._nvml.count if self._nvml else 0

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

    def forget_process(self, worker_id: int) -> None:
        """Stop reading a worker's process."""
        with self._lock:
            self._processes.pop(worker_id, None)

    def drain(self) -> list[SampleRow]:
        """Return the samples since the last call."""
        samples: list[SampleRow] = []
        while not self._samples.empty():
            samples.append(self._samples.get())
        return samples

    def stop(self) -> None:
        """End the thread; a query that hangs is left to end with the process."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._interval_s)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            if self._nvml is not None:
                for sample in self._nvml.read(self._host):
                    self._samples.put(sample)
            with self._lock:
                processes = list(self._processes.values())
            for name, process in processes:
                sample_or_none = self._read_process(name, process)
                if sample_or_none is not None:
                    self._samples.put(sample_or_none)

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
