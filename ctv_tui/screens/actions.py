"""The one table of what a person can do. Key bindings and the help screen are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding, BindingType

_PRIORITY = ("ctrl+c", "ctrl+p", "tab", "shift+tab")


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the app: Textual's action string, the keys, what it does, and help's words."""

    id: str
    action: str
    keys: tuple[str, ...]
    shown_keys: str
    description: str

    def bindings(self) -> list[BindingType]:
        """Return Textual's bindings. A letter has no priority: it may be text that is typed."""
        return [
            Binding(
                key,
                self.action,
                self.description,
                id=self.id,
                show=False,
                priority=key in _PRIORITY,
                tooltip=self.description,
            )
            for key in self.keys
        ]


TABS = (
    ("trajectories", "Trajectories"),
    ("gpus", "GPUs"),
    ("latency", "Latency"),
    ("correlation", "Correlation"),
    ("items", "Items"),
)

ACTIONS: tuple[Action, ...] = (
    *(
        Action(f"tab.{key}", f"open_tab('{key}')", (str(number),), str(number), f"tab {name}")
        for number, (key, name) in enumerate(TABS, 1)
    ),
    Action("tab.next", "next_tab(1)", ("tab",), "tab", "next tab"),
    Action("tab.previous", "next_tab(-1)", ("shift+tab",), "shift+tab", "previous tab"),
    Action("move.down", "move(1)", ("j", "down", "right"), "j ↓ →", "next dataset or row"),
    Action("move.up", "move(-1)", ("k", "up", "left"), "k ↑ ←", "previous dataset or row"),
    Action("move.first", "move(-100000)", ("g", "home"), "g", "first dataset or row"),
    Action("move.last", "move(100000)", ("G", "end"), "G", "last dataset or row"),
    Action("pause", "pause", ("space",), "space", "pause painting; reading goes on"),
    Action("theme", "next_theme", ("t",), "t", "dark or light"),
    Action("help", "help", ("question_mark", "f1"), "? F1", "this help"),
    Action("palette", "command_palette", ("colon", "ctrl+p"), ": ctrl+p", "command palette"),
    Action(
        "quit", "quit_dashboard", ("q", "ctrl+c", "ctrl+q"), "q ctrl+c", "quit; the engine goes on"
    ),
)
"""What can be done on every tab; what a tab can do besides is in its own ``ACTIONS``."""


def pane_action(
    name: str, keys: tuple[str, ...], shown_keys: str, description: str, *, tab: str
) -> Action:
    """Return an action of one tab: it calls ``do_NAME`` of the tab while that is the visible one.

    Several tabs may use the same key.
    """
    return Action(f"{tab}.{name}", f"pane('{tab}', '{name}')", keys, shown_keys, description)


def bindings(more: Iterable[Action] = ()) -> list[BindingType]:
    """Return the bindings of every action."""
    return [binding for action in (*ACTIONS, *more) for binding in action.bindings()]
