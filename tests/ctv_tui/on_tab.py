"""A dashboard on one tab, driven by its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from driving import app_showing, settled
from textual.pilot import Pilot

from ctv_tui.app import Dashboard, SnapshotRead
from ctv_tui.data import Snapshot
from ctv_tui.widgets.painted import Painted

Press = Callable[..., object]


class Driver:
    """A dashboard on one tab."""

    def __init__(self, app: Dashboard, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str) -> str:
        await self.pilot.press(*keys)
        return await settled(self.pilot)

    async def do(self, tab: str, name: str) -> str:
        self.app._panes[tab].do(name)
        return await settled(self.pilot)

    def part(self, id: str) -> str:
        return self.app.query_one(f"#{id}", Painted).painted_text()

    async def show(self, snapshot: Snapshot) -> str:
        self.app.post_message(SnapshotRead(snapshot))
        return await settled(self.pilot)


@asynccontextmanager
async def on_tab(
    snapshot: Snapshot, now: float, tab: str, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[Driver]:
    app = app_showing(snapshot, now)
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        app.tab = tab
        await settled(pilot)
        yield Driver(app, pilot)
