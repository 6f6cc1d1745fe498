"""The driver's library: one init for the life of the process, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from ctv_engine.store.rows import GpuRow

T = TypeVar("T")

Handle = Any
"""A device as the library knows it; it can become useless when the device is lost."""

NOT_OFFERED = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound)
"""Neither this device nor this driver will ever answer that."""
GONE = (
    pynvml.NVMLError_GpuIsLost,
    pynvml.NVMLError_ResetRequired,
    pynvml.NVMLError_NotFound,
)
"""The device is not there any more; it may come back after a reset."""
UNKNOWN = "unknown GPU"
_ABSENT = (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded)


class NvmlUnavailableError(Exception):
    """There is no NVIDIA driver that can be asked; the text says what is missing.

    ``absent`` tells a machine without a driver from one whose driver is there but does not answer.
    """

    def __init__(self, text: str, *, absent: bool = True) -> None:
        super().__init__(text)
        self.absent = absent


def reason(error: BaseException) -> str:
    """Return an error's text."""
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
            if isinstance(error, _ABSENT):
                raise NvmlUnavailableError(f"no NVIDIA driver ({reason(error)})") from error
            text = f"the NVIDIA driver can't be asked ({reason(error)})"
            if isinstance(error, pynvml.NVMLError_LibRmVersionMismatch):
                text += ": it was updated while it was loaded; reboot this machine"
            raise NvmlUnavailableError(text, absent=False) from error
        self.driver = _or_none(pynvml.nvmlSystemGetDriverVersion)

    def gpu(self, number: int, host: str) -> list[GpuRow]:
        """Return one GPU, followed by its MIG instances; :meth:`unknown` if it can't be asked."""
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            whole = self._describe(handle, host, number)
        except pynvml.NVMLError:
            return self.unknown(number, host)
        return [whole, *self._instances(handle, whole)]

    def unknown(self, number: int, host: str) -> list[GpuRow]:
        """Return a GPU that is called by its number until it can be asked for its name."""
        return [GpuRow(f"index-{number}", host, number, UNKNOWN, self.driver)]

    def _describe(
        self, handle: Handle, host: str, number: int | None, parent: GpuRow | None = None
    ) -> GpuRow:
        mode = None if parent else _or_none(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0])
        memory = _or_none(lambda: read_memory(handle))
        return GpuRow(
            gpu_uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
            host=host,
            number=number,
            name=str(_or_none(lambda: pynvml.nvmlDeviceGetName(handle)) or UNKNOWN),
            driver=self.driver,
            memory_total=memory[1] if memory else None,
            parent_uuid=parent.gpu_uuid if parent else None,
            mig=mode == pynvml.NVML_DEVICE_MIG_ENABLE,
        )

    def _instances(self, handle: Handle, whole: GpuRow) -> list[GpuRow]:
        if not whole.mig:
            return []
        found: list[GpuRow] = []
        for place in range(_or_none(lambda: pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)) or 0):
            try:
                instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
                found.append(self._describe(instance, whole.host, whole.number, whole))
            except pynvml.NVMLError:  # places without an instance are NotFound
                continue
        return found


def _or_none(query: Callable[[], T]) -> T | None:
    try:
        return query()
    except pynvml.NVMLError:
        return None


def first_offered(*queries: Callable[[], T]) -> T:
    """Return what the first of several calls answers that this driver has at all.

    Raises:
        pynvml.NVMLError: that call failed, or the driver has none of them.
    """
    for query in queries[:-1]:
        try:
            return query()
        except pynvml.NVMLError_FunctionNotFound:
            continue
    return queries[-1]()


def read_memory(handle: Handle) -> tuple[int, int] | None:
    """Return used and total bytes, or None where the device uses the host's memory as its own.

    Version 2 does not count the driver's reserve as used; version 1 of older drivers does.
    """
    memory = first_offered(
        lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2),
        lambda: pynvml.nvmlDeviceGetMemoryInfo(handle),
    )
    return (int(memory.used), int(memory.total)) if memory.total else None
