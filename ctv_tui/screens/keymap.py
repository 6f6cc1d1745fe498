"""A person's own keys: ``keys.toml`` in the platform's folder for configuration.

Each line names an action (the ids are in the command palette) and its keys::

    quit = "ctrl+q"
    move.down = ["n", "down"]
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from platformdirs import user_config_path
from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from ctv_tui.data.safe_text import safe
from ctv_tui.screens.actions import Action, shown_key

FILE_NAME = "keys.toml"
_MODIFIERS = ("ctrl", "alt", "shift", "super", "meta")
_NAMES = frozenset(key.value for key in Keys)


def keymap_path() -> Path:
    """Return where a person's key map lies."""
    return user_config_path("ctv-tui") / FILE_NAME


def read_keymap(path: Path, table: Sequence[Action]) -> tuple[tuple[Action, ...], list[str]]:
    """Return the table with a person's keys, and one sentence for each line that can't be used.

    What can't be used keeps its default. A file that does not exist changes nothing.
    """
    place = safe(str(path))
    try:
        wanted = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tuple(table), []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return tuple(table), [f"{place}: {safe(str(error))}; the default keys stay"]
    known = {action.id: action for action in table}
    complaints: list[str] = []
    chosen: dict[str, tuple[str, ...]] = {}
    for id, value in _flat(wanted):
        if id not in known:
            complaints.append(f"{place}: there is no action {safe(id)!r}")
            continue
        keys = [value] if isinstance(value, str) else value
        if not isinstance(keys, list) or not keys or not all(isinstance(k, str) for k in keys):
            complaints.append(f"{place}: {id} must be a key or a list of keys; {_stays(known[id])}")
            continue
        names = [key_name(key) for key in keys]
        bad = next((key for key, name in zip(keys, names, strict=True) if name is None), None)
        if bad is not None:
            complaints.append(f"{place}: {id}: {safe(bad)!r} is not a key; {_stays(known[id])}")
            continue
        chosen[id] = tuple(name for name in names if name is not None)
    clash = _clash(table, chosen)
    while clash is not None:
        loser, key, winner = clash
        complaints.append(
            f"{place}: {loser}: {shown_key(key)!r} is already the key of {winner};"
            f" {_stays(known[loser])}"
        )
        del chosen[loser]
        clash = _clash(table, chosen)
    return _changed(table, chosen), complaints


def key_name(key: str) -> str | None:
    """Return Textual's name of a key (``?`` is ``question_mark``), or None if there is no such."""
    if len(key) == 1:
        if key.isalnum():
            return key
        return _name_of_character(key)
    *modifiers, last = key.split("+")
    if any(modifier not in _MODIFIERS for modifier in modifiers):
        return None
    if len(last) == 1 and (last.isalnum() or _name_of_character(last)):
        end = last if last.isalnum() else _name_of_character(last)
        return "+".join([*modifiers, end or last])
    return key if last in _NAMES or key in _NAMES or _is_character_name(last) else None


def _name_of_character(character: str) -> str | None:
    if character == " ":
        return "space"
    if not character.isprintable():
        return None
    try:
        name = unicodedata.name(character).lower().replace("-", "_").replace(" ", "_")
    except ValueError:
        return None
    return KEY_NAME_REPLACEMENTS.get(name, name)


def _is_character_name(name: str) -> bool:
    if name in KEY_NAME_REPLACEMENTS.values():
        return True
    try:
        return bool(unicodedata.lookup(name.replace("_", " ")))
    except KeyError:
        return False


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield ids: ``move.down`` without quotes is a table in TOML."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _changed(table: Sequence[Action], chosen: Mapping[str, tuple[str, ...]]) -> tuple[Action, ...]:
    return tuple(
        action.with_keys(chosen[action.id]) if action.id in chosen else action for action in table
    )


def _clash(
    table: Sequence[Action], chosen: Mapping[str, tuple[str, ...]]
) -> tuple[str, str, str] | None:
    """Return a chosen action, its key and the action that has it already on the same tab."""
    owners: dict[tuple[str, str], str] = {}
    for action in sorted(_changed(table, chosen), key=lambda action: action.id in chosen):
        for key in action.keys:
            owner = owners.setdefault((action.tab, key), action.id)
            if owner != action.id and action.id in chosen:
                return action.id, key, owner
    return None


def _stays(action: Action) -> str:
    return f"the default {action.shown_keys} stays"
