"""What each look of the doctor makes of what it sees."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.store.rows import SCHEMA_VERSION
from ctv_engine.store.writer import Writer
from ctv_tui.doctor import Finding, gpus, probes, software, storage, terminal

# --- software -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "wanted", "good"),
    [
        ("2.6.0", ">=2.6", True),
        ("2.5.1+cu124", ">=2.6", False),
        ("2.13.0+cpu", ">=2.6", True),
        ("5.23.0", ">=5.23,<6", True),
        ("6.0.0", "<6,>=5.23", False),
        ("5.22.9", "<6,>=5.23", False),
        ("11.0", ">=11", True),
        ("3.10", ">=3.10", True),
        ("1", "", True),
        ("2.0.0rc1", ">=2", True),
    ],
)
def test_versions(version: str, wanted: str, good: bool) -> None:
    assert software.fits(version, wanted) is good


def installed(*missing: str, **other: str) -> Callable[[str], str | None]:
    return lambda name: (
        None if name in missing else other.get(name, "99.0" if name != "transformers" else "5.99")
    )


def levels(found: list[Finding]) -> dict[str, str]:
    return {one.check: one.level for one in found}


def test_packages_that_are_there() -> None:
    found = software.findings(installed())
    assert levels(found) == dict.fromkeys(("python", "engine", "torchvision", "peft"), "ok")


def test_packages_that_are_missing() -> None:
    found = software.findings(installed("rapidfuzz", "torchvision", "peft"))
    assert levels(found) == {"python": "ok", "engine": "fail", "torchvision": "warn", "peft": "ok"}
    assert "incomplete: no rapidfuzz" in found[1].text
    assert all(one.way_out for one in found[1:])


def test_no_engine_at_all_is_a_way_to_use_it() -> None:
    assert levels(software.findings(installed(*software.ENGINE))) == {
        "python": "ok",
        "engine": "warn",
    }


# --- driver and torch ---------------------------------------------------------------------------

NONE = {"unavailable": "no NVIDIA driver (not here)", "absent": True, "gpus": []}
TWO = {
    "unavailable": None,
    "absent": False,
    "gpus": [
        {"uuid": f"GPU-{n}", "name": "A100", "driver": "570.1", "parent": None} for n in range(2)
    ],
    "auto": ["cuda:0"],
    "notes": ["cuda:1: 1 process; left alone"],
    "bad": [],
}
CPU = {"version": "2.9", "cuda": None, "hip": None, "error": None, "devices": []}
CUDA = CPU | {"cuda": "12.8", "kernels": ["sm_80", "sm_90", "compute_90"]}
A100 = {"name": "A100", "capability": [8, 0]}


def look(nvml: Any, torch: Any = None, **environment: str) -> list[Finding]:
    answers = {"nvml": nvml, "torch": torch}
    return gpus.findings(lambda probe: answers[probe], environment, has_torch=torch is not None)


@pytest.mark.parametrize(
    ("nvml", "torch", "environment", "level", "words"),
    [
        (NONE, CPU, {}, "ok", "no GPU to use"),
        (NONE, CUDA, {}, "ok", "no GPU to use"),
        (TWO, CPU, {}, "fail", "built without CUDA"),
        (TWO, CUDA | {"devices": [A100, A100]}, {}, "ok", "2 × A100"),
        (TWO, CUDA | {"devices": [A100]}, {"CUDA_VISIBLE_DEVICES": "1"}, "ok", "(CUDA_VISIBLE_D"),
        (TWO, CUDA, {"CUDA_VISIBLE_DEVICES": ""}, "warn", "every GPU is hidden"),
        (TWO, CUDA, {"CUDA_VISIBLE_DEVICES": "-1"}, "warn", "every GPU is hidden"),
        (TWO, CUDA, {"CUDA_VISIBLE_DEVICES": "7"}, "fail", "it sees none"),
        (
            TWO,
            CUDA | {"error": "The NVIDIA driver on your system is too old (found version 11040)."},
            {},
            "fail",
            "too old",
        ),
        (
            TWO,
            CUDA | {"devices": [{"name": "B200", "capability": [7, 0]}]},
            {},
            "ok",
            "1 × B200",
        ),
    ],
)
def test_what_torch_makes_of_the_gpus(
    nvml: Any, torch: Any, environment: dict[str, str], level: str, words: str
) -> None:
    found = look(nvml, torch, **environment)
    cuda = next(one for one in found if one.check == "cuda")
    assert (cuda.level, words in cuda.text) == (level, True), cuda
    assert (cuda.way_out is not None) == (level != "ok")


def test_a_gpu_that_this_torch_has_no_code_for() -> None:
    found = look(TWO, CUDA | {"devices": [{"name": "V100", "capability": [7, 0]}] * 2})
    bad = [one for one in found if one.level == "fail"]
    assert [one.text for one in bad] == ["torch has no code for V100 (sm_70)"]


@pytest.mark.parametrize(
    ("kernels", "capability", "runs"),
    [
        (["sm_80"], (8, 0), True),
        (["sm_80"], (8, 6), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_80", "compute_80"], (9, 0), True),
        (["compute_90"], (8, 9), False),
        (["sm_90a"], (9, 0), True),
        (["sm_100", "sm_120"], (12, 0), True),
        (["sm_100", "sm_120"], (11, 0), False),
        (["gfx90a"], (9, 0), True),
    ],
)
def test_which_code_runs_where(kernels: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert gpus.runs_on(kernels, *capability) is runs


@pytest.mark.parametrize(
    ("nvml", "level", "words"),
    [
        (NONE, "warn", "workers run on the CPU"),
        (TWO, "ok", "570.1, NVML answers: 2 × A100"),
        (NONE | {"absent": False, "unavailable": "x (version mismatch)"}, "fail", "mismatch"),
        ({"fault": "no answer within 120 s"}, "fail", "no answer within 120 s"),
    ],
)
def test_the_driver(nvml: Any, level: str, words: str) -> None:
    (driver,) = look(nvml)
    assert (driver.check, driver.level) == ("driver", level)
    assert words in driver.text


def test_torch_that_cannot_be_imported() -> None:
    found = look(TWO, {"fault": "ImportError: libcudart.so.12: cannot open shared object file"})
    assert found[-1].level == "fail"
    assert "libcudart.so.12" in found[-1].text


def test_what_auto_would_take() -> None:
    assert look(TWO, CUDA | {"devices": [A100]})[-1] == Finding(
        "devices", "ok", "`--devices auto` takes cuda:0; cuda:1: 1 process; left alone"
    )
    refused = TWO | {"refused": "devices 'auto': none of the 2 GPUs is free (x)."}
    del refused["auto"]
    last = look(refused, CUDA | {"devices": [A100]})[-1]
    assert (last.level, last.text) == ("warn", "none of the 2 GPUs is free (x).")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 2023\n",
            "535.104.05",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n",
            "570.86.15",
        ),
        ("something else\n", None),
        (None, None),
    ],
)
def test_the_version_of_the_kernel_module(
    tmp_path: Path, text: str | None, version: str | None
) -> None:
    path = tmp_path / "version"
    if text is not None:
        path.write_text(text)
    assert gpus.kernel_module(path) == version


def test_a_probe_that_dies_or_hangs_is_a_fault() -> None:
    assert probes.run("neither") == {"fault": "KeyError: 'neither'"}  # type: ignore[arg-type]
    assert probes.run("nvml", timeout_s=0.001) == {"fault": "no answer within 0 s"}


# --- terminal -----------------------------------------------------------------------------------

GOOD = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


@pytest.mark.parametrize(
    ("environment", "size", "encoding", "wanted"),
    [
        (GOOD, (120, 40), "utf-8", {"terminal": "ok", "colours": "ok", "characters": "ok"}),
        (GOOD, (79, 24), "UTF-8", {"terminal": "warn", "colours": "ok", "characters": "ok"}),
        (GOOD, (59, 40), "UTF-8", {"terminal": "warn", "colours": "ok", "characters": "ok"}),
        (GOOD, (80, 24), "ascii", {"terminal": "ok", "colours": "ok", "characters": "warn"}),
        (
            {"TERM": "linux"},
            (80, 25),
            "utf-8",
            {"terminal": "ok", "colours": "warn", "characters": "ok"},
        ),
        (
            {"TERM": "tmux-256color"},
            (80, 25),
            "utf-8",
            {"terminal": "ok", "colours": "ok", "characters": "ok"},
        ),
        (
            {"TERM": "vt100", "NO_COLOR": "1"},
            (80, 25),
            "utf-8",
            {"terminal": "ok", "colours": "ok", "characters": "ok"},
        ),
        ({"TERM": "dumb"}, (80, 25), "utf-8", {"terminal": "warn"}),
        ({}, (80, 25), "utf-8", {"terminal": "warn"}),
    ],
)
def test_terminals(
    environment: dict[str, str], size: tuple[int, int], encoding: str, wanted: dict[str, str]
) -> None:
    found = terminal.findings(environment, size=size, encoding=encoding, interactive=True)
    assert levels(found) == wanted
    assert all(one.way_out for one in found if one.level != "ok")


# --- storage ------------------------------------------------------------------------------------

MOUNTS = r"""22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:50 / /home rw,relatime - nfs4 server:/home rw
31 27 0:51 / /home/me/fast rw - xfs /dev/vdb rw
32 27 0:52 / /with\040blank rw master:2 - cifs //server/share rw
33 27 0:53 / /data rw - ext4 /dev/vdc rw
34 33 0:54 / /data rw - lustre mds@tcp:/data rw
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/", "ext4"),
        ("/etc", "ext4"),
        ("/home", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/me/fast/run", "xfs"),
        ("/homeless", "ext4"),
        ("/with blank/x", "cifs"),
        ("/data/run", "lustre"),
    ],
)
def test_the_file_system_of_a_place(tmp_path: Path, place: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert storage.file_system(Path(place), mounts) == kind
    assert storage.file_system(Path(place), tmp_path / "none") is None


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", "ok"),
        ("xfs", "ok"),
        ("btrfs", "ok"),
        ("overlay", "ok"),
        ("fuseblk", "ok"),
        (None, "ok"),
        ("tmpfs", "warn"),
        *(
            (kind, "warn")
            for kind in ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p")
        ),
        ("fuse.sshfs", "warn"),
        ("fuse.juicefs", "warn"),
    ],
)
def test_file_systems(tmp_path: Path, kind: str | None, level: str) -> None:
    found = storage.findings(tmp_path / "run.db", lambda _: kind)
    one = next(one for one in found if one.check == "file system")
    assert one.level == level
    if level == "warn":
        assert one.way_out and "--db" in one.way_out
    if level == "warn" and kind != "tmpfs":
        assert "a piece of memory beside the file and locks" in one.text


@pytest.mark.parametrize(
    ("version", "options", "level"),
    [
        ("3.40.1", ["THREADSAFE=1"], "ok"),
        ("3.37.0", [], "ok"),
        ("3.36.0", ["THREADSAFE=1"], "fail"),
        ("3.45.0", ["THREADSAFE=0"], "fail"),
        ("3.45.0", ["OMIT_WAL", "THREADSAFE=1"], "fail"),
    ],
)
def test_sqlite(version: str, options: list[str], level: str) -> None:
    one = storage._sqlite(version, options)
    assert (one.level, one.way_out is None) == (level, level == "ok")


def of(found: list[Finding], check: str) -> Finding:
    return next(one for one in found if one.check == check)


def test_databases(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    assert "does not exist yet" in of(storage.findings(path), "database").text
    writer = Writer(path)
    checkpoints = tmp_path / "run"
    checkpoints.mkdir()
    writer.open_run(
        name="r",
        checkpoint_dir=str(checkpoints),
        suite_digest="s",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="h",
    )
    writer.close()
    found = storage.findings(path)
    assert of(found, "database").text.startswith(f"{path}: schema {SCHEMA_VERSION}, 0.")
    assert of(found, "pins").level == "ok"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    newer = of(storage.findings(path), "database")
    assert newer.level == "fail" and "newer ctv-tui" in newer.text
    path.write_text("no database " * 99)
    assert of(storage.findings(path), "database").level == "fail"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    found = storage.findings(tmp_path / "none" / "run.db")
    assert [one.check for one in found] == ["sqlite", "database"]
    assert found[-1].level == "fail"


def test_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_free(free: float) -> tuple[str, str]:
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
        found = storage.findings(tmp_path / "run.db")
        return of(found, "space").level, of(found, "cache").level

    assert with_free(100e9) == ("ok", "ok")
    assert with_free(15e9) == ("ok", "warn")
    assert with_free(5e9) == ("warn", "warn")
    assert with_free(0.5e9) == ("fail", "warn")
