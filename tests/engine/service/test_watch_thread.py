"""The thread that watches outlives whatever looking at a directory may raise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ctv_engine.checkpoints.watch import Sighting
from ctv_engine.service.engine import Engine, Requests
from ctv_engine.service.ledger import Ledger
from ctv_engine.settings import Settings
from ctv_engine.telemetry.poller import Poller


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    settings = Settings(
        db=str(tmp_path / "run.db"), suite=str(tmp_path), checkpoint_dir=str(tmp_path / "run")
    )
    ledger = cast(Ledger, SimpleNamespace(writer=None, evaluations=SimpleNamespace(scheduler=None)))
    return Engine(settings, ledger, cast(Any, None), cast(Poller, None), Requests())


def test_an_unknown_fault_is_told_once_and_looking_goes_on(engine: Engine) -> None:
    seen = Sighting("found", Path("run/checkpoint-1"), 1, 0.0)
    faults: list[Any] = [RuntimeError("boom"), RuntimeError("boom"), KeyError("x"), [seen], [], 1]

    def poll() -> list[Sighting]:
        outcome = faults.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return [seen] if outcome else []

    engine._watcher.poll = poll  # type: ignore[method-assign]
    first, again, other, good = (engine._poll() for _ in range(4))
    assert [(s.kind, s.reason) for s in first] == [
        ("unreachable", "watching failed, and goes on: RuntimeError('boom')")
    ]
    assert again == []
    assert "KeyError('x')" in (other[0].reason or "")
    assert good == [seen]
    faults[:] = [KeyError("x")]
    assert engine._poll(), "after a good look, the same fault is news again"


def test_the_thread_hands_the_fault_on(engine: Engine) -> None:
    def poll() -> list[Sighting]:
        engine._watch_ends.set()  # the last round
        raise RuntimeError("boom")

    engine._watcher.poll = poll  # type: ignore[method-assign]
    engine._watch()
    assert engine._seen.get_nowait()[0].kind == "unreachable"
    assert engine._polls == 1
