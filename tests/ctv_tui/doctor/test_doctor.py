"""`ctv-tui doctor` as a whole: real processes, with and without what it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_driver import IDLE, Driver

from ctv_engine.store.writer import Writer
from ctv_tui.doctor.software import ENGINE

WITHOUT_ENGINE = f"""
import importlib.metadata as metadata, sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {(*ENGINE, "PIL")!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
real = metadata.version
def version(name):
    if name in {ENGINE!r}:
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
"""


def doctor(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctv_tui", "doctor", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
        env={**os.environ, **env},
        check=False,
    )


@pytest.fixture
def light(tmp_path: Path, driver: Driver) -> dict[str, str]:
    """The environment of an installation without the engine's packages, on a fake driver."""
    home = tmp_path / "light"
    home.mkdir()
    (home / "sitecustomize.py").write_text(WITHOUT_ENGINE)
    path = os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")])
    return driver.environment(PYTHONPATH=path)


def by_check(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["check"], one)
    return found


def test_a_machine_without_torch_and_gpus(tmp_path: Path, light: dict[str, str]) -> None:
    env = light | {"LD_LIBRARY_PATH": ""}
    done = doctor("--json", "--db", str(tmp_path / "run.db"), **env)
    assert done.returncode == 0, done.stderr + done.stdout
    found = by_check(done)
    assert found["engine"]["level"] == "warn"
    assert "can't be scored" in found["engine"]["text"]
    assert found["engine"]["way_out"] == "pip install 'ctv-tui[engine]'"
    assert (found["driver"]["level"], "torch" in found) == ("warn", False)
    for check in ("python", "terminal", "sqlite", "directory", "database"):
        assert found[check]["level"] == "ok", found[check]
    assert list(tmp_path.glob(".ctv*")) == [], "it leaves nothing behind"


@pytest.mark.parametrize(
    ("lines", "words", "way_out"),
    [
        (["init 18"], "mismatch", "reboot, or unload and load"),
        (["init 4"], "Insufficient Permissions", "/dev/nvidia*"),
        (["init 999"], "Unknown Error", "in a container restart it"),
    ],
)
def test_a_driver_that_cannot_be_asked_fails(
    tmp_path: Path,
    light: dict[str, str],
    driver: Driver,
    lines: list[str],
    words: str,
    way_out: str,
) -> None:
    driver.set(*lines)
    done = doctor("--db", str(tmp_path / "run.db"), **light)
    assert done.returncode == 1, done.stdout + done.stderr
    (at,) = [
        n for n, line in enumerate(done.stdout.splitlines()) if line.startswith("fail  driver")
    ]
    line, following = done.stdout.splitlines()[at : at + 2]
    assert words in line
    assert following.strip().startswith("way out: ") and way_out in following


def test_gpus_of_which_one_is_lost(tmp_path: Path, light: dict[str, str], driver: Driver) -> None:
    driver.set("gpus 8", *IDLE, "fault 5 * 15", "fault 5 name 0")
    done = doctor("--json", "--db", str(tmp_path / "run.db"), **light)
    assert done.returncode == 1, done.stdout + done.stderr
    found = by_check(done)
    assert found["driver"]["level"] == "ok"
    assert found["driver"]["text"] == "570.12.34, NVML answers: 8 × Fake A100"
    assert found["gpu"]["level"] == "fail"
    assert found["gpu"]["text"].startswith("GPU-ffff: ")
    assert "Xid" in found["gpu"]["way_out"]


@pytest.mark.slow
def test_with_everything_installed(tmp_path: Path, driver: Driver) -> None:
    driver.set("gpus 3", *IDLE, "fault 2 * 15", "process 1 4242 1000")
    path = tmp_path / "run.db"
    Writer(path).close()
    done = doctor("--json", "--db", str(path), **driver.environment())
    found = by_check(done)
    assert found["engine"]["level"] == "ok"
    assert found["torch"]["level"] == "ok"
    assert found["gpu"]["text"].startswith("GPU-cccc: ") and found["gpu"]["level"] == "fail"
    assert found["devices"]["text"].startswith("`--devices auto` takes cuda:0; cuda:1: 1 process")
    assert "no engine is running" in found["database"]["text"]
    assert done.returncode == 1


def test_the_command_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom ctv_tui.cli import cli\n"
        "from ctv_tui.doctor import gpus, probes, software, storage, terminal\n"
        "software.findings(), terminal.findings()\n"
        "try: cli(['doctor', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'textual', 'pynvml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_name_with_control_characters_reaches_no_terminal(
    tmp_path: Path, light: dict[str, str]
) -> None:
    done = doctor("--db", str(tmp_path / "a\x1b[31mb" / "run.db"), **light)
    assert done.returncode == 1
    assert "no such directory" in done.stdout
    assert "\x1b" not in done.stdout and "\\x1b" in done.stdout
