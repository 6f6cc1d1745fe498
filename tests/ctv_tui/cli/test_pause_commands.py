"""`pause` and `resume` where there is no engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctv_engine.store.control import ask_pause, is_pause_asked
from ctv_engine.store.writer import Writer


def ctv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctv_tui", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    Writer(path).close()
    return path


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_without_a_database_nothing_is_made(tmp_path: Path, command: str) -> None:
    done = ctv(command, "--db", str(tmp_path / "none.db"))
    assert done.returncode == 3
    assert "no such database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_paused_where_no_engine_runs(database: Path) -> None:
    done = ctv("pause", "--db", str(database))
    assert done.returncode == 3
    assert "no engine is running" in done.stderr
    assert not is_pause_asked(database)


def test_a_wish_can_be_taken_back_without_an_engine(database: Path) -> None:
    ask_pause(database)
    done = ctv("resume", "--db", str(database))
    assert done.returncode == 0
    assert "the next one does not start paused" in done.stdout
    assert not is_pause_asked(database)
    again = ctv("resume", "--db", str(database))
    assert again.returncode == 3
    assert "none was paused" in again.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_to_is_one_line(database: Path) -> None:
    ask_pause(database)
    database.parent.chmod(0o555)
    try:
        done = ctv("resume", "--db", str(database))
    finally:
        database.parent.chmod(0o755)
    assert done.returncode == 1
    assert "ask who may write there" in done.stderr and "Traceback" not in done.stderr
