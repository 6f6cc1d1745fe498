"""Where a worker's time goes, as spans of named kinds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["load", "input", "prefill", "decode", "score"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time; epoch seconds."""

    kind: Kind
    started_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.ended_at - self.started_at


@dataclass
class Trace:
    """Collects spans. ``synchronise`` waits for the device, so that a span covers its work."""

    synchronise: Callable[[], None] = lambda: None
    spans: list[Span] = field(default_factory=list)

    @contextmanager
    def span(self, kind: Kind) -> Iterator[None]:
        """Record the enclosed work as one span."""
        started = time.time()
        try:
            yield
        finally:
            self.synchronise()
            self.add(kind, started, time.time())

    def add(self, kind: Kind, started_at: float, ended_at: float) -> None:
        """Record a span that was measured elsewhere."""
        self.spans.append(Span(kind, started_at, ended_at))

    def seconds(self, kind: Kind) -> float:
        """Return the total of one kind in seconds."""
        return sum(span.seconds for span in self.spans if span.kind == kind)
