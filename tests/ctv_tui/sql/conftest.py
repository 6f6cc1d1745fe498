"""The recorded run of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest
import recorded_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording as a database. Do not change it."""
    path = tmp_path_factory.mktemp("demo") / "run.db"
    recorded_demo.write(path)
    return path
