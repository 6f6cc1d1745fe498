"""The five calls that a place for workers must offer."""

from __future__ import annotations

from typing import Protocol

from ctv_engine.runtime.messages import FromWorker, Unit


class Pool(Protocol):
    """Workers somewhere. The coordinator knows nothing else about where they live."""

    def capacity(self) -> tuple[str, ...]:
        """Return the devices that a worker can be started on now.

        ``DEVICE`` is one of this machine, ``HOST/DEVICE`` one of another; they come and go.
        """

    def start(self, worker_id: int, device: str) -> int | None:
        """Start a worker on a device; return its process id if it is known already."""

    def send(self, worker_id: int, unit: Unit) -> None:
        """Hand a unit to a worker that is ready. A dead worker shows up in :meth:`receive`."""

    def receive(self, timeout_s: float) -> list[tuple[int, FromWorker]]:
        """Wait for messages; return those that arrived, oldest first per worker."""

    def kill(self, worker_id: int) -> None:
        """End a worker now; it will not show up as lost."""
