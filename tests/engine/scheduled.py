"""Batches, checkpoints and a scheduler with a clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctv_engine.runtime.costs import CostModel, Name
from ctv_engine.runtime.leases import Patience
from ctv_engine.runtime.messages import Batch, Checkpoint, Task, Unit
from ctv_engine.runtime.schedule import Scheduler
from ctv_engine.runtime.waiting import Schedule
from ctv_engine.suite import Dataset, Item


def batch(number: int, size: int = 4, *, dataset: str = "d", tokens: tuple[int, ...] = ()) -> Batch:
    items = tuple(
        Item(dataset, f"{number}-{n}", "q", "i", "", ("a", "b"), 0, ("a",)) for n in range(size)
    )
    datasets = (Dataset(dataset, "exact_match", 4),) * size
    return Batch(number, items, datasets, Path("/suite"), tokens)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(1000 + step, step, Path(f"/pins/{step}"), f"digest-{step}")


def keys(unit: Unit) -> list[str]:
    return [item.key for item in unit.batch.items]


def recorded(batches: list[Batch], seconds: list[float], task: Task = "closed") -> CostModel:
    """Return a cost model in which each batch took so many seconds before."""
    return CostModel(
        {
            (task, (item.dataset, item.key)): total / len(b.items)
            for b, total in zip(batches, seconds, strict=True)
            for item in b.items
        }
    )


def spent(unit: Unit, seconds: float) -> dict[Name, float]:
    share = seconds / len(unit.batch.items)
    return {(item.dataset, item.key): share for item in unit.batch.items}


@dataclass
class Clocked:
    """A scheduler, its workers and its time."""

    schedule: Schedule = "queue"
    costs: CostModel | None = None
    patience: Patience = field(default_factory=lambda: Patience(hang_s=100.0, silence_s=10.0))
    now: float = 0.0
    scheduler: Scheduler = field(init=False)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            self.schedule, costs=self.costs, patience=self.patience, clock=lambda: self.now
        )

    def workers(self, *numbers: int, kind: str = "") -> None:
        for number in numbers:
            self.scheduler.join(number)
            self.scheduler.ready(number, kind)

    def add(self, batches: list[Batch], number: int = 1, step: int = 10, **values: Any) -> None:
        task: Task = values.pop("task", "closed")
        self.scheduler.add(number, checkpoint(step), task, batches, **values)

    def lease(self, worker: int) -> Unit:
        unit = self.scheduler.lease(worker)
        assert unit is not None
        return unit

    def complete(self, unit: Unit, seconds: float) -> None:
        """End a unit that kept its device busy for so long; the clock is set by the test."""
        self.scheduler.complete(unit.unit_id, spent(unit, seconds))

    def live(self, *workers: int, seconds: float, waits: bool = False) -> list[str]:
        """Let time pass in which these workers send heartbeats; return what became overdue.

        ``waits``: files are on their way to them.
        """
        found: list[str] = []
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            for worker in workers:
                self.scheduler.beat(worker)
                if waits:
                    self.scheduler.wait(worker)
            found = [f"{late.worker_id}: {late.reason}" for late in self.scheduler.overdue()]
            if found:
                break
        return found
