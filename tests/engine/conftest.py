"""Tiny checkpoints and suites, made once per test session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own input cache out of every test, and every test out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three whole checkpoints of steps 10, 20 and 30 with different weights. Do not change them."""
    root = tmp_path_factory.mktemp("run")
    return [tiny.save_checkpoint(root / f"checkpoint-{n}", n, seed=n) for n in (10, 20, 30)]


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A paired suite of two datasets with twelve items each."""
    return tiny.make_suite(tmp_path_factory.mktemp("suites") / "paired")


@pytest.fixture(scope="session")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gold suite of the same datasets with other pictures."""
    return tiny.make_suite(tmp_path_factory.mktemp("suites") / "gold", 16, kind="gold", seed=1)
