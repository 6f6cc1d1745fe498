"""What can be done in a review: bindings, footer, help, palette and key map come from it."""

from __future__ import annotations

from dataclasses import replace

from ctv_tui.screens.actions import ACTIONS, Action

TAB = "review"
_LEAVE = "leave; every decision is kept already"
_SHARED = ("move.first", "move.last", "theme", "help", "palette", "quit")


def _action(
    name: str, keys: tuple[str, ...], shown: str, description: str, footer: str = ""
) -> Action:
    return Action(f"{TAB}.{name}", name, keys, shown, description, footer, TAB)


def _shared(action: Action) -> Action:
    """Return an action of the dashboard as one of the review."""
    description = (
        _LEAVE if action.id == "quit" else action.description.replace("dataset or row", "item")
    )
    return replace(action, description=description, footer=action.footer or " ", tab=TAB)


TABLE: tuple[Action, ...] = (
    _action("accept", ("a", "enter"), "a enter", "keep the item as it is", "keep"),
    _action("drop", ("x", "delete"), "x", "drop the item, with a reason", "drop"),
    _action("choose_key", ("c",), "c", "another key, by its letter; keeps the item", "other key"),
    _action("edit_question", ("e",), "e", "edit the question", "question"),
    _action("edit_option", ("w",), "w", "edit an option", "option"),
    _action("replace_option", ("r",), "r", "replace a wrong option", "replace"),
    _action("undo", ("u",), "u", "take back the last decision", "undo"),
    _action("next_open", ("n",), "n", "next item that is not decided", "next open"),
    _action("previous_open", ("N",), "N", "previous item that is not decided", " "),
    _action("next_filter", ("f",), "f", "show queued, all, kept, dropped", "show"),
    _action("next_dataset", ("d",), "d", "next dataset", "dataset"),
    _action("search", ("slash",), "/", "search questions, options, reasons", "search"),
    _action("clear_search", ("escape",), "esc", "no search", " "),
    _action("show_path", ("o",), "o", "say where the picture lies", "path"),
    Action("review.next", "go(1)", ("j", "down"), "j ↓", "next item", " ", TAB),
    Action("review.previous", "go(-1)", ("k", "up"), "k ↑", "previous item", " ", TAB),
    Action("review.down", "scroll(8)", ("pagedown", "J"), "PgDn J", "scroll down", " ", TAB),
    Action("review.up", "scroll(-8)", ("pageup", "K"), "PgUp K", "scroll up", " ", TAB),
    *(_shared(action) for action in ACTIONS if action.id in _SHARED),
)

DROP_REASONS: tuple[tuple[str, str], ...] = (
    ("1", "the key is wrong"),
    ("2", "more than one option is right"),
    ("3", "the question is unclear"),
    ("4", "the picture does not answer it"),
    ("5", "the picture can't be read"),
    ("6", "the wrong options give the key away"),
    ("7", "another reason: write it"),
)
WRITE_IT = "7"
