"""NVML at the C ABI: devices whose every value differs, and every kind of missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_driver import Driver

from ctv_engine.store.rows import SampleRow

READ = """
import dataclasses, json, sys
from ctv_engine.telemetry.device import Device
from ctv_engine.telemetry.nvml import Nvml, NvmlUnavailableError
try:
    nvml = Nvml()
    gpus = [gpu for number in range(nvml.count) for gpu in nvml.gpu(number, "the-host")]
except NvmlUnavailableError as error:
    print(json.dumps([str(error), error.absent]))
else:
    own = frozenset(map(int, sys.argv[1:]))
    rows = [dataclasses.asdict(Device(gpu).read(slow=SLOW, own=own)) for gpu in gpus]
    print(json.dumps({"gpus": [dataclasses.asdict(gpu) for gpu in gpus], "rows": rows}))
"""

GIB = 2**30
FIRST: dict[str, Any] = {
    "gpu_uuid": "GPU-aaaa",
    "host": "the-host",
    "utilisation": 30,
    "memory_used": 5 * GIB,
    "memory_total": 80 * GIB,
    "power_w": 250.5,
    "power_limit_w": 400.25,
    "temperature_c": 61,
    "sm_clock_mhz": 1410,
    "throttle": "power, hot",
    "status": "ok",
    "reason": None,
    "unsupported": None,
    "processes": None,
    "other_processes": None,
    "other_memory": None,
    "ecc_corrected": None,
    "ecc_uncorrected": None,
    "pcie_rx_bytes_s": None,
    "pcie_tx_bytes_s": None,
}
SLOW = {
    "processes": 0,
    "other_processes": 0,
    "other_memory": 0,
    "ecc_corrected": 700,
    "ecc_uncorrected": 800,
    "pcie_rx_bytes_s": 5_000_000,
    "pcie_tx_bytes_s": 6_000_000,
}


def healthy(number: int, *, slow: bool = False) -> dict[str, Any]:
    """Return what GPU ``number`` says of itself; no two values of all GPUs are the same."""
    row = FIRST | (SLOW if slow else {})
    letter = "abcdefghijklmnop"[number]
    row |= {"gpu_uuid": f"GPU-{letter * 4}", "throttle": "" if number else FIRST["throttle"]}
    for name in ("utilisation", "power_w", "power_limit_w", "temperature_c", "sm_clock_mhz"):
        row[name] += number
    for name in ("memory_used", "memory_total"):
        row[name] += number * GIB
    if slow:
        for name in ("ecc_corrected", "ecc_uncorrected"):
            row[name] += number
        for name in ("pcie_rx_bytes_s", "pcie_tx_bytes_s"):
            row[name] += number * 1000
    return row


SECOND = healthy(1)
VALUES = (
    "utilisation",
    "memory_used",
    "memory_total",
    "power_w",
    "power_limit_w",
    "temperature_c",
    "sm_clock_mhz",
    "throttle",
)
FIELDS = {
    "utilisation": ["utilisation"],
    "memory": ["memory_used", "memory_total"],
    "power": ["power_w"],
    "power_limit": ["power_limit_w"],
    "temperature": ["temperature_c"],
    "clock": ["sm_clock_mhz"],
    "throttle": ["throttle"],
}
SLOW_FIELDS = {
    "processes": ["processes", "other_processes", "other_memory"],
    "ecc_corrected": ["ecc_corrected"],
    "ecc_uncorrected": ["ecc_uncorrected"],
    "pcie_rx": ["pcie_rx_bytes_s"],
    "pcie_tx": ["pcie_tx_bytes_s"],
}


def read(driver: Driver, *, slow: bool = False, library: str = "new", own: str = "") -> Any:
    """Return the rows that a process with this driver reads, or why there are none."""
    code = READ.replace("SLOW", str(slow)).replace("sys.argv[1:]", repr(own.split()))
    found = json.loads(driver.python(code, library))
    if isinstance(found, list):
        return found
    for row in found["rows"]:
        assert row.pop("at") > 1.6e9
        assert {"at", *row} == set(SampleRow.__dataclass_fields__)
    return found["rows"]


def test_the_librarys_structures_are_laid_out_as_ours(driver: Driver) -> None:
    code = """
import ctypes, pynvml
pynvml.nvmlInit()
sizes = (ctypes.c_uint * 4).in_dll(pynvml.nvmlLib, "fake_sizes")
ours = (pynvml.c_nvmlUtilization_t, pynvml.c_nvmlMemory_t, pynvml.c_nvmlMemory_v2_t,
        pynvml.c_nvmlProcessInfo_v3_t)
print([ctypes.sizeof(one) for one in ours] == list(sizes))
"""
    assert driver.python(code) == "True\n"


@pytest.mark.parametrize("count", [0, 1, 2, 8, 16])
def test_healthy_devices(driver: Driver, count: int) -> None:
    driver.set(f"gpus {count}")
    rows = read(driver, slow=True)
    assert rows == [healthy(number, slow=True) for number in range(count)]
    assert driver.inits == 1


def test_a_fast_reading_leaves_out_what_takes_long(driver: Driver) -> None:
    driver.set("fault * pcie_rx 999", "fault * processes 999", "fault * ecc_corrected 999")
    assert read(driver) == [FIRST, SECOND]


def test_a_lost_device_is_one_bad_row(driver: Driver) -> None:
    driver.set("fault 1 * 15")
    first, second = read(driver)
    assert first == FIRST
    assert second["gpu_uuid"] == "GPU-bbbb"
    assert second["status"] == "lost"
    assert "GPU is lost" in second["reason"]
    assert [second[name] for name in VALUES] == [None] * len(VALUES)


@pytest.mark.parametrize("field", [*FIELDS, *SLOW_FIELDS])
def test_a_device_that_is_lost_in_the_middle_of_a_reading(driver: Driver, field: str) -> None:
    """Half a reading of a device that is not there any more is none."""
    driver.set(f"fault 0 {field} 15")
    first, second = read(driver, slow=True)
    assert second == healthy(1, slow=True)
    assert (first["status"], first["reason"]) == ("lost", f"{field}: GPU is lost")
    assert [first[name] for name in VALUES] == [None] * len(VALUES)


@pytest.mark.parametrize(
    ("code", "status"), [(15, "lost"), (16, "lost"), (4, "error"), (11, "error"), (999, "error")]
)
def test_a_device_that_is_lost_before_it_can_be_asked(
    driver: Driver, code: int, status: str
) -> None:
    driver.set(f"fault 1 handle {code}")
    first, second = read(driver)
    assert first == FIRST
    assert (second["gpu_uuid"], second["status"]) == ("index-1", status)
    assert second["reason"]
    assert [second[name] for name in VALUES] == [None] * len(VALUES)


@pytest.mark.parametrize(("field", "columns"), [*FIELDS.items(), *SLOW_FIELDS.items()])
def test_a_field_that_is_not_supported_is_null_with_the_reason(
    driver: Driver, field: str, columns: list[str]
) -> None:
    driver.set(f"fault 0 {field} 3")
    first, second = read(driver, slow=True)
    assert second == healthy(1, slow=True)
    reason = first.pop("reason")
    assert reason.startswith(f"{field}: ") and "Not Supported" in reason
    wanted = healthy(0, slow=True) | dict.fromkeys(columns) | {"unsupported": field}
    del wanted["reason"]
    assert first == wanted


@pytest.mark.parametrize(
    ("code", "text"), [(10, "Timeout"), (4, "Insufficient Permissions"), (999, "Unknown Error")]
)
@pytest.mark.parametrize("field", ["power", "processes"])
def test_a_passing_error_is_not_taken_for_a_lack(
    driver: Driver, field: str, code: int, text: str
) -> None:
    driver.set(f"fault 0 {field} {code}")
    first, second = read(driver, slow=True)
    assert second == healthy(1, slow=True)
    columns = (FIELDS | SLOW_FIELDS)[field]
    assert first == healthy(0, slow=True) | dict.fromkeys(columns) | {"reason": f"{field}: {text}"}


def test_a_device_that_supports_nothing_is_still_there(driver: Driver) -> None:
    driver.set("fault 1 * 3")
    _, second = read(driver)
    assert (second["gpu_uuid"], second["status"]) == ("GPU-bbbb", "ok")
    assert [second[name] for name in VALUES] == [None] * len(VALUES)
    assert second["reason"].count("Not Supported") == len(FIELDS)
    assert second["unsupported"].split() == list(FIELDS)


def test_memory_that_is_the_hosts_is_not_a_size_of_zero(driver: Driver) -> None:
    driver.set("value 0 memory_total 0", "value 0 memory_used 0")
    first, second = read(driver)
    assert second == SECOND
    assert first == FIRST | {
        "memory_used": None,
        "memory_total": None,
        "unsupported": "memory",
        "reason": "memory: unified with the host's",
    }


def test_an_old_driver_counts_its_reserve_as_used_and_has_everything_else(driver: Driver) -> None:
    rows = read(driver, slow=True, library="old")
    reserve = 600 * 2**20
    assert rows == [
        healthy(number, slow=True) | {"memory_used": (5 + number) * GIB + reserve}
        for number in range(2)
    ]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (0x0, ""),
        (0x1, ""),
        (0x2, ""),
        (0x4, "power"),
        (0x8, "hardware"),
        (0x20, "hot"),
        (0x40, "hot"),
        (0x80, "power brake"),
        (0xFF, "power, hardware, hot, power brake"),
    ],
)
def test_what_holds_the_clocks_down(driver: Driver, mask: int, words: str) -> None:
    driver.set("gpus 1", f"value 0 throttle {mask}")
    assert read(driver) == [FIRST | {"throttle": words}]


@pytest.mark.parametrize(
    ("own", "others", "memory"),
    [
        ("", 3, 111 + 222 + 444),
        ("41", 2, 222 + 444),
        ("41 43", 1, 222),
        ("41 42 43", 0, 0),
        ("900001", 2, None),  # our ids are those of another name space: whose memory is whose?
        ("900001 900002 900003 900004", 0, None),
    ],
)
def test_processes_of_others(driver: Driver, own: str, others: int, memory: int | None) -> None:
    driver.set("gpus 1", "process 0 41 111", "process 0 42 222", "process 0 43 444")
    (row,) = read(driver, slow=True, own=own)
    assert row["processes"] == 3
    assert (row["other_processes"], row["other_memory"]) == (others, memory)


def test_a_process_whose_memory_the_driver_does_not_know(driver: Driver) -> None:
    driver.set("gpus 1", "process 0 41 111", "process 0 42 18446744073709551615")
    (row,) = read(driver, slow=True)
    assert (row["processes"], row["other_processes"], row["other_memory"]) == (2, 2, None)


def test_instances_of_a_divided_device_are_devices_of_their_own(driver: Driver) -> None:
    driver.set("gpus 2", "mig 0 2", "process 0.1 77 555")
    found = json.loads(driver.python(READ.replace("SLOW", "True")))
    uuids = ["GPU-aaaa", "MIG-aaaa-0", "MIG-aaaa-1", "GPU-bbbb"]
    assert [gpu["gpu_uuid"] for gpu in found["gpus"]] == uuids
    assert [gpu["parent_uuid"] for gpu in found["gpus"]] == [None, "GPU-aaaa", "GPU-aaaa", None]
    assert [gpu["mig"] for gpu in found["gpus"]] == [True, False, False, False]
    assert [gpu["number"] for gpu in found["gpus"]] == [0, 0, 0, 1]
    assert {gpu["driver"] for gpu in found["gpus"]} == {"570.12.34"}
    whole, first, second, other = found["rows"]
    assert (whole["utilisation"], whole["unsupported"]) == (None, "utilisation")
    assert (whole["power_w"], whole["status"]) == (250.5, "ok")
    for place, row in enumerate((first, second)):
        assert row["status"] == "ok"
        assert row["memory_used"] == (5 + 20 * (place + 1)) * GIB
        assert row["memory_total"] == (80 + 20 * (place + 1)) * GIB
        lacking = {*FIELDS, *SLOW_FIELDS} - {"memory", "processes"}
        assert set(row["unsupported"].split()) == lacking
    assert (first["processes"], second["processes"], second["other_memory"]) == (0, 1, 555)
    assert other["utilisation"] == 31


@pytest.mark.parametrize(
    ("code", "absent", "words"),
    [
        (9, True, "no NVIDIA driver (Driver Not Loaded)"),
        (18, False, "NVML/RM version mismatch.): it was updated while it was loaded; reboot"),
        (4, False, "can't be asked (Insufficient Permissions)"),
        (999, False, "can't be asked (Unknown Error)"),
    ],
)
def test_a_driver_that_cannot_be_asked(driver: Driver, code: int, absent: bool, words: str) -> None:
    driver.set(f"init {code}")
    reason, is_absent = read(driver)
    assert words in reason
    assert is_absent is absent


def test_no_driver_at_all(driver: Driver) -> None:
    reason, absent = read(driver, library="broken")
    assert reason.startswith("no NVIDIA driver (")
    assert "\n" not in reason
    assert absent
