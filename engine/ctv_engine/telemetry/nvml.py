"""NVIDIA devices through NVML: one init for the life of the process, one bad GPU is one bad row."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pynvml

from ctv_engine.store.rows import SampleRow

_THROTTLE_REASONS = (
    ("SwPowerCap", "power"),
    ("HwSlowdown", "hardware"),
    ("HwThermalSlowdown", "hot"),
    ("SwThermalSlowdown", "hot"),
    ("HwPowerBrakeSlowdown", "power brake"),
)


class NvmlUnavailableError(Exception):
    """There is no NVIDIA driver that can be asked; the text says what is missing."""


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


class Nvml:
    """NVML, initialised once and never shut down (repeated cycles are known to hang)."""

    def __init__(self) -> None:
        """Initialise the library.

        Raises:
            NvmlUnavailableError: no library, no driver, or a library that does not fit the driver.
        """
        try:
            pynvml.nvmlInit()
            self.count = int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            raise NvmlUnavailableError(f"no NVIDIA driver ({_reason(error)})") from error

    def read(self, host: str) -> list[SampleRow]:
        """Read every device once; a field that can't be read is None with the reason in the row."""
        return [self._read_device(index, host) for index in range(self.count)]

    def _read_device(self, index: int, host: str) -> SampleRow:
        at = time.time()
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
        except pynvml.NVMLError as error:
            lost = isinstance(error, pynvml.NVMLError_GpuIsLost)
            return _empty(at, f"index-{index}", host, "lost" if lost else "error", _reason(error))
        if isinstance(uuid, bytes):
            uuid = uuid.decode()
        faults: list[str] = []
        lost = False

        def field(name: str, query: Callable[[], Any]) -> Any:
            nonlocal lost
            try:
                return query()
            except pynvml.NVMLError_GpuIsLost as error:
                lost = True
                faults.append(f"{name}: {_reason(error)}")
            except pynvml.NVMLError as error:
                faults.append(f"{name}: {_reason(error)}")
            return None

        utilisation = field("utilisation", lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        memory = field("memory", lambda: _memory(handle))
        power = field("power", lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        temperature = field(
            "temperature",
            lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        )
        clock = field("clock", lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))
        throttle = field("throttle", lambda: _throttle(handle))
        if lost:
            return _empty(at, uuid, host, "lost", "; ".join(faults))
        used, total = memory if memory is not None else (None, None)
        return SampleRow(
            at=at,
            gpu_uuid=uuid,
            host=host,
            utilisation=utilisation,
            memory_used=used,
            memory_total=total,
            power_w=power,
            temperature_c=temperature,
            sm_clock_mhz=clock,
            throttle=throttle,
            status="ok",
            reason="; ".join(faults) or None,
        )


def _empty(at: float, uuid: str, host: str, status: Any, reason: str) -> SampleRow:
    return SampleRow(at, uuid, host, None, None, None, None, None, None, None, status, reason)


def _memory(handle: Any) -> tuple[int, int]:
    """Return used and total bytes; version 2 does not count the driver's reserve as used."""
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError_FunctionNotFound:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return int(memory.used), int(memory.total)


def _throttle(handle: Any) -> str:
    """Return why the clocks are held down, in a word or two; empty if they are not."""
    mask = int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    named = []
    for name, word in _THROTTLE_REASONS:
        bit = getattr(pynvml, f"nvmlClocksThrottleReason{name}", 0)
        if mask & bit and word not in named:
            named.append(word)
    return ", ".join(named)
