"""Draw one of the README's pictures: a tab of the dashboard on a database, as SVG.

``python assets/picture.py RUN.db assets/dashboard.svg [TAB]``; with the directory of a build
in place of the database it is the review of its queue.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ctv_engine.construction.journal import Journal
from ctv_tui.app import Dashboard
from ctv_tui.data import follow
from ctv_tui.data.wishes import Wishes
from ctv_tui.preferences import Preferences
from ctv_tui.review.app import Review

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


async def draw_review(directory: Path, picture: Path) -> None:
    """Open the review of a build without a terminal and save what it shows."""
    journal = Journal(directory)
    app = Review(journal, Preferences())
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("a")
        await pilot.pause(0.5)
        title = f"ctv-tui suite review {directory.name}"
        picture.write_text(app.export_screenshot(title=title))
    journal.close()


if __name__ == "__main__" and Path(sys.argv[1]).is_dir():
    asyncio.run(draw_review(Path(sys.argv[1]), Path(sys.argv[2])))
elif __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]), Path(sys.argv[2]), (*sys.argv[3:], "overview")[0]))
