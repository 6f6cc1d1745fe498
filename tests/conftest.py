"""What tests of every part may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_driver import Driver, compile_libraries

LONG = ("cluster", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files of long tests first, so that two processes end at about the same time."""
    marks: dict[Path, set[str]] = {}
    for item in items:
        marks.setdefault(item.path, set()).update(mark.name for mark in item.iter_markers())
    items.sort(key=lambda item: [name not in marks[item.path] for name in LONG])


@pytest.fixture(scope="session")
def driver_libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories with a stand-in for the NVIDIA driver's library."""
    return compile_libraries(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def driver(driver_libraries: dict[str, Path], tmp_path: Path) -> Driver:
    """A driver with two GPUs, until a test says otherwise."""
    one = Driver(driver_libraries, tmp_path / "scenario")
    one.set()
    return one
