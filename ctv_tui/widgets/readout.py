"""Scores in words: what stands in a chart's title, under its cursor and in an empty chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ctv_engine.store.rows import MACRO, MODES, Mode
from ctv_tui.data import Snapshot, safe, words
from ctv_tui.data.curves import Z_95, is_known
from ctv_tui.data.snapshot import Point
from ctv_tui.widgets.lines import Line, joined, line


def at_step(points: Sequence[Point], step: int) -> Point | None:
    """Return the point at a step, if there is one."""
    return next((point for point in points if point.step == step), None)


def values_of(point: Point | None, *, short: bool = False) -> Line:
    """Return a point in words: value, standard error (not if short), 95 % interval and n."""
    if point is None:
        return line(("not evaluated at this step", "dim"))
    if not is_known(point):
        return line(("no score", "dim"), (f"  n={point.n}", "dim"))
    assert point.value is not None
    parts: list[str] = [words.score(point)]
    if point.stderr is not None:
        half = Z_95 * point.stderr
        low, high = point.value - half, point.value + half
        if 0.0 <= point.value <= 1.0:
            low, high = max(0.0, low), min(1.0, high)
        error = "" if short else f"±{point.stderr:.3f} "
        parts.append(f"{error}[{low:.3f}, {high:.3f}]")
    gap = " " if short else "  "
    return line(gap.join(parts), (f"{gap}n={point.n}", "dim"))


def to_gold(between: Point) -> Line:
    """Return a difference to gold in words."""
    assert between.value is not None
    return line((" vs gold ", "dim"), f"{between.value:+.3f}")


def instant(at: float) -> str:
    """Return a time in UTC; a clock may have said anything."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "time unknown"


def waiting_sentence(snapshot: Snapshot, dataset: str) -> str:
    """Return why a dataset has nothing to draw."""
    if snapshot.source.health == "waiting":
        return f"waiting for the engine to create {safe(snapshot.source.path)}"
    if any(not is_known(p) for mode in MODES for p in snapshot.points(mode, dataset)):
        return "there are answers, but none of them has a score"
    if dataset == MACRO and any(e.done for e in snapshot.evaluations):
        return "waiting until every dataset has a score…"
    if snapshot.running:
        return "waiting for the first score…"
    return "waiting for the first checkpoint…"


def latest_values(by_mode: dict[Mode, tuple[Point, ...]], *, long: bool = False) -> Line:
    """Return the last value of each mode with its letter, and in words where there is room."""
    parts: list[Line] = []
    for mode, points in by_mode.items():
        label = mode if long else mode[0].upper()
        if not points:
            text = f"{label} –"
        else:
            last = points[-1]
            text = f"{label} {words.score(last) if long else _short(last)}"
            if long and last.stderr is not None:
                text += f" ±{last.stderr:.3f}"
        parts.append(line((text, mode)))
    return joined(parts, "   " if long else " ")


def _short(point: Point) -> str:
    if not is_known(point):
        return "–"
    return f"{point.value:.2f}" if point.complete else f"~{point.value:.2f}"
