"""How the engine's parts say what happened."""

from __future__ import annotations

from typing import Protocol

from ctv_engine.store.rows import EventLevel


class Tell(Protocol):
    """Stores an event, of one checkpoint where it is about one."""

    def __call__(
        self, level: EventLevel, kind: str, message: str, checkpoint_id: int | None = None, /
    ) -> None:
        """Store it."""
