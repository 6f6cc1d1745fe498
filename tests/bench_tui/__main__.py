"""Does the dashboard hold its budgets? ``make bench-tui``; the exit status says so.

Costs are CPU time of the dashboard's process at 160×45 in tmux, against a process that writes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import databases
from terminal import Terminal, first_paint_s

from ctv_tui.data.tail import Tail

WINDOW_S = 15.0
PAINTS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and the most that it may be."""

    name: str
    value: float
    budget: float
    unit: str
    inclusive: bool = False

    @property
    def holds(self) -> bool:
        """Whether the budget is kept."""
        return self.value <= self.budget if self.inclusive else self.value < self.budget

    def __str__(self) -> str:
        least = "≤" if self.inclusive else "<"
        budget = f"{least} {self.budget:g} {self.unit}"
        return (
            f"{self.name:<52}{self.value:>9.2f} {self.unit:<6} budget {budget:<14}"
            f"{'ok' if self.holds else 'OVER'}"
        )


@contextmanager
def writing(db: Path, *what: str) -> Iterator[None]:
    """Have another process write to a database."""
    script = Path(databases.__file__)
    process = subprocess.Popen([sys.executable, str(script), str(db), "600", *what])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def dashboard(db: Path) -> Iterator[Terminal]:
    """Open the dashboard on a database."""
    terminal = Terminal(db, db.with_suffix(".output"))
    try:
        terminal.shows("macro mean")
        yield terminal
    finally:
        terminal.close()


def idle(folder: Path) -> Iterator[Measured]:
    """Nothing changes."""
    db = folder / "finished.db"
    databases.finished(db)
    with dashboard(db) as terminal:
        terminal.cost(3.0)
        cpu, written = terminal.cost(WINDOW_S)
    yield Measured("idle: CPU", 100 * cpu, 0.5, "%")
    yield Measured("idle: output", written, 0.0, "B/s", inclusive=True)


def charts_and_gpus(folder: Path) -> Iterator[Measured]:
    """Six charts with three series of 300 points, twice a second; sixteen GPUs, once a second."""
    db = folder / "live.db"
    databases.live(db)
    with dashboard(db) as terminal:
        terminal.type("2")
        terminal.shows("dataset-5")
        with writing(db, "charts"):
            terminal.cost(3.0)
            cpu, written = terminal.cost(WINDOW_S)
        yield Measured("six live charts, 3 × 300 points, 2 Hz: CPU", 100 * cpu, 5.0, "%")
        yield Measured("six live charts: output", written / 1000, 15.0, "kB/s")
        terminal.type("3")
        terminal.shows("cuda:15")
        with writing(db, "gpus"):
            terminal.cost(3.0)
            cpu, written = terminal.cost(WINDOW_S)
        yield Measured("16 GPUs, 1 Hz: CPU", 100 * cpu, 5.0, "%")
        yield Measured("16 GPUs: output", written / 1000, 15.0, "kB/s")
        terminal.type("1")
        with writing(db, "charts", "gpus"):
            terminal.cost(3.0)
            cpu, written = terminal.cost(WINDOW_S)
        yield Measured("overview, all of it: CPU", 100 * cpu, 5.0, "%")
        yield Measured("overview, all of it: output", written / 1000, 15.0, "kB/s")


def large_file(folder: Path) -> Iterator[Measured]:
    """A million predictions, five million readings."""
    db = folder / "large.db"
    databases.large(db)
    began, cpu_s = time.monotonic(), time.process_time()
    tail = Tail(db)
    tail.poll()
    while tail.loading:
        tail.poll()
    yield Measured("large file: opened, CPU", time.process_time() - cpu_s, 1.0, "s")
    yield Measured("large file: opened, wall", time.monotonic() - began, 1.0, "s")
    worst_s = 0.0
    with writing(db, "charts", "gpus"):
        for _ in range(40):
            cpu_s = time.process_time()
            tail.poll()
            worst_s = max(worst_s, time.process_time() - cpu_s)
            time.sleep(0.25)
    tail.close()
    yield Measured("large file: worst of 40 ticks, CPU", 1000 * worst_s, 5.0, "ms")
    with dashboard(db) as terminal, writing(db, "charts", "gpus"):
        terminal.cost(5.0)
        for key in "23456":
            terminal.type(key)
            terminal.cost(2.0)
        yield Measured(
            "large file: resident memory, every tab seen", terminal.memory_mib(), 70.0, "MiB"
        )
    paints = [first_paint_s(db) for _ in range(PAINTS)]
    yield Measured(f"large file: first paint, best of {PAINTS}", 1000 * min(paints), 800.0, "ms")


def main() -> int:
    """Print every number with its budget."""
    over = 0
    with tempfile.TemporaryDirectory(prefix="ctv-bench-") as place:
        for part in (idle, charts_and_gpus, large_file):
            for measured in part(Path(place)):
                print(measured, flush=True)
                over += not measured.holds
    own = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    print(f"{over} over budget ({own:.0f} s of CPU time to measure)" if over else "all held")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
