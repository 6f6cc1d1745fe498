"""What ``ctv-tui doctor`` looks at: the software, the GPUs, the terminal, the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``way_out`` is there wherever something could be better."""

    check: str
    level: Level
    text: str
    way_out: str | None = None
