"""``CUDA_VISIBLE_DEVICES`` against what the driver lists."""

from __future__ import annotations

import pytest

from ctv_engine.store.rows import GpuRow
from ctv_engine.telemetry.visible import VisibleDevicesError, visible_gpus


def gpu(number: int, uuid: str, name: str = "A100", **more: object) -> GpuRow:
    return GpuRow(uuid, "h", number, name, **more)  # type: ignore[arg-type]


FOUR = (gpu(0, "GPU-0aaa-1"), gpu(1, "GPU-1bbb-1"), gpu(2, "GPU-2ccc-1"), gpu(3, "GPU-2ccd-1"))
DIVIDED = (
    gpu(0, "GPU-0aaa-1", mig=True),
    gpu(0, "MIG-5555-1", "A100 MIG", parent_uuid="GPU-0aaa-1"),
    gpu(0, "MIG-6666-1", "A100 MIG", parent_uuid="GPU-0aaa-1"),
    gpu(1, "GPU-1bbb-1"),
)
MIXED = (gpu(0, "GPU-0aaa-1", "T4"), gpu(1, "GPU-1bbb-1", "H100"))


@pytest.mark.parametrize(
    ("gpus", "text", "numbers"),
    [
        (FOUR, None, [0, 1, 2, 3]),
        (FOUR, "", []),
        (FOUR, "-1", []),
        (FOUR, "NoDevFiles", []),
        (FOUR, "0", [0]),
        (FOUR, "2,0", [2, 0]),
        (FOUR, " 3 , 1 ", [3, 1]),
        (FOUR, "1,9,2", [1]),
        (FOUR, "1,-1,2", [1]),
        (FOUR, "1,x,2", [1]),
        (FOUR, "GPU-1bbb-1", [1]),
        (FOUR, "GPU-1b", [1]),
        (FOUR, "gpu-1B,GPU-0", [1, 0]),
        (FOUR, "GPU-1b,2", [1, 2]),
        (FOUR, "GPU-1b,GPU-2cc,0", [1]),  # two begin so
        (FOUR, "GPU-2ccd", [3]),
        ((), None, []),
        (DIVIDED, None, [1, 2, 3]),
        (DIVIDED, "MIG-6666-1", [2]),
        (DIVIDED, "MIG-6,MIG-5", [2, 1]),
        (DIVIDED, "1", [3]),
        (MIXED, None, [0, 1]),
        (MIXED, "GPU-1bbb-1", [1]),
    ],
)
def test_what_may_be_used(gpus: tuple[GpuRow, ...], text: str | None, numbers: list[int]) -> None:
    environment = {} if text is None else {"CUDA_VISIBLE_DEVICES": text}
    assert visible_gpus(gpus, environment) == tuple(gpus[number] for number in numbers)


def test_the_number_of_a_divided_gpu_is_its_first_instance() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "0"}
    assert visible_gpus(DIVIDED, environment) == (DIVIDED[1],)


def test_numbers_of_different_gpus_need_an_order() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "1"}
    with pytest.raises(VisibleDevicesError, match="set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name"):
        visible_gpus(MIXED, environment)
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    assert visible_gpus(MIXED, environment) == (MIXED[1],)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("7", "names no GPU of this machine"),
        ("GPU-ffff", "names no GPU of this machine"),
        ("GPU-", "names no GPU of this machine"),
        ("MIG-5555-1", "names no GPU of this machine"),
        ("cuda:0", "names no GPU of this machine"),
        ("0,0", "names a GPU twice"),
        ("0,GPU-0a", "names a GPU twice"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(VisibleDevicesError, match=words):
        visible_gpus(FOUR, {"CUDA_VISIBLE_DEVICES": text})


def test_a_whole_gpu_that_is_divided_cannot_be_used() -> None:
    with pytest.raises(VisibleDevicesError, match="names no GPU"):
        visible_gpus(DIVIDED, {"CUDA_VISIBLE_DEVICES": "GPU-0aaa-1"})
