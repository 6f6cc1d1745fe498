"""The dashboard: a thread reads, one message carries a frozen snapshot, one handler shows it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.reactive import reactive
from textual.screen import Screen

from ctv_tui.data import Snapshot, follow, safe, words
from ctv_tui.data.summary import summary
from ctv_tui.data.wishes import Wishes
from ctv_tui.preferences import Preferences
from ctv_tui.reader import Feed, Reader, ReaderFailed, SnapshotRead
from ctv_tui.screens.actions import (
    ACTIONS,
    Action,
    actions_on,
    bindings,
    footer_label,
    tab_actions,
)
from ctv_tui.screens.confirm import Confirm
from ctv_tui.screens.correlation import CorrelationPane
from ctv_tui.screens.events import Events
from ctv_tui.screens.gpus import Gpus
from ctv_tui.screens.help import Help
from ctv_tui.screens.items import Items
from ctv_tui.screens.keymap import keymap_path, read_keymap
from ctv_tui.screens.latency import LatencyPane
from ctv_tui.screens.overview import Overview
from ctv_tui.screens.pane import Pane
from ctv_tui.screens.saving import save
from ctv_tui.screens.trajectories import Trajectories
from ctv_tui.theme import DARK, LOOKS, look_of, theme_name, themes
from ctv_tui.widgets.footer import KeyLine
from ctv_tui.widgets.header import Status, StatusData, TabBar
from ctv_tui.widgets.lines import Line, line
from ctv_tui.widgets.message import Sentence

LEAST_SIZE = (60, 16)
EXIT_NO_DATABASE = 3
COPIED_MOST = 70_000
"""Characters that are copied at most: terminals drop longer OSC 52 sequences."""

PANES: tuple[tuple[str, str, type[Pane]], ...] = (
    ("overview", "Overview", Overview),
    ("trajectories", "Trajectories", Trajectories),
    ("gpus", "GPUs", Gpus),
    ("latency", "Latency", LatencyPane),
    ("correlation", "Correlation", CorrelationPane),
    ("items", "Items", Items),
    ("events", "Events", Events),
)
"""Every tab in order: its id, its name, its class. A new tab is a line here."""

TABS = tuple((key, name) for key, name, _ in PANES)

TABLE: tuple[Action, ...] = (
    *tab_actions(TABS),
    *ACTIONS,
    *(action for _, _, pane in PANES for action in pane.ACTIONS),
)
"""Everything that can be done, with its default keys."""

_ALWAYS_SHOWN = ("help", "quit")

EngineSwitch = Callable[[bool], object]
"""Asks the engine to pause (True) or to go on (False); raises OSError if it can't be asked."""


class Dashboard(App[None]):
    """Follows one database."""

    CSS_PATH = "app.tcss"
    TITLE = "ctv-tui"
    ENABLE_COMMAND_PALETTE = True
    AUTO_FOCUS = None  # keys belong to the tab until somebody opens a search
    TABLE: ClassVar[Sequence[Action]] = TABLE
    BINDINGS: ClassVar[list[BindingType]] = bindings(TABLE)

    # Repainting is what the widgets do, line by line: the app itself never asks for all of it.
    snapshot: reactive[Snapshot | None] = reactive(None, repaint=False, always_update=True)
    paused: reactive[bool] = reactive(False, repaint=False)
    tab: reactive[str] = reactive(TABS[0][0], repaint=False)

    def __init__(
        self,
        feed: Feed,
        *,
        preferences: Preferences | None = None,
        complaints: Sequence[str] = (),
        wishes: Wishes | None = None,
        engine_switch: EngineSwitch | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._preferences = preferences or Preferences()
        for own in themes():
            self.register_theme(own)
        look = self._preferences.theme
        self.theme = theme_name(look) if look else DARK
        self.ascii_only = self._preferences.ascii_only
        self._now = now
        self._complaints = complaints
        self._engine_switch = engine_switch
        self._reader = Reader(feed, self.post_message)
        self._started_by = os.getppid()
        self._newest: Snapshot | None = None
        self._paused_at: float | None = None
        self._status = Status(now, id="status")
        self._tabs = TabBar(TABS, id="tabs")
        self._panes: dict[str, Pane] = {key: pane(id=key) for key, _, pane in PANES}
        wishes = wishes or Wishes()
        for pane in self._panes.values():
            pane.ask_through(wishes)
        self._keys = KeyLine(id="keys")
        self._small = Sentence(id="too-small")

    def compose(self) -> ComposeResult:
        """Lay out header, tab bar, tabs and footer; one tab is displayed at a time."""
        yield self._status
        yield self._tabs
        with Container(id="panes"):
            for key, pane in self._panes.items():
                pane.display = key == self.tab
                yield pane
        yield self._keys
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
        self.set_class(self.ascii_only, "ascii")
        self._fit(self.size.width, self.size.height)
        self._show_keys()
        for complaint in self._complaints:
            self.notify(complaint, severity="warning", timeout=15, markup=False)
        self._reader.start()

    def on_unmount(self) -> None:
        """Let the reader end."""
        self._reader.stop()

    def _end_by(self, number: signal.Signals) -> None:
        self.exit(return_code=128 + number)

    def _each_second(self) -> None:
        """Let the ages grow, and end if the terminal has gone without a word."""
        if self._terminal_lost():
            self._end_by(signal.SIGHUP)
        self._show_header()

    def _terminal_lost(self) -> bool:
        """Whether nobody can see the dashboard any more: in a browser, its server is gone."""
        if self.is_web:
            return os.getppid() != self._started_by
        if self.is_headless or sys.__stdin__ is None:
            return False
        try:
            return not os.isatty(sys.__stdin__.fileno())
        except (OSError, ValueError):
            return True

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
        self.screen_stack[0].set_focus(None)
        with self.batch_update():
            for key, pane in self._panes.items():
                pane.display = key == new
            self._show_header()
            self._show_pane()
            self._show_keys()

    def action_open_tab(self, tab: str) -> None:
        """Open a tab."""
        self.tab = tab

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the tab key to a screen that lies on top, and a tab's own keys to that tab."""
        alone = len(self.screen_stack) == 1
        if action == "pane":
            return parameters[0] == self.tab and alone
        if action == "hook":
            return self._offers(str(parameters[0])) and alone
        if action == "pause_engine":
            return self._offers("engine") and alone
        return alone or action not in ("next_tab", "save", "copy")

    def _offers(self, hook: str) -> bool:
        """Whether there is anything behind an action that only some tabs or databases have."""
        if hook == "engine":
            return self._engine_switch is not None
        return self._panes[self.tab].offers(hook)

    def action_pane(self, tab: str, name: str) -> None:
        """Carry out an action of the visible tab."""
        self._panes[tab].do(name)

    def action_hook(self, name: str) -> None:
        """Carry out an action of every tab that the visible tab has a method for."""
        self._panes[self.tab].do(name)

    @property
    def actions_now(self) -> list[Action]:
        """What can be done on the visible tab."""
        return actions_on(self.TABLE, self.tab, self._offers)

    def _show_keys(self) -> None:
        """Show the visible tab's most useful keys."""
        shown = [action for action in self.actions_now if footer_label(action)]
        hints = [(a.shown_keys.split(" ")[0], footer_label(a), a.id) for a in shown]
        self._keys.show(
            [(key, label) for key, label, id in hints if id not in _ALWAYS_SHOWN],
            [(key, label) for key, label, id in hints if id in _ALWAYS_SHOWN],
        )

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield every action for the command palette: the visible tab's, then other tabs'."""
        here = self.actions_now
        for action in here:
            if action.id != "palette":
                yield self._command(action, action.description, partial(self._run, action))
        names = dict(TABS)
        for action in self.TABLE:
            if action.tab and action.tab != self.tab:
                title = f"{names[action.tab]}: {action.description}"
                yield self._command(action, title, partial(self._run, action))

    def _command(self, action: Action, title: str, callback: Callable[[], object]) -> SystemCommand:
        return SystemCommand(title, f"key {action.shown_keys}   id {action.id}", callback)

    async def _run(self, action: Action) -> None:
        """Carry out an action, on its own tab if it has one."""
        if action.tab:
            self.tab = action.tab
        await self.run_action(action.action)

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
        """Change to the next of dark, light and the terminal's sixteen colours."""
        look = look_of(self.current_theme)
        self.theme = theme_name(LOOKS[(LOOKS.index(look) + 1) % len(LOOKS)])

    def action_help(self) -> None:
        """Show what can be done here."""
        keymap = safe(str(self._preferences.keys or keymap_path()))
        self.push_screen(Help(dict(TABS)[self.tab], self.actions_now, keymap))

    def action_save(self) -> None:
        """Save what is shown as SVG and the visible tab as text; say where."""
        run = self._newest.run.name if self._newest and self._newest.run else "no-run"
        folder = self._preferences.save_dir or Path.cwd()
        name = f"ctv-tui-{run}-{self.tab}"
        try:
            svg, txt = save(folder, name, self._now(), self.export_screenshot(), self._as_text())
        except OSError as error:
            reason = error.strerror or str(error)
            place = safe(str(error.filename or folder))
            self.notify(f"not saved: {place}: {reason}", severity="error", markup=False)
            return
        self.notify(f"saved {safe(str(svg))} and {txt.suffix}", markup=False)

    def _as_text(self) -> str:
        head = [w.painted_text() for w in (self._status, self._tabs)]
        return "\n".join([*head, "", self._panes[self.tab].shown_text(), ""])

    def action_copy(self) -> None:
        """Send the selection, or else the tab's text, to the terminal's clipboard."""
        text = self._panes[self.tab].selected_text()
        if not text:
            self.notify("nothing to copy", severity="warning")
            return
        cut = text[:COPIED_MOST]
        self.copy_to_clipboard(cut)
        much = f"{len(cut.splitlines())} lines" if "\n" in cut else f"{len(cut)} characters"
        less = f" of {len(text)} characters" if len(cut) < len(text) else ""
        self.notify(f"copied {much}{less}; in tmux this needs `set -g set-clipboard on`")

    def action_pause_engine(self) -> None:
        """Ask whether the engine shall pause or go on, and tell it."""
        view = words.engine_view(self._newest, self._now()) if self._newest else None
        if view is None or view.word in ("absent", "dead", "stopped"):
            said = view.phrase if view else "nothing is known of the engine yet"
            self.notify(f"no engine to pause: {said}", severity="warning", markup=False)
            return
        pause = view.word != "paused"
        question = (
            "It finishes its batches, frees its devices and waits. Checkpoints are kept meanwhile."
            if pause
            else "It takes its devices again and scores what has come meanwhile."
        )
        title = "pause the engine?" if pause else "let the engine go on?"
        self.push_screen(Confirm(title, question), partial(self._switch_engine, pause))

    def _switch_engine(self, pause: bool, sure: bool | None) -> None:
        if not sure or self._engine_switch is None:
            return
        try:
            self._engine_switch(pause)
        except OSError as error:
            reason = f"the engine can't be asked: {error.strerror or error}"
            self.notify(safe(reason), severity="error", markup=False)
            return
        self.notify("asked the engine to pause" if pause else "asked the engine to go on")

    def action_quit_dashboard(self) -> None:
        """Leave; the engine is a process of its own and goes on."""
        self.exit()

    @on(TabBar.Chosen)
    def _tab_clicked(self, message: TabBar.Chosen) -> None:
        self.tab = message.tab

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


def with_keys(table: Sequence[Action]) -> type[Dashboard]:
    """Return the dashboard on other keys than the defaults."""

    class Keyed(Dashboard, inherit_bindings=False):
        TABLE: ClassVar[Sequence[Action]] = table
        BINDINGS: ClassVar[list[BindingType]] = bindings(table)

    return Keyed


def run_dashboard(
    db: Path,
    *,
    preferences: Preferences | None = None,
    wait_for_db: bool = False,
    engine_switch: EngineSwitch | None = None,
) -> int:
    """Show the dashboard until it's left; return the exit status.

    Without an ``engine_switch`` the engine can't be paused from here.

    0: left by the user; 1: crashed; 3: no database (unless ``wait_for_db``); 143: SIGTERM; 129:
    SIGHUP or the terminal is gone.
    """
    preferences = preferences or Preferences()
    if not wait_for_db and not db.is_file():
        print(f"{safe(str(db))}: no such database", file=sys.stderr)
        return EXIT_NO_DATABASE
    table, complaints = read_keymap(preferences.keys or keymap_path(), TABLE)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    wishes = Wishes()
    app = with_keys(table)(
        lambda stop: follow(db, stop, wishes=wishes, compare=preferences.compare),
        preferences=preferences,
        complaints=complaints,
        wishes=wishes,
        engine_switch=engine_switch,
    )
    app.run()
    status = app.return_code or 0
    if status in (0, 128 + signal.SIGTERM) and app.newest is not None and not app.is_web:
        print(summary(app.newest, time.time()), flush=True)
    return status
