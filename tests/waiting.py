"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_S = 0.02


class Patience:
    """A deadline, in time and in looks: while the whole machine stands still, nobody can act."""

    def __init__(self, deadline_s: float = 10.0) -> None:
        self._end = time.monotonic() + deadline_s
        self._looks = deadline_s / LOOK_S / 4

    def is_over(self) -> bool:
        """Whether it was looked often enough and for long enough; counts as a look."""
        self._looks -= 1
        return self._looks < 0 and time.monotonic() > self._end


def wait_until(condition: Callable[[], object], deadline_s: float = 10.0) -> None:
    """Return once ``condition`` holds; fail when it doesn't within the deadline."""
    patience = Patience(deadline_s)
    while not condition():
        assert not patience.is_over(), f"not within {deadline_s} s"
        time.sleep(LOOK_S)
