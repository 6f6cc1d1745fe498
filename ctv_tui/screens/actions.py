"""The one table of what can be done: bindings, footer, help, palette and key map come from it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType

_PRIORITY = ("ctrl+c", "ctrl+p", "tab", "shift+tab")
_SHOWN = {
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
    "slash": "/",
    "backslash": "\\",
    "plus": "+",
    "minus": "-",
    "underscore": "_",
    "at": "@",
    "pagedown": "PgDn",
    "pageup": "PgUp",
}
_NAMED = ("space", "tab")
_FOOTER_LONGEST = 24


@dataclass(frozen=True, slots=True)
class Action:
    """Something a person can do.

    ``action`` is Textual's action string, ``footer`` a short label for the footer. ``tab`` names
    the tab that the action belongs to, or is empty for one that every tab has; ``hook`` is what
    the visible tab must offer (a method ``do_HOOK``) for the action to exist.
    """

    id: str
    action: str
    keys: tuple[str, ...]
    shown_keys: str
    description: str
    footer: str = ""
    tab: str = ""
    hook: str = ""

    @property
    def name(self) -> str:
        """The id without its tab."""
        return self.id.removeprefix(f"{self.tab}.") if self.tab else self.id

    def with_keys(self, keys: Sequence[str]) -> Action:
        """Return the same action on other keys."""
        return replace(self, keys=tuple(keys), shown_keys=" ".join(map(shown_key, keys)))

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


def shown_key(key: str) -> str:
    """Return how a key is called on screen: ``question_mark`` is ``?``, ``down`` is ``↓``."""
    *modifiers, last = key.split("+")
    shown = _SHOWN.get(last, last)
    if shown == last and len(last) > 1 and last not in _NAMED:
        try:
            shown = unicodedata.lookup(last.replace("_", " "))
        except KeyError:
            shown = last.upper() if last[0] == "f" and last[1:].isdigit() else last
    return "+".join([*modifiers, shown])


def _hook(name: str, keys: tuple[str, ...], shown: str, description: str, footer: str) -> Action:
    return Action(name, f"hook('{name}')", keys, shown, description, footer, hook=name)


ACTIONS: tuple[Action, ...] = (
    Action("tab.next", "next_tab(1)", ("tab",), "tab", "next tab"),
    Action("tab.previous", "next_tab(-1)", ("shift+tab",), "shift+tab", "previous tab"),
    Action("move.down", "move(1)", ("j", "down", "right"), "j ↓ →", "next dataset or row"),
    Action("move.up", "move(-1)", ("k", "up", "left"), "k ↑ ←", "previous dataset or row"),
    Action("move.first", "move(-100000)", ("g", "home"), "g", "first dataset or row"),
    Action("move.last", "move(100000)", ("G", "end"), "G", "last dataset or row"),
    _hook("search", ("slash",), "/", "search", "search"),
    _hook("zoom_in", ("plus", "equals_sign"), "+", "fewer steps, the latest ones", "zoom"),
    _hook("zoom_out", ("minus",), "-", "more steps", ""),
    _hook("zoom_reset", ("0",), "0", "all steps", ""),
    Action("pause", "pause", ("space",), "space", "pause painting; reading goes on", "freeze"),
    Action("save", "save", ("s",), "s", "save this tab as SVG and text", "save"),
    Action("copy", "copy", ("y",), "y", "copy this tab's text (OSC 52)", "copy"),
    Action("theme", "next_theme", ("t",), "t", "dark, light or 16 colours", "theme"),
    Action("help", "help", ("question_mark", "f1"), "? F1", "this help", "help"),
    Action(
        "palette", "command_palette", ("colon", "ctrl+p"), ": ctrl+p", "command palette", "palette"
    ),
    Action(
        "engine",
        "pause_engine",
        ("p",),
        "p",
        "pause the engine or let it go on; asks first",
        "pause engine",
        hook="engine",
    ),
    Action(
        "quit",
        "quit_dashboard",
        ("q", "ctrl+c", "ctrl+q"),
        "q ctrl+c",
        "quit; the engine goes on",
        "quit",
    ),
)
"""What can be done on every tab; what a tab can do besides is in its own ``ACTIONS``."""


def tab_actions(tabs: Iterable[tuple[str, str]]) -> tuple[Action, ...]:
    """Return the actions that open tabs, on the number keys in their order."""
    return tuple(
        Action(f"tab.{key}", f"open_tab('{key}')", (str(number),), str(number), f"tab {name}")
        for number, (key, name) in enumerate(tabs, 1)
    )


def pane_action(
    name: str,
    keys: tuple[str, ...],
    shown_keys: str,
    description: str,
    *,
    tab: str,
    footer: str = "",
) -> Action:
    """Return an action of one tab: it calls ``do_NAME`` of the tab while that is the visible one.

    Several tabs may use the same key, and a tab's key comes before one that every tab has.
    """
    return Action(
        f"{tab}.{name}", f"pane('{tab}', '{name}')", keys, shown_keys, description, footer, tab
    )


def actions_on(table: Iterable[Action], tab: str, offers: Callable[[str], bool]) -> list[Action]:
    """Return what can be done on a tab: its own actions, then the others with the keys left.

    ``offers`` says whether the tab has a method for a hook.
    """
    table = tuple(table)
    own = [action for action in table if action.tab == tab]
    taken = {key for action in own for key in action.keys}
    names = {action.name for action in own}
    found = list(own)
    for action in table:
        if action.tab or (action.hook and (action.hook in names or not offers(action.hook))):
            continue
        left = [key for key in action.keys if key not in taken]
        if left:
            found.append(action if len(left) == len(action.keys) else action.with_keys(left))
    return found


def footer_label(action: Action) -> str:
    """Return an action's short label; a tab's own action has one in any case."""
    if action.footer or not action.tab:
        return action.footer
    label = action.description.split(";")[0].split(",")[0].strip()
    return label if len(label) <= _FOOTER_LONGEST else action.name.replace("_", " ")


def bindings(table: Iterable[Action]) -> list[BindingType]:
    """Return the bindings of every action, those of single tabs first."""
    ordered = sorted(table, key=lambda action: not action.tab)
    return [binding for action in ordered for binding in action.bindings()]
