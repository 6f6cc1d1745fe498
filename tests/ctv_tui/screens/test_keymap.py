"""A person's own keys: what can be used is used, what can't is said in one line and left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import app_showing, settled

from ctv_tui.app import TABLE, with_keys
from ctv_tui.data import Snapshot
from ctv_tui.screens.actions import shown_key
from ctv_tui.screens.keymap import key_name, read_keymap


def keys_of(table: object, id: str) -> tuple[str, ...]:
    return next(action.keys for action in table if action.id == id)  # type: ignore[attr-defined]


DEFAULTS = {action.id: action.keys for action in TABLE}


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    assert read_keymap(tmp_path / "keys.toml", TABLE) == (TABLE, [])


def test_keys_are_replaced_by_id(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('quit = "ctrl+x"\nmove.down = ["n", "?", "down"]\n"help" = "h"\n')
    table, complaints = read_keymap(file, TABLE)
    assert complaints == []
    assert keys_of(table, "quit") == ("ctrl+x",)
    assert keys_of(table, "move.down") == ("n", "question_mark", "down")
    shown = next(action.shown_keys for action in table if action.id == "move.down")
    assert shown == "n ? ↓"
    unchanged = [a.id for a in table if a.id not in ("quit", "move.down", "help")]
    assert all(keys_of(table, id) == DEFAULTS[id] for id in unchanged)


def test_two_actions_may_swap_their_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('save = "y"\ncopy = "s"\n')
    table, complaints = read_keymap(file, TABLE)
    assert complaints == []
    assert (keys_of(table, "save"), keys_of(table, "copy")) == (("y",), ("s",))


@pytest.mark.parametrize(
    ("text", "said", "id"),
    [
        ('quitt = "x"', "there is no action 'quitt'", "quit"),
        ('quit = "flurb"', "quit: 'flurb' is not a key; the default q ctrl+c stays", "quit"),
        ('quit = "hyper+x"', "'hyper+x' is not a key", "quit"),
        ('quit = "\\u0007"', "'\\\\x07' is not a key", "quit"),
        ("quit = 3", "quit must be a key or a list of keys", "quit"),
        ("quit = []", "quit must be a key or a list of keys", "quit"),
        ('quit = ["x", 3]', "quit must be a key or a list of keys", "quit"),
        ('save = "t"', "save: 't' is already the key of theme; the default s stays", "save"),
        ("quit = ", "the default keys stay", "quit"),
        ('"\\u001b[2J" = "x"', "there is no action '\\\\x1b[2J'", "quit"),
    ],
)
def test_what_can_not_be_used_is_one_line_and_the_default_stays(
    tmp_path: Path, text: str, said: str, id: str
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    table, complaints = read_keymap(file, TABLE)
    assert len(complaints) == 1
    assert said in complaints[0] and "\n" not in complaints[0] and "\x1b" not in complaints[0]
    assert complaints[0].startswith(str(file))
    assert keys_of(table, id) == DEFAULTS[id]


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(b"\xff\xfe\x00quit")
    table, complaints = read_keymap(file, TABLE)
    assert table == TABLE and len(complaints) == 1


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("q", "q"),
        ("G", "G"),
        ("7", "7"),
        ("?", "question_mark"),
        ("/", "slash"),
        ("+", "plus"),
        ("~", "tilde"),
        (" ", "space"),
        ("f5", "f5"),
        ("ctrl+s", "ctrl+s"),
        ("ctrl+?", "ctrl+question_mark"),
        ("alt+pagedown", "alt+pagedown"),
        ("question_mark", "question_mark"),
        ("", None),
        ("qq", None),
        ("ctrl+", None),
    ],
)
def test_names_of_keys(typed: str, name: str | None) -> None:
    assert key_name(typed) == name


@pytest.mark.parametrize(
    ("key", "shown"),
    [("question_mark", "?"), ("down", "↓"), ("f1", "F1"), ("ctrl+p", "ctrl+p"), ("tilde", "~")],
)
def test_keys_are_shown_as_they_are_typed(key: str, shown: str) -> None:
    assert shown_key(key) == shown


async def test_own_keys_work_and_are_what_footer_and_help_show(
    snapshot: Snapshot, now: float, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('quit = "ctrl+x"\nhelp = "h"\ntab.events = "e"\n')
    table, _ = read_keymap(file, TABLE)
    app = app_showing(snapshot, now, of=with_keys(table), complaints=["keys.toml: a complaint"])
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        text = await settled(pilot)
        assert "h help  ctrl+x quit" in text.splitlines()[-1]
        assert "keys.toml: a complaint" in text
        await pilot.press("e")
        assert app.tab == "events"
        await pilot.press("h")
        assert "ctrl+x" in await settled(pilot)
        await pilot.press("escape", "q", "1", "7")
        assert app.is_running and app.tab == "overview"
        await pilot.press("ctrl+x")
        await settled(pilot)
        assert not app.is_running
