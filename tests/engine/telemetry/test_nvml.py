"""NVML through a library of our own in the driver's place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMPILER = shutil.which("cc") or shutil.which("gcc")

# Two devices of which every value differs. Device 1 answers MODE to every question about itself:
# 0 (success), 3 (not supported) or 15 (the GPU is lost). Only FIELD of device 0 is not supported.
SOURCE = r"""
#include <stdlib.h>
#include <string.h>
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_t;
static int ids[2] = {0, 1};
static int number(void *device) { return *(int *)device; }
static int setting(const char *name) { const char *v = getenv(name); return v ? atoi(v) : 0; }
static int fault(void *device, const char *field) {
    const char *unsupported = getenv("FAKE_UNSUPPORTED");
    if (number(device) == 1 && setting("FAKE_MODE")) return setting("FAKE_MODE");
    return number(device) == 0 && unsupported && !strcmp(unsupported, field) ? 3 : 0;
}
int nvmlInitWithFlags(unsigned int flags) { return setting("FAKE_INIT"); }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (index == 1 && setting("FAKE_HANDLE")) return setting("FAKE_HANDLE");
    *device = &ids[index];
    return 0;
}
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length) {
    strcpy(uuid, number(device) ? "GPU-bbbb" : "GPU-aaaa");
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    rates->gpu = 30 + number(device); rates->memory = 99;
    return fault(device, "utilisation");
}
int nvmlDeviceGetMemoryInfo_v2(void *device, memory_t *memory) {
    if (memory->version != (sizeof(memory_t) | 2 << 24)) return 25;
    memory->total = 80ull << 30; memory->reserved = 1ull << 30;
    memory->used = (5ull + number(device)) << 30; memory->free = memory->total - memory->used;
    return fault(device, "memory");
}
int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) {
    *milliwatts = 250500 + 1000 * number(device);
    return fault(device, "power");
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned int *celsius) {
    *celsius = sensor == 0 ? 61 + number(device) : 0;
    return fault(device, "temperature");
}
int nvmlDeviceGetClockInfo(void *device, int kind, unsigned int *megahertz) {
    *megahertz = kind == 1 ? 1410 + number(device) : 0;
    return fault(device, "clock");
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *mask) {
    *mask = number(device) ? 0x1 : 0x4 | 0x20 | 0x40;
    return fault(device, "throttle");
}
const char *nvmlErrorString(int code) {
    switch (code) {
        case 3: return "Not Supported";
        case 9: return "Driver Not Loaded";
        case 15: return "GPU is lost";
        default: return "Unknown Error";
    }
}
"""

READ = """
import dataclasses, json
from ctv_engine.telemetry.nvml import Nvml, NvmlUnavailableError
try:
    rows = Nvml().read("the-host")
except NvmlUnavailableError as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps([dataclasses.asdict(row) for row in rows]))
"""

FIRST = {
    "gpu_uuid": "GPU-aaaa",
    "host": "the-host",
    "utilisation": 30,
    "memory_used": 5 * 2**30,
    "memory_total": 80 * 2**30,
    "power_w": 250.5,
    "temperature_c": 61,
    "sm_clock_mhz": 1410,
    "throttle": "power, hot",
    "status": "ok",
    "reason": None,
}
SECOND = FIRST | {
    "gpu_uuid": "GPU-bbbb",
    "utilisation": 31,
    "memory_used": 6 * 2**30,
    "power_w": 251.5,
    "temperature_c": 62,
    "sm_clock_mhz": 1411,
    "throttle": "",
}
VALUES = (
    "utilisation",
    "memory_used",
    "memory_total",
    "power_w",
    "temperature_c",
    "sm_clock_mhz",
    "throttle",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a ``libnvidia-ml.so.1``."""
    if COMPILER is None:
        pytest.skip("no C compiler to make a stand-in for the driver's library with")
    home = tmp_path_factory.mktemp("driver")
    (home / "nvml.c").write_text(SOURCE)
    library = home / "libnvidia-ml.so.1"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-o", str(library), str(home / "nvml.c")], check=True
    )
    return home


def read(driver: Path, **environment: str) -> Any:
    """Return the rows that a process with this driver reads, or why there are none."""
    found = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, "LD_LIBRARY_PATH": str(driver), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(found.stdout)
    if isinstance(rows, str):
        return rows
    assert all(row.pop("at") > 1.6e9 for row in rows)
    return rows


def test_two_devices(driver: Path) -> None:
    assert read(driver) == [FIRST, SECOND]


def test_a_lost_device_is_one_bad_row(driver: Path) -> None:
    first, second = read(driver, FAKE_MODE="15")
    assert first == FIRST
    assert second["gpu_uuid"] == "GPU-bbbb"
    assert second["status"] == "lost"
    assert "GPU is lost" in second["reason"]
    assert [second[name] for name in VALUES] == [None] * len(VALUES)


def test_a_device_that_is_lost_before_it_can_be_asked(driver: Path) -> None:
    first, second = read(driver, FAKE_HANDLE="15")
    assert first == FIRST
    assert second["status"] == "lost"
    assert "GPU is lost" in second["reason"]
    assert [second[name] for name in VALUES] == [None] * len(VALUES)


@pytest.mark.parametrize(
    ("field", "columns"),
    [
        ("utilisation", ["utilisation"]),
        ("memory", ["memory_used", "memory_total"]),
        ("power", ["power_w"]),
        ("temperature", ["temperature_c"]),
        ("clock", ["sm_clock_mhz"]),
        ("throttle", ["throttle"]),
    ],
)
def test_a_field_that_is_not_supported_is_null_with_the_reason(
    driver: Path, field: str, columns: list[str]
) -> None:
    first, second = read(driver, FAKE_UNSUPPORTED=field)
    assert second == SECOND
    reason = first.pop("reason")
    assert reason.startswith(f"{field}: ") and "Not Supported" in reason
    wanted = FIRST | dict.fromkeys(columns)
    del wanted["reason"]
    assert first == wanted


def test_a_device_that_supports_nothing_is_still_there(driver: Path) -> None:
    _, second = read(driver, FAKE_MODE="3")
    assert (second["gpu_uuid"], second["status"]) == ("GPU-bbbb", "ok")
    assert [second[name] for name in VALUES] == [None] * len(VALUES)
    assert second["reason"].count("Not Supported") == 6


def test_a_driver_that_is_not_loaded(driver: Path) -> None:
    reason = read(driver, FAKE_INIT="9")
    assert reason.startswith("no NVIDIA driver (") and "Driver Not Loaded" in reason


def test_no_driver_at_all(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    reason = read(tmp_path)
    assert reason.startswith("no NVIDIA driver (")
    assert "\n" not in reason
