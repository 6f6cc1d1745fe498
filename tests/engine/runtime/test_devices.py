"""From a ``--devices`` text to devices."""

from __future__ import annotations

import pytest

from ctv_engine.runtime.devices import DeviceError, own_uuid, parse_devices


@pytest.mark.parametrize(
    ("spec", "gpus", "devices"),
    [
        ("auto", 0, ["cpu:0"]),
        ("auto", 2, ["cuda:0", "cuda:1"]),
        ("cpu", 0, ["cpu:0"]),
        ("cpu", 8, ["cpu:0"]),
        ("cpu:1", 0, ["cpu:0"]),
        ("cpu:4", 0, ["cpu:0", "cpu:1", "cpu:2", "cpu:3"]),
        ("cpu:12", 0, [f"cpu:{n}" for n in range(12)]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 2, ["cuda:1"]),
        ("cuda:0,1", 2, ["cuda:0", "cuda:1"]),
        ("cuda:3,1", 4, ["cuda:3", "cuda:1"]),
        (" CUDA:0 ", 1, ["cuda:0"]),
    ],
)
def test_devices(spec: str, gpus: int, devices: list[str]) -> None:
    assert parse_devices(spec, gpus) == tuple(devices)


@pytest.mark.parametrize(
    ("spec", "gpus", "words"),
    [
        ("cuda", 0, "no GPU is visible; use 'cpu'"),
        ("cuda:2", 2, "no GPU 2; 2 are visible"),
        ("cuda:0,5,7", 2, "no GPU 5"),
        ("cuda:0,0", 1, "a GPU is named twice"),
        ("cpu:0", 0, "use 'auto', 'cpu', 'cpu:4'"),
        ("cpu:-1", 0, "use 'auto'"),
        ("cuda:", 1, "use 'auto'"),
        ("cuda:0,", 1, "use 'auto'"),
        ("cuda:0-3", 4, "use 'auto'"),
        ("gpu", 1, "devices 'gpu'"),
        ("", 1, "devices ''"),
        ("mps", 0, "devices 'mps'"),
    ],
)
def test_refusals(spec: str, gpus: int, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        parse_devices(spec, gpus)


UUIDS = ("GPU-0aaa-1", "GPU-0abb-1", "MIG-5555-1")


@pytest.mark.parametrize(
    ("spec", "gpus", "free", "devices"),
    [
        ("auto", 3, [0, 2], ["cuda:0", "cuda:2"]),
        ("auto", 3, [], []),
        ("auto", 0, [], ["cpu:0"]),
        ("auto", None, None, ["cpu:0"]),
        ("cuda", 3, [0], ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 3, [0], ["cuda:1"]),
        ("cuda:7", None, None, ["cuda:7"]),
        ("GPU-0ab", 3, None, ["cuda:1"]),
        ("MIG-5555-1,GPU-0aaa-1", 3, None, ["cuda:2", "cuda:0"]),
    ],
)
def test_free_and_named_gpus(
    spec: str, gpus: int | None, free: list[int] | None, devices: list[str]
) -> None:
    assert parse_devices(spec, gpus, free=free, uuids=UUIDS) == tuple(devices)


@pytest.mark.parametrize(
    ("spec", "gpus", "words"),
    [
        ("cuda", None, "GPUs can't be counted; name them: 'cuda:0,1'"),
        ("GPU-0a", 3, "several visible GPUs begin with gpu-0a"),
        ("GPU-ffff", 3, "no visible GPU begins with gpu-ffff"),
        ("GPU-0aaa,GPU-0aaa-1", 3, "a GPU is named twice"),
        ("GPU-0aaa,0", 3, "use 'auto'"),
    ],
)
def test_refusals_of_named_gpus(spec: str, gpus: int | None, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        parse_devices(spec, gpus, uuids=UUIDS)


@pytest.mark.parametrize(
    ("visible", "name"),
    [
        (None, "GPU-5e1f"),
        ("GPU-5e1f", "GPU-5e1f"),
        ("MIG-90c4", "MIG-90c4"),  # CUDA may report the whole GPU's
    ],
)
def test_a_workers_gpu_has_the_drivers_name(visible: str | None, name: str) -> None:
    assert own_uuid("5e1f", visible) == name
