"""One engine per database, whatever becomes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctv_engine.store.lock import EngineLock, EngineRunningError, lock_path, running_engine

DEADLINE_S = 20.0
HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from ctv_engine.store.lock import EngineLock\n"
    "lock = EngineLock(Path(sys.argv[1]), 'far-host')\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def holder(database: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_nobody_holds_what_was_never_held(database: Path) -> None:
    assert running_engine(database) is None
    assert not lock_path(database).exists()


def test_the_holder_is_known(database: Path) -> None:
    before = time.time()
    process = holder(database)
    try:
        found = running_engine(database)
        assert found is not None
        assert (found.pid, found.host) == (process.pid, "far-host")
        assert before <= found.started_at <= time.time()
    finally:
        process.communicate("", timeout=DEADLINE_S)
    assert running_engine(database) is None


def test_a_second_engine_is_refused_with_the_firsts_pid(database: Path) -> None:
    process = holder(database)
    try:
        with pytest.raises(EngineRunningError) as caught:
            EngineLock(database, "here")
        assert caught.value.holder is not None and caught.value.holder.pid == process.pid
        for words in (
            str(database),
            f"pid {process.pid} on far-host",
            f"ctv-tui stop --db {database}",
            "another --db",
        ):
            assert words in str(caught.value)
        still = running_engine(database)
        assert still is not None and still.pid == process.pid
    finally:
        process.communicate("", timeout=DEADLINE_S)


def test_kill_9_frees_the_lock(database: Path) -> None:
    process = holder(database)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=DEADLINE_S)
    assert lock_path(database).read_text() != ""  # its last words are still there
    assert running_engine(database) is None
    with EngineLock(database, "here"):
        found = running_engine(database)
        assert found is not None and found.host == "here"


def test_a_released_lock_can_be_taken_again(database: Path) -> None:
    for _ in range(3):
        with EngineLock(database, "here"):
            assert running_engine(database) is not None
        assert running_engine(database) is None


def test_an_error_inside_frees_the_lock(database: Path) -> None:
    with pytest.raises(KeyError), EngineLock(database, "here"):
        raise KeyError
    assert running_engine(database) is None


def test_a_holder_that_can_not_be_read_still_holds(database: Path) -> None:
    with EngineLock(database, "here"):
        lock_path(database).write_text("{")
        with pytest.raises(EngineRunningError, match="an unknown process"):
            EngineLock(database, "there")


def test_two_databases_two_engines(tmp_path: Path) -> None:
    with EngineLock(tmp_path / "a.db", "h"), EngineLock(tmp_path / "b.db", "h"):
        assert running_engine(tmp_path / "a.db") is not None
        assert running_engine(tmp_path / "b.db") is not None


def test_a_child_of_the_engine_does_not_keep_its_lock(database: Path) -> None:
    lock = EngineLock(database, "here")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lock.release()
        assert running_engine(database) is None
    finally:
        child.communicate(b"\n", timeout=DEADLINE_S)
