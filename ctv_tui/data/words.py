"""States and quantities in words, the same on screen and in plain text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeGuard

from ctv_engine.store.rows import EngineState
from ctv_tui.data.snapshot import Point, Snapshot, Source

DEAD_AFTER_S = 15.0
"""An engine that has not written its heartbeat for so long is dead, whatever it said last."""

REPLACED_SHOWN_S = 30.0

EngineWord = Literal[EngineState, "dead", "absent"]


@dataclass(frozen=True, slots=True)
class EngineView:
    """The engine's state as of an instant: the word, a phrase with the age, the age itself."""

    word: EngineWord
    phrase: str
    age_s: float | None


def engine_view(snapshot: Snapshot, now: float) -> EngineView:
    """Return the engine's state; a heartbeat from the future (clocks differ) has age 0."""
    engine = snapshot.engine
    if engine is None:
        return EngineView("absent", "no engine yet", None)
    age_s = max(0.0, now - engine.heartbeat_at)
    if engine.state == "stopped":
        return EngineView("stopped", "stopped", age_s)
    if age_s > DEAD_AFTER_S:
        return EngineView("dead", f"dead (no heartbeat for {duration(age_s)})", age_s)
    return EngineView(engine.state, engine.state, age_s)


def source_phrase(source: Source, now: float) -> str:
    """Return what is wrong with the database, or nothing."""
    match source.health:
        case "waiting":
            return "waiting for the database"
        case "gone":
            return "database gone"
        case "locked":
            return "database locked, retrying"
        case "newer":
            return "database from a newer version"
        case "unreadable":
            return "database can't be read"
    if source.replaced_at is not None and 0 <= now - source.replaced_at < REPLACED_SHOWN_S:
        return "database replaced, reopened"
    return "archived run" if source.archived else ""


def duration(seconds: float) -> str:
    """Return a rough length of time: ``0.4 s``, ``42 s``, ``5 min``, ``3 h``, ``2 d``."""
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"


def clock(seconds: float) -> str:
    """Return a remaining time as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def small_seconds(seconds: float | None) -> str:
    """Return a duration with its unit and three digits: ``840 µs``, ``12.3 ms``, ``1.42 s``."""
    if seconds is None:
        return "–"
    if seconds == 0:
        return "0 s"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        value = seconds * factor
        if value >= 1.0 or unit == "µs":
            return f"{_three(value)} {unit}"
    return "–"


def size(count: float | None) -> str:
    """Return bytes as ``61.2 GB`` (decimal units)."""
    if count is None:
        return "–"
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{_three(count / factor)} {unit}"
    return f"{count:.0f} B"


def per_cent(share: float | None) -> str:
    """Return a share as ``6.1 %``, or ``–``."""
    if share is None:
        return "–"
    value = share * 100
    return f"{value:.1f} %" if abs(value) < 10 else f"{value:.0f} %"


def _three(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def score(point: Point | None) -> str:
    """Return a score as ``0.641``; ``~`` marks one whose evaluation has not ended."""
    if point is None or not _is_finite(point.value):
        return "–"
    return f"{point.value:.3f}" if point.complete else f"~{point.value:.3f}"


def signed(value: float | None) -> str:
    """Return a correlation as ``+0.83``, or ``–``."""
    return "–" if value is None else f"{value:+.2f}"


def interval(low: float | None, high: float | None) -> str:
    """Return ``[+0.44, +0.95]``, or ``–``."""
    return "–" if low is None or high is None else f"[{low:+.2f}, {high:+.2f}]"


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
