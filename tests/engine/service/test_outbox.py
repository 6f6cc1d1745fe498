"""Steps in their order, whatever fails in between."""

from __future__ import annotations

import pytest

from ctv_engine.service.outbox import Outbox


def test_what_a_step_queues_comes_right_behind_it() -> None:
    outbox, done = Outbox(), list[str]()

    def parent(name: str) -> None:
        done.append(name)
        outbox.soon(child, f"{name}1")
        outbox.soon(child, f"{name}2")

    def child(name: str) -> None:
        done.append(name)
        if len(name) < 3:
            outbox.soon(child, f"{name}x")

    outbox.soon(parent, "a")
    outbox.soon(parent, "b")
    outbox.flush()
    assert done == ["a", "a1", "a1x", "a2", "a2x", "b", "b1", "b1x", "b2", "b2x"]
    assert not outbox


def test_a_step_that_fails_is_repeated_and_nothing_overtakes_it() -> None:
    outbox, done = Outbox(), list[str]()
    failures = 2

    def fragile() -> None:
        nonlocal failures
        outbox.soon(done.append, "after fragile")
        if failures:
            failures -= 1
            raise OSError("disk full")
        done.append("fragile")

    outbox.soon(done.append, "first")
    outbox.soon(fragile)
    outbox.soon(done.append, "last")
    for left in (2, 2):
        with pytest.raises(OSError):
            outbox.flush()
        assert len(outbox) == left
        assert done == ["first"]
    outbox.soon(done.append, "very last")
    outbox.flush()
    assert done == ["first", "fragile", "after fragile", "last", "very last"]
