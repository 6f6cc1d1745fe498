"""The review: a list at the left, an item at the right, and keys that decide."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Input

from ctv_engine.construction.journal import DecidedMeanwhile, Draft, Journal, State
from ctv_engine.suite import LETTERS
from ctv_tui.data import safe
from ctv_tui.data.pictures import describe_picture
from ctv_tui.preferences import Preferences
from ctv_tui.review.actions import DROP_REASONS, TAB, TABLE, WRITE_IT
from ctv_tui.review.asking import Pick, Words, Write
from ctv_tui.review.draft_view import DraftView, Shown
from ctv_tui.review.editing import (
    LONGEST,
    as_line,
    differs_from_answers,
    edit_fault,
    from_line,
    options_fault,
    question_fault,
)
from ctv_tui.review.header import ReviewHeader
from ctv_tui.review.queue import FILTERS, Queue
from ctv_tui.review.queue_list import QueueList, nothing_said
from ctv_tui.screens.actions import Action, actions_on, bindings, footer_label
from ctv_tui.screens.help import Help
from ctv_tui.screens.keymap import keymap_path, read_keymap
from ctv_tui.theme import DARK, LOOKS, look_of, theme_name, themes
from ctv_tui.widgets.footer import KeyLine
from ctv_tui.widgets.lines import line
from ctv_tui.widgets.message import Sentence
from ctv_tui.widgets.picture import PictureFrame
from ctv_tui.widgets.search import SearchLine

LEAST_SIZE = (60, 16)
KEYMAP_NAME = "review-keys.toml"
_ALWAYS_SHOWN = ("help", "quit")
_LEAST_PICTURE_HEIGHT = 30


class Review(App[None]):
    """Shows the queue of one build; each decision is in the journal before the next key."""

    TITLE = "ctv-tui suite review"
    ENABLE_COMMAND_PALETTE = True
    AUTO_FOCUS = None
    TABLE: ClassVar[Sequence[Action]] = TABLE
    BINDINGS: ClassVar[list[BindingType]] = bindings(TABLE)
    CSS_PATH = "../app.tcss"
    CSS = """
    #review-beside { height: 1fr; }
    #queue-list { width: 34%; min-width: 26; max-width: 56; height: 1fr; }
    #review-item { width: 1fr; height: 1fr; }
    #draft-view { height: 3fr; }
    #draft-picture { height: 2fr; }
    #review-header, #review-said { height: 1; background: $surface; }
    Pick, Write { align: center middle; background: $background 60%; }
    #pick-box { width: 60; max-width: 100%; height: auto; max-height: 100%; background: $surface; }
    #write-box { width: 90%; height: 5; background: $surface; padding: 1 0; }
    #write-head, #write-said, #write-line { height: 1; }
    #write-line { padding: 0 1; background: $panel; }
    .too-small #review-header, .too-small #review-said, .too-small #review-beside { display: none; }
    """

    def __init__(
        self, journal: Journal, preferences: Preferences, *, complaints: Sequence[str] = ()
    ) -> None:
        super().__init__()
        for own in themes():
            self.register_theme(own)
        self.theme = theme_name(preferences.theme) if preferences.theme else DARK
        self.ascii_only = preferences.ascii_only
        self.decided = 0
        self._preferences = preferences
        self._complaints = complaints
        self._journal = journal
        self._queue = Queue(journal)
        self._header = ReviewHeader(self._queue, id="review-header")
        self._list = QueueList(self._queue, id="queue-list")
        self._view = DraftView(id="draft-view")
        self._picture = PictureFrame(id="draft-picture")
        self._search = SearchLine("search…  enter: keep  esc: no search", id="review-search")
        self._said = Words((), id="review-said")
        self._keys = KeyLine(id="keys")
        self._small = Sentence(id="too-small")

    def compose(self) -> ComposeResult:
        """Lay out header, list and item, the line for a search, and the keys."""
        yield self._header
        yield Horizontal(
            self._list, Vertical(self._view, self._picture, id="review-item"), id="review-beside"
        )
        yield self._search
        yield self._said
        yield self._keys
        yield self._small

    def on_mount(self) -> None:
        """Show the first item, and end in order when told to."""
        self.animation_level = "none"
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))
        self.set_class(self.ascii_only, "ascii")
        self._fit(self.size.width, self.size.height)
        shown = [a for a in self.actions_now if footer_label(a).strip()]
        hints = [(a.shown_keys.split(" ")[0], footer_label(a), a.id) for a in shown]
        self._keys.show(
            [(key, label) for key, label, id in hints if id not in _ALWAYS_SHOWN],
            [(key, label) for key, label, id in hints if id in _ALWAYS_SHOWN],
        )
        for complaint in self._complaints:
            self.notify(complaint, severity="warning", timeout=15, markup=False)
        self.show_all()

    def on_resize(self, event: Resize) -> None:
        """Say so when there is too little room."""
        self._fit(event.size.width, event.size.height)
        self.show_all()

    def _fit(self, width: int, height: int) -> None:
        small = width < LEAST_SIZE[0] or height < LEAST_SIZE[1]
        self.screen_stack[0].set_class(small, "too-small")
        least = f"{LEAST_SIZE[0]}×{LEAST_SIZE[1]}"
        self._small.show(f"terminal too small: needs {least}, has {width}×{height}")

    # --- showing ------------------------------------------------------------------------------

    def show_all(self) -> None:
        """Show the queue and its current item as they are now."""
        draft = self._queue.current
        with self.batch_update():
            self._header.redraw()
            self._list.redraw()
            self._view.show(
                None if draft is None else self._shown(draft), nothing_said(self._queue)
            )
            tall = self.size.height >= _LEAST_PICTURE_HEIGHT
            self._picture.show(self._path(draft) if draft is not None and tall else None)

    def _shown(self, draft: Draft) -> Shown:
        journal = self._journal
        return Shown(
            draft,
            journal.votes(draft.id),
            describe_picture(self._path(draft) if draft.image else ""),
            self._queue.metric(draft.dataset),
            journal.edited(draft.id),
        )

    def _path(self, draft: Draft) -> str:
        return str(self._journal.directory / draft.image)

    def _say(self, text: str, *, wrong: bool = False) -> None:
        """Say something on the line above the keys; nothing clears it."""
        self._said.say(line((f" {safe(text)}", "error" if wrong else "strong")))

    # --- deciding -----------------------------------------------------------------------------

    def _decide(self, action: str, state: State, said: str, **changes: Any) -> None:
        """Keep a decision and say so; what can't be kept is said in one line."""
        before = self._queue.current
        if before is None:
            return
        try:
            self._queue.decide(action, state, **changes)
        except DecidedMeanwhile as error:
            self._say(f"not kept: {error}", wrong=True)
        except sqlite3.Error as error:
            self._say(f"not kept: the journal can't be written ({error})", wrong=True)
        else:
            self.decided += 1
            if state is not State.QUEUED and before.state is State.QUEUED:
                self._queue.next_open()
            self._say(f"{before.dataset[:40]}/{before.key[:40]}: {said}")
        self.show_all()

    def action_accept(self) -> None:
        """Keep the item as it is."""
        draft = self._queue.current
        if draft is None:
            return
        if draft.gold_index is None:
            self._say("not kept: it has no key; c chooses one", wrong=True)
            return
        wrong = options_fault(draft.options)
        if wrong is not None:
            self._say(f"not kept: {wrong}", wrong=True)
            return
        self._decide("accept", State.KEPT, "kept")

    def action_drop(self) -> None:
        """Ask why, and drop the item."""
        if self._queue.current is not None:
            self.push_screen(Pick("drop it, because", DROP_REASONS), self._drop_for)

    def _drop_for(self, picked: str | None) -> None:
        if picked is None:
            return
        if picked == WRITE_IT:
            ask = Write("drop it, because", "", lambda text: None if text.strip() else "say why")
            self.push_screen(ask, self._drop)
            return
        self._drop(dict(DROP_REASONS)[picked])

    def _drop(self, reason: str | None) -> None:
        if reason is not None:
            self._decide("drop", State.DROPPED, "dropped", reason=from_line(reason))

    def _pick_option(self, title: str, then: Callable[[Draft, int], None], *, key: bool) -> None:
        """Ask for a letter; ``key`` says whether the key's own counts."""
        draft = self._queue.current
        if draft is None:
            return
        rows = [
            (LETTERS[place], option)
            for place, option in enumerate(draft.options[: len(LETTERS)])
            if key or place != draft.gold_index
        ]

        def picked(letter: str | None) -> None:
            if letter is not None:
                then(draft, LETTERS.index(letter))

        self.push_screen(Pick(title, rows), picked)

    def action_choose_key(self) -> None:
        """Ask for the letter of another key, and keep the item with it."""
        self._pick_option("the key is", self._choose_key, key=False)

    def _choose_key(self, draft: Draft, place: int) -> None:
        wrong = options_fault(draft.options)
        if wrong is not None:
            self._say(f"not kept: {wrong}", wrong=True)
            return
        said = f"kept with {LETTERS[place]} as key"
        if differs_from_answers(draft, place):
            said += "; the open form still accepts only " + " · ".join(draft.answers[:3])[:60]
        self._decide("choose_key", State.KEPT, said, gold_index=place)

    def action_edit_question(self) -> None:
        """Let the question be written anew."""
        draft = self._queue.current
        if draft is not None and self._is_short(draft.question):

            def written(text: str | None) -> None:
                if text is not None and text != as_line(draft.question):
                    self._keep_edit(draft, "edit_question", question=from_line(text))

            self.push_screen(Write("question", as_line(draft.question), question_fault), written)

    def action_edit_option(self) -> None:
        """Let one option be changed."""
        self._pick_option(
            "edit which option?", partial(self._write_option, "edit_option"), key=True
        )

    def action_replace_option(self) -> None:
        """Let one wrong option be written anew."""
        then = partial(self._write_option, "replace_option")
        self._pick_option("replace which wrong option?", then, key=False)

    def _write_option(self, action: str, draft: Draft, place: int) -> None:
        old = draft.options[place]
        if not self._is_short(old):
            return

        def changed(text: str) -> list[str]:
            return [from_line(text) if n == place else o for n, o in enumerate(draft.options)]

        def fault(text: str) -> str | None:
            return edit_fault(draft, changed(text), place, self._queue.metric(draft.dataset))

        def written(text: str | None) -> None:
            if text is not None and text != as_line(old):
                self._keep_edit(draft, action, options=changed(text))

        start = as_line(old) if action == "edit_option" else ""
        letter = LETTERS[place]
        title = f"option {letter}" if start else f"instead of {letter}: {safe(as_line(old)[:40])}"
        self.push_screen(Write(title, start, fault), written)

    def _keep_edit(self, draft: Draft, action: str, **changes: Any) -> None:
        """Keep an edit; the item stays as undecided as it was."""
        self._decide(action, draft.state, "changed", reason=draft.reason, **changes)

    def _is_short(self, text: str) -> bool:
        if len(text) <= LONGEST:
            return True
        self._say(f"{len(text):,} characters are too many to edit here", wrong=True)
        return False

    def action_undo(self) -> None:
        """Take back the last decision, also one of an earlier session."""
        try:
            draft = self._queue.undo()
        except sqlite3.Error as error:
            self._say(f"not taken back: the journal can't be written ({error})", wrong=True)
            return
        if draft is None:
            self._say("there is no decision to take back")
            return
        self.decided += 1
        self._say(f"{draft.dataset[:40]}/{draft.key[:40]}: {draft.state} again")
        self.show_all()

    # --- looking ------------------------------------------------------------------------------

    def action_go(self, by: int) -> None:
        """Go to another item."""
        self._queue.go_to(self._queue.at + by)
        self._say("")
        self.show_all()

    action_move = action_go

    def action_scroll(self, by: int) -> None:
        """Scroll the item."""
        self._view.scroll_rows(by)

    def action_next_open(self) -> None:
        """Go to the next item that is not decided."""
        self._open(1)

    def action_previous_open(self) -> None:
        """Go to the previous item that is not decided."""
        self._open(-1)

    def _open(self, by: int) -> None:
        found = self._queue.next_open(by)
        self._say("" if found else "no other item is undecided here")
        self.show_all()

    def action_next_filter(self) -> None:
        """Show other states."""
        names = list(FILTERS)
        self._queue.filter = names[(names.index(self._queue.filter) + 1) % len(names)]
        self._reload()

    def action_next_dataset(self) -> None:
        """Show the next dataset; all of them come after the last one."""
        names = [None, *self._queue.datasets()]
        at = names.index(self._queue.dataset) if self._queue.dataset in names else 0
        self._queue.dataset = names[(at + 1) % len(names)]
        self._reload()

    def action_search(self) -> None:
        """Open the line for the search."""
        self._search.open()

    def action_clear_search(self) -> None:
        """Take the search away."""
        self._search.action_clear()

    @on(Input.Changed, "#review-search")
    def _searched(self, event: Input.Changed) -> None:
        if event.value.strip() != self._queue.search:
            self._queue.search = event.value.strip()
            self._reload()

    def _reload(self) -> None:
        self._queue.load()
        self._say("")
        self.show_all()

    def action_show_path(self) -> None:
        """Say where the picture lies."""
        if self._queue.current is not None:
            self._say(self._path(self._queue.current))

    @on(QueueList.Chosen)
    def _row_chosen(self, message: QueueList.Chosen) -> None:
        self.action_go(message.at - self._queue.at)

    # --- the frame ----------------------------------------------------------------------------

    @property
    def actions_now(self) -> list[Action]:
        """What can be done."""
        return actions_on(self.TABLE, TAB, lambda hook: False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave every key to a dialog that lies on top."""
        known = {one.action.split("(")[0] for one in self.TABLE}
        return len(self.screen_stack) == 1 or action not in known

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield every action for the command palette."""
        for action in self.actions_now:
            if action.id != "palette":
                hint = f"key {action.shown_keys}   id {action.id}"
                yield SystemCommand(
                    action.description, hint, partial(self._run_chosen, action.action)
                )

    async def _run_chosen(self, action: str) -> None:
        await self.run_action(action)

    def action_next_theme(self) -> None:
        """Change to the next of dark, light and the terminal's sixteen colours."""
        look = look_of(self.current_theme)
        self.theme = theme_name(LOOKS[(LOOKS.index(look) + 1) % len(LOOKS)])

    def action_help(self) -> None:
        """Show what can be done here."""
        keymap = keymap_path().with_name(KEYMAP_NAME)
        place = safe(str(self._preferences.keys or keymap))
        self.push_screen(Help("review", self.actions_now, place, notes=NOTES))

    def action_quit_dashboard(self) -> None:
        """Leave; everything is kept already."""
        self.exit()


NOTES = (
    "each decision is kept at once, also if this ends abruptly",
    "u takes back decisions one by one, also earlier ones",
)


def run_review(journal: Journal, preferences: Preferences) -> tuple[int, int]:
    """Show a build's queue until it is left; return the exit status and how much was decided."""
    path = preferences.keys or keymap_path().with_name(KEYMAP_NAME)
    table, complaints = read_keymap(path, TABLE)

    class Keyed(Review, inherit_bindings=False):
        TABLE: ClassVar[Sequence[Action]] = table
        BINDINGS: ClassVar[list[BindingType]] = bindings(table)

    app = Keyed(journal, preferences, complaints=complaints)
    app.run()
    return app.return_code or 0, app.decided
