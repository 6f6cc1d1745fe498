"""A machine on which a directory is not mounted, really."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import ENVIRONMENT, FakeCluster, machines
from engine_run import ANSWERS, EngineRun

from ctv_engine.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]


def can_hide(place: Path) -> bool:
    """Whether this system lets a process mount something that no other sees."""
    command = [*UNSHARE, "mount", "-t", "tmpfs", "none", str(place)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def hidden(tmp_path: Path) -> Iterator[Any]:
    """A cluster with a machine ``blind`` that sees nothing in ``tmp_path/run``."""
    place = tmp_path / "run"
    place.mkdir()
    if not can_hide(place):
        pytest.skip("no mount of one's own here")
    cluster = FakeCluster(machines("seeing", gpus=1), {"node_name": "head", "num_gpus": 1})
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "0"]
    ray += ["--address", cluster.address, "--num-gpus", "1", "--node-name", "blind"]
    hide = f"mount -t tmpfs none '{place}' && exec \"$@\""
    blind = subprocess.Popen(
        [*UNSHARE, "sh", "-c", hide, "sh", *ray],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT | os.environ,
        start_new_session=True,
    )
    yield cluster, place
    os.killpg(blind.pid, signal.SIGKILL)
    blind.wait(60)
    cluster.end()


def test_it_is_set_aside_until_it_sees_what_others_see_or_gets_a_copy(
    hidden: Any, tmp_path: Path, suite: Any, checkpoints: list[Path]
) -> None:
    cluster, place = hidden

    def run(name: str, files: str) -> EngineRun:
        return EngineRun(
            Settings(
                db=str(tmp_path / f"{name}.db"),
                suite=str(suite.directory),
                checkpoint_dir=str(place),
                pool=f"ray:{cluster.address}",
                devices="cpu",
                files=files,  # type: ignore[arg-type]
                batch_size=4,
                quiet_s=0.2,
                poll_s=0.1,
            )
        )

    def all_up(one: EngineRun) -> None:
        """Wait until each machine will get a batch of the first checkpoint."""
        one.wait("SELECT count(*) = 3 FROM workers WHERE state = 'ready'")

    def scored(one: EngineRun) -> None:
        one.wait("SELECT count(*) = 2 FROM evaluations WHERE state = 'done'")
        one.process.terminate()
        assert one.finish() == 0

    shared = run("shared", "auto")
    all_up(shared)
    shutil.copytree(checkpoints[0], place / "checkpoint-10")
    shared.wait("SELECT count(*) FROM nodes WHERE host = 'blind' AND state = 'set aside'")
    (event,) = shared.query("SELECT message FROM events WHERE message LIKE 'blind %is not used%'")
    for words in ("can't read the checkpoint", str(place), "mount that directory", "--files ship"):
        assert words in event[0]
    scored(shared)
    (place / "checkpoint-10").rename(tmp_path / "checkpoint-10")
    copied = run("copied", "ship")
    all_up(copied)
    (tmp_path / "checkpoint-10").rename(place / "checkpoint-10")
    copied.wait("SELECT count(*) FROM events WHERE message LIKE 'blind gets a copy of the check%'")
    scored(copied)
    assert copied.query(ANSWERS) == shared.query(ANSWERS) != []
