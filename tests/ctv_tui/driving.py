"""Driving the dashboard without a terminal: open it on a snapshot, wait for it, read the screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from textual.pilot import Pilot
from waiting import LOOK_S, Patience

from ctv_tui.app import Dashboard
from ctv_tui.data import Snapshot
from ctv_tui.preferences import Preferences

SIZES = [(80, 24), (120, 40), (160, 45)]


def app_showing(
    snapshot: Snapshot,
    now: float,
    preferences: Preferences | None = None,
    *,
    of: type[Dashboard] = Dashboard,
    **settings: Any,
) -> Dashboard:
    """A dashboard whose reader has nothing but ``snapshot``."""

    def feed(stop: threading.Event) -> Iterator[Snapshot]:
        yield snapshot
        stop.wait()

    return of(feed, now=lambda: now, preferences=preferences, **settings)


def screen_text(app: Dashboard) -> str:
    """What is visible, top to bottom, line by line as the compositor has it."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


async def settled(pilot: Pilot[None]) -> str:
    """Return the screen's text once layout and painting have nothing left to do."""
    app = pilot.app
    seen: list[str] = []
    patience = Patience()
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        await pilot.pause(LOOK_S)
        seen.append(screen_text(app))  # type: ignore[arg-type]
        if patience.is_over():
            break
    return seen[-1]
