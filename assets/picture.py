"""Draw one of the README's pictures: a tab of the dashboard on a database, as SVG.

``python assets/picture.py RUN.db assets/dashboard.svg [TAB]``
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ctv_tui.app import Dashboard
from ctv_tui.data import follow
from ctv_tui.data.wishes import Wishes

SIZE = (120, 40)


async def draw(database: Path, picture: Path, tab: str) -> None:
    """Open the dashboard without a terminal and save what it shows."""
    wishes = Wishes()
    app = Dashboard(lambda stop: follow(database, stop, wishes=wishes), wishes=wishes)
    async with app.run_test(size=SIZE) as pilot:
        while app.newest is None or app.newest.loading:
            await pilot.pause(0.1)
        app.action_open_tab(tab)
        await pilot.pause(1.5)
        picture.write_text(app.export_screenshot(title=f"ctv-tui --db {database.name}"))


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]), Path(sys.argv[2]), (*sys.argv[3:], "overview")[0]))
