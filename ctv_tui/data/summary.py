"""What stays in the scroll-back after the dashboard was left."""

from __future__ import annotations

from ctv_tui.data import words
from ctv_tui.data.safe_text import safe
from ctv_tui.data.snapshot import Snapshot
from ctv_tui.data.text import saving_clause


def summary(snapshot: Snapshot, now: float) -> str:
    """Return five short lines on a run."""
    run = safe(snapshot.run.name) if snapshot.run else "no run yet"
    done = sum(1 for c in snapshot.checkpoints if c.state == "done")
    latest = []
    for mode in ("closed", "open", "gold"):
        points = snapshot.points(mode)
        shown = f"{words.score(points[-1])} (step {points[-1].step})" if points else "–"
        latest.append(f"{mode} {shown}")
    tracked = []
    for proxy in ("closed", "open"):
        found = snapshot.correlation(proxy)
        n = f" n={found.n}" if found else ""
        tracked.append(f"{proxy} {words.signed(found.r if found else None)}{n}")
    view = words.engine_view(snapshot, now)
    return "\n".join(
        (
            f"{run}: {done} of {len(snapshot.checkpoints)} checkpoints done, lag {snapshot.lag}",
            f"macro mean: {', '.join(latest)}",
            f"r with gold: {', '.join(tracked)}{saving_clause(snapshot.latency)}",
            f"engine: {view.phrase}",
            f"database: {safe(snapshot.source.path)}",
        )
    )
