"""Ray, as far as the driver uses it: actors on a machine, answers that come later, streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

WAIT_S = 0.1
GET_S = 5.0
"""So long fetching an answer that is ready may take; its machine may be gone by then."""

Answer = Callable[[Any, Exception | None], None]
"""Takes what was answered, or why nothing was."""


@dataclass(frozen=True, slots=True)
class _Asked:
    answer: Answer
    deadline: float | None


class Calls:
    """What is waited for. Every answer is taken in one's turn, that is, with ``turn`` held."""

    def __init__(self, turn: AbstractContextManager[Any]) -> None:
        import ray

        self.ray = ray
        self.home: str = ray.get_runtime_context().get_node_id()
        """The machine of this process."""
        self._turn = turn
        self._streams: dict[Any, Answer] = {}
        self._asked: dict[Any, _Asked] = {}

    def on(self, node_id: str, remote: Any, **options: Any) -> Any:
        """Return a function or a class as Ray runs it on one machine, once: nothing is repeated."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return self.ray.remote(remote).options(
            **{"num_cpus": 0, **options},
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )

    def ask(self, ref: Any, answer: Answer, within_s: float | None = None) -> None:
        """Let ``answer`` take what a call returns; after ``within_s`` it gets a TimeoutError."""
        self._asked[ref] = _Asked(answer, None if within_s is None else time.monotonic() + within_s)

    def follow(self, stream: Any, take: Answer) -> None:
        """Let ``take`` have everything that an actor yields, and at last the error that ends it."""
        self._streams[stream] = take

    def leave(self, stream: Any) -> None:
        """Follow a stream no more."""
        self._streams.pop(stream, None)

    def listen(self) -> None:
        """Wait a moment for answers and take in those that are there."""
        with self._turn:
            waiting = [*self._streams, *self._asked]
        if not waiting:
            time.sleep(WAIT_S)
            return
        wait = self.ray.wait
        ready, rest = wait(waiting, num_returns=1, timeout=WAIT_S, fetch_local=False)
        if ready and rest:
            ready += wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
        for one in ready:
            with self._turn:
                if one in self._asked:
                    self._get(one, self._asked.pop(one).answer)
                elif one in self._streams:
                    self._get_next(one, self._streams[one])

    def give_up_late(self) -> None:
        """Tell those who wait for an answer that is overdue."""
        now = time.monotonic()
        for ref, asked in list(self._asked.items()):
            if asked.deadline is not None and now > asked.deadline and ref in self._asked:
                del self._asked[ref]
                asked.answer(None, TimeoutError("no answer"))

    def _get_next(self, stream: Any, take: Answer) -> None:
        try:
            ref = next(stream)
        except Exception as error:  # StopIteration, too: an actor's stream has no end of its own
            self.leave(stream)
            take(None, error)
            return
        self._get(ref, take, stream)

    def _get(self, ref: Any, answer: Answer, stream: Any = None) -> None:
        try:
            value = self.ray.get(ref, timeout=GET_S)
        except Exception as error:  # the actor's own, or whatever Ray says of one that is gone
            if stream is not None:
                self.leave(stream)
            answer(None, error)
        else:
            answer(value, None)


def cause_of(error: Exception | None) -> str:
    """Return the one line of Ray's many that says what happened to an actor."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    telling = [line for line in lines if "exit" in line.lower() or "died" in line.lower()]
    return (telling or lines or [type(error).__name__])[-1][:300]
