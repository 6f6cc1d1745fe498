"""Steps that write to the database, in order, each repeated until it succeeds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

Step = Callable[[], object]


class Outbox:
    """A queue of steps. What a step queues in its turn comes right behind it, before the others.

    A step that fails stays where it is, and what it had queued is forgotten: it will do so again.
    So it must write first, and change what can't fail afterwards.
    """

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._following: list[Step] | None = None

    def __len__(self) -> int:
        return len(self._steps)

    def soon(self, step: Callable[..., object], /, *values: object) -> None:
        """Queue a step."""
        queue = self._steps if self._following is None else self._following
        queue.append(partial(step, *values))

    def flush(self) -> None:
        """Do all that is queued; an error leaves the step that raised it, and the rest, for later.

        Raises:
            Exception: whatever a step raises.
        """
        while self._steps:
            self._following = []
            try:
                self._steps[0]()
                self._steps.popleft()
                self._steps.extendleft(reversed(self._following))
            finally:
                self._following = None
