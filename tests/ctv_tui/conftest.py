"""A recorded run that every test of the dashboard can have a copy of."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import recorded_items
import recorded_run

from ctv_tui.data import Snapshot, read_snapshot


@pytest.fixture(autouse=True)
def steady_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own terminal settings and keys out."""
    for name in (
        "NO_COLOR",
        "TEXTUAL_THEME",
        "TEXTUAL_DRIVER",
        "COLUMNS",
        "LINES",
        "CTV_TUI_THEME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The recorded database, closed, and the instant at which it ends."""
    path = tmp_path_factory.mktemp("recorded") / "run.db"
    recorder = recorded_run.record(path)
    recorder.close()
    return path, recorder.clock.now


@pytest.fixture
def db(recording: tuple[Path, float], tmp_path: Path) -> Path:
    """A copy of the recorded database."""
    return Path(shutil.copy(recording[0], tmp_path / "run.db"))


@pytest.fixture(scope="session")
def now(recording: tuple[Path, float]) -> float:
    """Two seconds after the recording's last heartbeat."""
    return recording[1] + 2.0


@pytest.fixture(scope="session")
def snapshot(recording: tuple[Path, float], now: float) -> Snapshot:
    """The recorded run as a snapshot, read at ``now``."""
    return replace(read_snapshot(recording[0]), read_at=now)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[recorded_run.Recorder]:
    """A new run without any checkpoint, still being written."""
    recorder = recorded_run.Recorder(tmp_path / "live.db")
    yield recorder
    recorder.close()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with ``golden/NAME.txt`` beside the test; UPDATE_GOLDEN=1 writes it."""

    def compare(name: str, text: str) -> None:
        path = request.path.parent / "golden" / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n")
        assert text + "\n" == path.read_text()

    return compare


@pytest.fixture(scope="session")
def items_recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A recorded run with questions, pictures and eight GPUs, and the instant at which it ends."""
    path = tmp_path_factory.mktemp("items") / "run.db"
    return path, recorded_items.record_items(path)
