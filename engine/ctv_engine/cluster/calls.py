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


@dataclass(eq=False, slots=True)
class Followed:
    """What an actor yields; ``begin`` asks it for another stream where one has ended."""

    begin: Callable[[], Any]
    take: Answer
    stream: Any = None


class Calls:
    """What is waited for. Every answer is taken in one's turn, that is, with ``turn`` held."""

    def __init__(self, turn: AbstractContextManager[Any]) -> None:
        import ray

        self.ray = ray
        self.home: str = ray.get_runtime_context().get_node_id()
        """The machine of this process."""
        self._turn = turn
        self._streams: dict[Any, Followed] = {}
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

    def follow(self, begin: Callable[[], Any], take: Answer) -> Followed:
        """Let ``take`` have everything that an actor yields, and at last the error that ends it.

        Ray keeps something of all that a stream has brought until it ends, so none should be
        endless: ``begin`` asks for the first one, and for another after each.
        """
        followed = Followed(begin, take)
        self._begin(followed)
        return followed

    def leave(self, followed: Followed | None) -> None:
        """Follow an actor no more."""
        if followed is not None:
            self._streams.pop(followed.stream, None)

    def _begin(self, followed: Followed) -> None:
        followed.stream = followed.begin()
        self._streams[followed.stream] = followed

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
                    self._get_next(self._streams[one])

    def give_up_late(self) -> None:
        """Tell those who wait for an answer that is overdue."""
        now = time.monotonic()
        for ref, asked in list(self._asked.items()):
            if asked.deadline is not None and now > asked.deadline and ref in self._asked:
                del self._asked[ref]
                asked.answer(None, TimeoutError("no answer"))

    def _get_next(self, followed: Followed) -> None:
        try:
            ref = next(followed.stream)
        except StopIteration:
            self.leave(followed)
            self._begin(followed)
        except Exception as error:
            self.leave(followed)
            followed.take(None, error)
        else:
            self._get(ref, followed.take, followed)

    def _get(self, ref: Any, answer: Answer, followed: Followed | None = None) -> None:
        try:
            value = self.ray.get(ref, timeout=GET_S)
        except Exception as error:  # the actor's own, or whatever Ray says of one that is gone
            self.leave(followed)
            answer(None, error)
        else:
            answer(value, None)


def cause_of(error: Exception | None) -> str:
    """Return the one line of Ray's many that says what happened to an actor."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    telling = [line for line in lines if "exit" in line.lower() or "died" in line.lower()]
    return (telling or lines or [type(error).__name__])[-1][:300]
