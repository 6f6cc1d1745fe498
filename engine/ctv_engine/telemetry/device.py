"""Reading one device: every field on its own, and what is missing with the kind of its absence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pynvml

from ctv_engine.store.rows import GpuRow, SampleRow, SampleStatus
from ctv_engine.telemetry.nvml import (
    GONE,
    NOT_OFFERED,
    Handle,
    first_offered,
    read_memory,
    reason,
)

_THROTTLE_REASONS = (
    (pynvml.nvmlClocksThrottleReasonSwPowerCap, "power"),
    (pynvml.nvmlClocksThrottleReasonHwSlowdown, "hardware"),
    (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, "hot"),
    (pynvml.nvmlClocksThrottleReasonSwThermalSlowdown, "hot"),
    (pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown, "power brake"),
)
UNIFIED = "unified with the host's"
_PCIE_BYTES = 1000
"""The library counts PCIe traffic in kB/s."""


class Device:
    """One GPU or MIG instance, found by its UUID and found again after it was lost."""

    def __init__(self, gpu: GpuRow) -> None:
        self.gpu = gpu
        self._handle: Handle | None = None

    def read(self, *, slow: bool = False, own: frozenset[int] = frozenset()) -> SampleRow:
        """Read the device once; ``slow`` reads processes, memory errors and PCIe traffic as well.

        ``own`` are the process ids of the engine's workers on this device.
        """
        at = time.time()
        try:
            handle = self._find()
        except pynvml.NVMLError as error:
            return empty(
                self.gpu, "lost" if isinstance(error, GONE) else "error", reason(error), at
            )
        reading = _Reading(self.gpu)
        values = _fast(handle, reading) | (_slow(handle, reading, own) if slow else {})
        if reading.lost:
            self._handle = None
            return empty(self.gpu, "lost", reading.faults, at)
        return replace(
            empty(self.gpu, "ok", reading.faults or None, at),
            unsupported=" ".join(reading.unsupported) or None,
            **values,
        )

    def _find(self) -> Handle:
        if self._handle is None:
            if self.gpu.gpu_uuid.startswith("index-"):
                handle = pynvml.nvmlDeviceGetHandleByIndex(self.gpu.number)
                self.gpu = replace(self.gpu, gpu_uuid=str(pynvml.nvmlDeviceGetUUID(handle)))
                self.gpu = replace(self.gpu, name=str(pynvml.nvmlDeviceGetName(handle)))
            else:
                handle = pynvml.nvmlDeviceGetHandleByUUID(self.gpu.gpu_uuid)
            self._handle = handle
        return self._handle


def empty(gpu: GpuRow, status: SampleStatus, why: str | None, at: float) -> SampleRow:
    """Return a row without a value."""
    return SampleRow(
        at, gpu.gpu_uuid, gpu.host, None, None, None, None, None, None, None, status, why
    )


class _Reading:
    """What went wrong in one reading of a device."""

    def __init__(self, gpu: GpuRow) -> None:
        self.lost = False
        self.unsupported: list[str] = []
        # What only a whole GPU has is an argument that the library refuses for a MIG instance.
        refused = (pynvml.NVMLError_InvalidArgument,) if gpu.parent_uuid else ()
        self._not_offered = (*NOT_OFFERED, *refused)
        self._faults: list[str] = []

    @property
    def faults(self) -> str:
        return "; ".join(self._faults)

    def field(self, name: str, query: Callable[[], Any]) -> Any:
        """Return a field's value, or None after noting why there is none."""
        if self.lost:
            return None
        try:
            return query()
        except pynvml.NVMLError as error:
            self._faults.append(f"{name}: {reason(error)}")
            if isinstance(error, self._not_offered):
                self.unsupported.append(name)
            self.lost = isinstance(error, GONE)
        return None

    def never(self, name: str, why: str) -> None:
        """Note that a field does not exist on this device."""
        self._faults.append(f"{name}: {why}")
        self.unsupported.append(name)


def _fast(handle: Handle, reading: _Reading) -> dict[str, Any]:
    field = reading.field
    values: dict[str, Any] = {
        "utilisation": field(
            "utilisation", lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
        )
    }
    memory = field("memory", lambda: read_memory(handle) or UNIFIED)
    if memory == UNIFIED:
        reading.never("memory", UNIFIED)
        memory = None
    values["memory_used"], values["memory_total"] = memory or (None, None)
    values["power_w"] = field("power", lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000)
    values["power_limit_w"] = field(
        "power_limit", lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    )
    values["temperature_c"] = field(
        "temperature", lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    )
    values["sm_clock_mhz"] = field(
        "clock", lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)
    )
    values["throttle"] = field("throttle", lambda: _throttle(handle))
    return values


def _throttle(handle: Handle) -> str:
    """Return why the clocks are held down, in a word or two; empty if they are not."""
    mask = int(
        first_offered(
            lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
            lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        )
    )
    return ", ".join(dict.fromkeys(word for bit, word in _THROTTLE_REASONS if mask & bit))


def _slow(handle: Handle, reading: _Reading, own: frozenset[int]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    running = reading.field("processes", lambda: _processes(handle))
    if running is not None:
        values["processes"] = len(running)
        values["other_processes"], values["other_memory"] = _others(running, own)
    for name, kind in (
        ("ecc_corrected", pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        ("ecc_uncorrected", pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    ):
        values[name] = reading.field(
            name,
            lambda kind=kind: pynvml.nvmlDeviceGetTotalEccErrors(  # type: ignore[misc]
                handle, kind, pynvml.NVML_VOLATILE_ECC
            ),
        )
    for name, way in (
        ("pcie_rx", pynvml.NVML_PCIE_UTIL_RX_BYTES),
        ("pcie_tx", pynvml.NVML_PCIE_UTIL_TX_BYTES),
    ):
        values[f"{name}_bytes_s"] = reading.field(
            name,
            lambda way=way: (  # type: ignore[misc]
                pynvml.nvmlDeviceGetPcieThroughput(handle, way) * _PCIE_BYTES
            ),
        )
    return values


def _processes(handle: Handle) -> dict[int, int | None]:
    """Return the compute processes with their bytes, as far as the driver tells them."""
    running = first_offered(
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle),
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle),
    )
    return {int(one.pid): one.usedGpuMemory for one in running}


def _others(running: dict[int, int | None], own: frozenset[int]) -> tuple[int | None, int | None]:
    """Return how many processes are not ours, and their bytes.

    The driver counts in its own name space of process ids. In a container ours are not among them:
    then the number is what is left of all, and whose the memory is can't be told.
    """
    if not own <= running.keys():
        return max(0, len(running) - len(own)), None
    sizes = [size for pid, size in running.items() if pid not in own]
    return len(sizes), None if None in sizes else sum(size or 0 for size in sizes)
