"""The dashboard: a thread reads, one message carries a frozen snapshot, one handler shows it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.message import Message
from textual.reactive import reactive

from ctv_tui.data import Snapshot, follow, safe, words
from ctv_tui.data.text import saving_words
from ctv_tui.data.wishes import Wishes
from ctv_tui.screens.actions import TABS, bindings
from ctv_tui.screens.correlation import CorrelationPane
from ctv_tui.screens.gpus import Gpus
from ctv_tui.screens.help import Help
from ctv_tui.screens.items import Items
from ctv_tui.screens.latency import LatencyPane
from ctv_tui.screens.pane import Pane
from ctv_tui.screens.trajectories import DatasetList, Trajectories
from ctv_tui.theme import DARK, LIGHT, themes
from ctv_tui.widgets.header import Status, StatusData, TabBar
from ctv_tui.widgets.lines import Line, line
from ctv_tui.widgets.message import Sentence

LEAST_SIZE = (60, 16)
EXIT_NO_DATABASE = 3

PANES: tuple[type[Pane], ...] = (Trajectories, Gpus, LatencyPane, CorrelationPane, Items)

Feed = Callable[[threading.Event], Iterator[Snapshot]]
"""Yields snapshots until the event is set; runs in the reader's thread."""


class SnapshotRead(Message):
    """The reader has a newer snapshot. A burst collapses into its last one."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """Take the place of an older snapshot that was not handled yet."""
        return isinstance(message, SnapshotRead)


class ReaderFailed(Message):
    """The reader's thread ended with an error: a fault of ours, so the dashboard ends as well."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Dashboard(App[None]):
    """Follows one database."""

    CSS_PATH = "app.tcss"
    TITLE = "ctv-tui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = bindings(
        action for pane in PANES for action in pane.ACTIONS
    )

    # Repainting is what the widgets do, line by line: the app itself never asks for all of it.
    snapshot: reactive[Snapshot | None] = reactive(None, repaint=False, always_update=True)
    paused: reactive[bool] = reactive(False, repaint=False)
    tab: reactive[str] = reactive(TABS[0][0], repaint=False)

    def __init__(
        self,
        feed: Feed,
        *,
        wishes: Wishes | None = None,
        theme: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        for own in themes():
            self.register_theme(own)
        self.theme = theme if theme in self.available_themes else DARK
        self._feed = feed
        self._now = now
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, name="ctv-reader", daemon=True)
        self._newest: Snapshot | None = None
        self._paused_at: float | None = None
        self._status = Status(now, id="status")
        self._tabs = TabBar(TABS, id="tabs")
        wishes = wishes or Wishes()
        self._trajectories = Trajectories(id="trajectories")
        self._panes: dict[str, Pane] = {
            "trajectories": self._trajectories,
            "gpus": Gpus(wishes, id="gpus"),
            "latency": LatencyPane(id="latency"),
            "correlation": CorrelationPane(id="correlation"),
            "items": Items(wishes, id="items"),
        }
        self._small = Sentence(id="too-small")

    def compose(self) -> ComposeResult:
        """Lay out header, tab bar and tabs; one tab is displayed at a time."""
        yield self._status
        yield self._tabs
        with Container(id="panes"):
            for key, pane in self._panes.items():
                pane.display = key == self.tab
                yield pane
        yield self._small

    # --- life ---------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Start the reader, the clock of the header, and take over the ending signals."""
        self.animation_level = "none"
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._end_by, number)
        self.set_interval(1.0, self._each_second)
        self._fit(self.size.width, self.size.height)
        self._reader.start()

    def on_unmount(self) -> None:
        """Let the reader end."""
        self._stop.set()

    def _end_by(self, number: signal.Signals) -> None:
        self.exit(return_code=128 + number)

    def _each_second(self) -> None:
        """Let the ages grow, and end if the terminal has gone without a word."""
        if self._terminal_lost():
            self._end_by(signal.SIGHUP)
        self._show_header()

    def _terminal_lost(self) -> bool:
        if self.is_headless or sys.__stdin__ is None:
            return False
        try:
            return not os.isatty(sys.__stdin__.fileno())
        except (OSError, ValueError):
            return True

    def _read(self) -> None:
        """Run in the reader's thread: it owns the connection and touches no widget."""
        try:
            for snapshot in self._feed(self._stop):
                if self._stop.is_set():
                    break
                self.post_message(SnapshotRead(snapshot))
        except Exception as error:
            self.post_message(ReaderFailed(error))

    # --- data ---------------------------------------------------------------------------------

    @on(SnapshotRead)
    def _take(self, message: SnapshotRead) -> None:
        """Keep the newest snapshot; show it unless painting is paused."""
        self._newest = message.snapshot
        if not self.paused:
            with self.batch_update():
                self.snapshot = message.snapshot

    @on(ReaderFailed)
    def _fail(self, message: ReaderFailed) -> None:
        raise message.error

    def watch_snapshot(self) -> None:
        """Show the snapshot in the header and in the visible tab."""
        self._show_header()
        self._show_pane()

    def _show_header(self) -> None:
        """Show the newest state, also while the tab below is paused."""
        if self._newest is not None and self._status.is_attached:
            self._status.show(StatusData(self._newest, self._paused_at))
        self._tabs.show(self.tab, self._note())

    def _note(self) -> Line:
        if self._paused_at is not None:
            behind = words.duration(round(max(0.0, self._now() - self._paused_at)))
            return line((f" paused {behind} ", "selected"))
        if self._newest is not None and self._newest.loading:
            return line(("loading…", "dim"))
        return ()

    def _show_pane(self) -> None:
        if self.snapshot is not None:
            self._panes[self.tab].take(self.snapshot)

    # --- actions ------------------------------------------------------------------------------

    def watch_tab(self, old: str, new: str) -> None:
        """Display the chosen tab."""
        if not self.is_running or old == new:
            return
        with self.batch_update():
            for key, pane in self._panes.items():
                pane.display = key == new
            self._show_header()
            self._show_pane()

    def action_open_tab(self, tab: str) -> None:
        """Open a tab."""
        self.tab = tab

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the tab key to a screen that lies on top, and a tab's own keys to that tab."""
        if action == "pane":
            return parameters[0] == self.tab and len(self.screen_stack) == 1
        return not (action == "next_tab" and len(self.screen_stack) > 1)

    def action_pane(self, tab: str, name: str) -> None:
        """Carry out an action of the visible tab."""
        self._panes[tab].do(name)

    def action_next_tab(self, by: int) -> None:
        """Open the next or previous tab."""
        keys = [key for key, _ in TABS]
        self.tab = keys[(keys.index(self.tab) + by) % len(keys)]

    def action_move(self, by: int) -> None:
        """Move the selection of the visible tab."""
        self._panes[self.tab].move(by)

    def action_pause(self) -> None:
        """Stop or resume painting."""
        self.paused = not self.paused
        self._paused_at = self._now() if self.paused else None
        with self.batch_update():
            if not self.paused:
                self.snapshot = self._newest
            self._show_header()

    def action_next_theme(self) -> None:
        """Change between dark and light."""
        self.theme = LIGHT if self.current_theme.dark else DARK

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def action_quit_dashboard(self) -> None:
        """Leave; the engine is a process of its own and goes on."""
        self.exit()

    @on(TabBar.Chosen)
    def _tab_clicked(self, message: TabBar.Chosen) -> None:
        self.tab = message.tab

    @on(DatasetList.Chosen)
    def _dataset_clicked(self, message: DatasetList.Chosen) -> None:
        self._trajectories.select(message.index)

    def on_resize(self, event: Resize) -> None:
        """Say so when there is too little room."""
        self._fit(event.size.width, event.size.height)

    def _fit(self, width: int, height: int) -> None:
        small = width < LEAST_SIZE[0] or height < LEAST_SIZE[1]
        self.screen.set_class(small, "too-small")
        least = f"{LEAST_SIZE[0]}×{LEAST_SIZE[1]}"
        self._small.show(f"terminal too small: needs {least}, has {width}×{height}")

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot that was read."""
        return self._newest


def run_dashboard(db: Path, *, theme: str | None = None, wait_for_db: bool = False) -> int:
    """Show the dashboard until it's left; return the exit status.

    0: left by the user; 1: crashed; 3: no database (unless ``wait_for_db``); 143: SIGTERM; 129:
    SIGHUP or the terminal is gone.
    """
    if not wait_for_db and not db.is_file():
        print(f"{safe(str(db))}: no such database", file=sys.stderr)
        return EXIT_NO_DATABASE
    wishes = Wishes()
    app = Dashboard(lambda stop: follow(db, stop, wishes=wishes), wishes=wishes, theme=theme)
    app.run()
    status = app.return_code or 0
    if status in (0, 128 + signal.SIGTERM) and app.newest is not None:
        print(summary(app.newest, time.time()), flush=True)
    return status


def summary(snapshot: Snapshot, now: float) -> str:
    """Return what stays in the scroll-back after the dashboard was left: five short lines."""
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
    saving = snapshot.latency.saving if snapshot.latency else None
    cheaper = f"; closed is {saving_words(saving)} than open" if saving is not None else ""
    view = words.engine_view(snapshot, now)
    return "\n".join(
        (
            f"{run}: {done} of {len(snapshot.checkpoints)} checkpoints done, lag {snapshot.lag}",
            f"macro mean: {', '.join(latest)}",
            f"r with gold: {', '.join(tracked)}{cheaper}",
            f"engine: {view.phrase}",
            f"database: {safe(snapshot.source.path)}",
        )
    )
