"""From a ``--devices`` text to devices."""

from __future__ import annotations

import pytest

from ctv_engine.runtime.devices import DeviceError, parse_devices


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
