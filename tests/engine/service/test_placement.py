"""Where workers run: on a stand-in for the driver, GPUs at rest, in use, lost and hidden."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_driver import IDLE, Driver

from ctv_engine.service.placement import use
from ctv_engine.settings import Settings
from ctv_engine.store.rows import SampleRow
from ctv_engine.telemetry.poller import Reading

PLACE = """
import dataclasses, json, sys
from ctv_engine.runtime.devices import DeviceError
from ctv_engine.service import placement
from ctv_engine.telemetry import poller as module
module.STALLED_S = 0.5
module.NAMING_S = 1.0
poller = module.Poller("the-host", 0.05, 0.2)
poller.start()
try:
    found = placement.wait_for_place(SPEC, poller)
except DeviceError as error:
    print(json.dumps(str(error)))
else:
    notes = [[note.level, note.text] for note in found.notes]
    print(json.dumps([found.devices, dict(found.visible), notes]))
"""


def place(driver: Driver, spec: str, library: str = "new", **env: str) -> Any:
    return json.loads(driver.python(PLACE.replace("SPEC", repr(spec)), library, **env))


def devices(driver: Driver, spec: str, **env: str) -> dict[str, str]:
    """Return the devices with the UUIDs that their workers are tied to."""
    found = place(driver, spec, **env)
    assert isinstance(found, list), found
    names, visible, _ = found
    assert list(visible) == names
    return dict(visible)


A, B, C, D = "GPU-aaaa", "GPU-bbbb", "GPU-cccc", "GPU-dddd"


def test_auto_takes_every_gpu_at_rest_and_says_what_room_it_has(driver: Driver) -> None:
    driver.set("gpus 2", *IDLE)
    names, visible, notes = place(driver, "auto")
    assert names == ["cuda:0", "cuda:1"]
    assert visible == {"cuda:0": A, "cuda:1": B}
    total = [(80 + n) * 2**30 / 1e9 for n in range(2)]
    assert notes == [
        ["info", f"cuda:{n} is Fake A100 ({uuid}); {size - 0.314572800:.1f} of {size:.1f} GB free"]
        for n, (uuid, size) in enumerate(zip((A, B), total, strict=True))
    ]


@pytest.mark.parametrize(
    ("lines", "sign"),
    [
        (["process 1 4242 1000"], "1 process"),
        (["process 1 4242 1000", "process 1 4243 1000"], "2 processes"),
        # In a container the driver lists nobody else's processes.
        (["value 1 memory_used 61200000000"], "61.2 GB in use"),
        (["value 1 utilisation 97"], "97 % utilisation"),
        (
            ["process 1 7 9", "value 1 utilisation 97", "value 1 memory_used 61200000000"],
            "1 process, 61.2 GB in use, 97 % utilisation",
        ),
        (["fault 1 * 15"], "GPU is lost"),
        (["fault 1 handle 999"], "Unknown Error"),
        (["hang 1 power"], "the driver has not answered"),
    ],
)
def test_auto_leaves_a_gpu_alone_on_which_somebody_else_lives(
    driver: Driver, lines: list[str], sign: str
) -> None:
    driver.set("gpus 3", *IDLE, *lines)
    names, visible, notes = place(driver, "auto")
    assert visible == {"cuda:0": A, "cuda:2": C}
    assert names == list(visible)
    ((level, text),) = [note for note in notes if "left alone" in note[1]]
    assert level == "info"
    assert text.startswith("cuda:1: ") and sign in text


@pytest.mark.parametrize(
    "lines",
    [
        ["fault * utilisation 3"],
        ["fault * memory 3"],
        ["fault * processes 3"],
        ["value * memory_total 0"],
        ["fault * power 999"],
    ],
    ids=["no utilisation", "no memory", "no processes", "memory of the host", "a passing error"],
)
def test_what_a_gpu_cannot_tell_does_not_make_it_busy(driver: Driver, lines: list[str]) -> None:
    driver.set("gpus 1", *IDLE, *lines)
    assert devices(driver, "auto") == {"cuda:0": A}


def test_no_free_gpu_is_a_line_with_the_way_out(driver: Driver) -> None:
    driver.set("gpus 2", *IDLE, "process 0 1 2", "value 1 utilisation 50")
    assert place(driver, "auto") == (
        "devices 'auto': none of the 2 GPUs is free (cuda:0: 1 process; cuda:1: 50 % utilisation)."
        " Keep a GPU out of the training run, share one by naming it (`--devices cuda:0`), or use"
        " `--devices cpu`"
    )
    driver.set("gpus 1", *IDLE, "process 0 1 2")
    assert place(driver, "auto").startswith("devices 'auto': the only GPU is not free (cuda:0: ")


@pytest.mark.parametrize("spec", ["cuda", "cuda:0,1", "GPU-a,GPU-b"])
def test_a_gpu_that_is_named_is_shared_with_a_warning(driver: Driver, spec: str) -> None:
    driver.set("gpus 2", *IDLE, "process 1 4242 1000")
    names, visible, notes = place(driver, spec)
    assert visible == {"cuda:0": A, "cuda:1": B} and names == list(visible)
    assert [level for level, _ in notes] == ["info", "warning"]
    assert notes[1][1].endswith("GB free; shared: 1 process")


@pytest.mark.parametrize(
    ("text", "spec", "wanted"),
    [
        ("2,0", "auto", {"cuda:0": C, "cuda:1": A}),
        ("2,0", "cuda:0", {"cuda:0": C}),
        ("2,0", "GPU-a", {"cuda:1": A}),
        ("GPU-dd,GPU-bbbb", "cuda", {"cuda:0": D, "cuda:1": B}),
        ("3", "auto", {"cuda:0": D}),
    ],
)
def test_hidden_gpus_are_neither_used_nor_counted(
    driver: Driver, text: str, spec: str, wanted: dict[str, str]
) -> None:
    driver.set("gpus 4", *IDLE)
    assert devices(driver, spec, CUDA_VISIBLE_DEVICES=text) == wanted


@pytest.mark.parametrize(
    ("text", "spec", "wanted"),
    [
        (None, "auto", {"cuda:0": "MIG-aaaa-0", "cuda:1": "MIG-aaaa-1", "cuda:2": B}),
        ("MIG-aaaa-1", "auto", {"cuda:0": "MIG-aaaa-1"}),
        ("MIG-aaaa-1,MIG-aaaa-0", "cuda", {"cuda:0": "MIG-aaaa-1", "cuda:1": "MIG-aaaa-0"}),
        ("0", "auto", {"cuda:0": "MIG-aaaa-0"}),
        (None, "MIG-aaaa-1", {"cuda:1": "MIG-aaaa-1"}),
    ],
)
def test_every_worker_has_its_own_instance_of_a_divided_gpu(
    driver: Driver, text: str | None, spec: str, wanted: dict[str, str]
) -> None:
    driver.set("gpus 2", "mig 0 2", *IDLE)
    env = {} if text is None else {"CUDA_VISIBLE_DEVICES": text}
    assert devices(driver, spec, **env) == wanted


def test_an_instance_that_somebody_uses_is_left_alone(driver: Driver) -> None:
    driver.set("gpus 1", "mig 0 2", *IDLE, "process 0.0 4242 1000")
    assert devices(driver, "auto") == {"cuda:1": "MIG-aaaa-1"}


@pytest.mark.parametrize(
    ("lines", "library", "env", "spec", "wanted"),
    [
        (["gpus 0"], "new", {}, "auto", ["cpu:0"]),
        (["init 9"], "new", {}, "auto", ["cpu:0"]),
        ([], "broken", {}, "auto", ["cpu:0"]),
        ([], "broken", {}, "cpu:2", ["cpu:0", "cpu:1"]),
        (["gpus 2"], "new", {"CUDA_VISIBLE_DEVICES": ""}, "auto", ["cpu:0"]),
        (["gpus 2"], "new", {"CUDA_VISIBLE_DEVICES": "GPU-no"}, "cpu", ["cpu:0"]),
        (["init 18"], "new", {}, "cpu", ["cpu:0"]),
        (["init 18"], "new", {}, "cuda:0,3", ["cuda:0", "cuda:3"]),
    ],
)
def test_where_no_gpu_can_be_asked(
    driver: Driver,
    lines: list[str],
    library: str,
    env: dict[str, str],
    spec: str,
    wanted: list[str],
) -> None:
    driver.set(*lines)
    assert place(driver, spec, library, **env) == [wanted, {}, []]


@pytest.mark.parametrize(
    ("lines", "library", "env", "spec", "words"),
    [
        (["init 18"], "new", {}, "auto", "reboot this machine; name GPUs to use them all the same"),
        (["init 4"], "new", {}, "auto", "Insufficient Permissions"),
        (["init 999"], "new", {}, "cuda", "GPUs can't be counted"),
        ([], "broken", {}, "cuda", "no GPU is visible; use 'cpu'"),
        ([], "broken", {}, "cuda:0", "no GPU 0; 0 are visible"),
        (["gpus 2"], "new", {"CUDA_VISIBLE_DEVICES": "1"}, "cuda:1", "no GPU 1; 1 are visible"),
        (["gpus 2"], "new", {"CUDA_VISIBLE_DEVICES": "7"}, "auto", "names no GPU of this machine"),
        (["gpus 2"], "new", {"CUDA_VISIBLE_DEVICES": "1,1"}, "auto", "names a GPU twice"),
    ],
)
def test_refusals(
    driver: Driver,
    lines: list[str],
    library: str,
    env: dict[str, str],
    spec: str,
    words: str,
) -> None:
    driver.set(*lines)
    error = place(driver, spec, library, **env)
    assert isinstance(error, str)
    assert words in error


@pytest.mark.parametrize(
    ("utilisations", "sign"),
    [
        ([0, 0, 0], ""),
        ([3, 9, 1], ""),
        ([0, 90, 0], "30 % utilisation"),
        ([90, 0, 0], "30 % utilisation"),
        ([None, None, None], ""),
    ],
)
def test_a_gpu_between_two_steps_of_training_is_in_use(
    utilisations: list[int | None], sign: str
) -> None:
    """One reading at rest is not enough: the mean over the window counts."""
    rows = [
        SampleRow(1.0, A, "h", value, 0, 100, None, None, None, None, "ok", processes=0)
        for value in utilisations
    ]
    assert use([Reading(row, True) for row in rows]) == sign


def test_an_engine_without_a_free_gpu_ends_with_that_line(
    driver: Driver, tmp_path: Path, suite: Any, checkpoints: list[Path]
) -> None:
    driver.set("gpus 2", *IDLE, "process * 4242 1000")
    settings = Settings(
        db=str(tmp_path / "run.db"), suite=str(suite.directory), checkpoints=(str(checkpoints[0]),)
    )
    done = subprocess.run(
        [sys.executable, "-m", "ctv_engine", settings.to_json()],
        env=driver.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: devices 'auto': none of the 2 GPUs is free (cuda:0: 1")
    assert "Traceback" not in done.stderr
