"""What a benchmark found, as a table for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ctv_engine.service.translate import versions_json


@dataclass(frozen=True, slots=True)
class Result:
    """One number. ``unit`` "x" is a ratio of CPU seconds in this run, "B" are bytes.

    ``against`` says what it is relative to or what was counted. A result with a ``bar`` is ok if it
    is at most, or at least, that.
    """

    name: str
    config: str
    value: float
    unit: str
    against: str
    bar: float | None = None
    bar_is: Literal["at most", "at least"] = "at most"

    @property
    def ok(self) -> bool | None:
        """Whether the bar is kept; None where there is none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.bar_is == "at most" else self.value >= self.bar

    def row(self) -> tuple[str, ...]:
        """Return the cells of its line in the table."""
        sign = "<=" if self.bar_is == "at most" else ">="
        return (
            self.name,
            self.config,
            f"{_number(self.value)} {self.unit}",
            self.against,
            "" if self.bar is None else f"{sign} {_number(self.bar)}",
            {True: "ok", False: "MISSED", None: ""}[self.ok],
        )


HEAD = ("benchmark", "config", "result", "relative to", "bar", "")


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 0.1 else f"{value:.3f}"


def table(results: Sequence[Result]) -> str:
    """Return an aligned table."""
    rows = [HEAD, *(result.row() for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place == 2 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def document(results: Sequence[Result], cpu_s: float) -> dict[str, Any]:
    """Return what ``--json`` writes: ``results``, ``versions``, ``machine``, ``cpu_s`` in all."""
    return {
        "results": [{**asdict(result), "ok": result.ok} for result in results],
        "versions": json.loads(versions_json({})),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "threads": 1,
            "system": platform.platform(),
            "load_average": os.getloadavg()[0],
        },
        "cpu_s": cpu_s,
    }


def _cpu_model() -> str:
    """Return the processor's own name for itself where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
