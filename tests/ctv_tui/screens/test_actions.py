"""What can be done on every tab: footer, help, palette, saving, copying, zooming, searching."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_run
from driving import SIZES, app_showing, screen_text, settled
from textual.widgets import Input

from ctv_tui.app import COPIED_MOST, TABLE, TABS, SnapshotRead
from ctv_tui.data import Snapshot
from ctv_tui.data.snapshot import Engine, Event
from ctv_tui.preferences import Preferences
from ctv_tui.screens.actions import ACTIONS, Action, actions_on, footer_label, pane_action
from ctv_tui.screens.saving import save
from ctv_tui.widgets.footer import key_line
from ctv_tui.widgets.lines import text_of


def event(id: int, level: str = "info", message: str = "", step: int | None = None) -> Event:
    return Event(id, 1_790_000_000.0 + id, level, "engine", message or f"event {id}", step)  # type: ignore[arg-type]


# --- the table ----------------------------------------------------------------------------------


def test_a_tabs_own_key_comes_before_the_common_one() -> None:
    own = pane_action("hide_gold", ("g",), "g", "hide gold", tab="here")
    found = actions_on([*ACTIONS, own], "here", lambda hook: False)
    assert found[0] == own
    first = next(action for action in found if action.id == "move.first")
    assert first.keys == ("home",) and first.shown_keys == "home"
    elsewhere = actions_on([*ACTIONS, own], "there", lambda hook: False)
    assert own not in elsewhere
    assert next(a for a in elsewhere if a.id == "move.first").keys == ("g", "home")


def test_a_hook_is_offered_where_the_tab_has_it_and_once() -> None:
    def ids(table: list[Action], offers: bool) -> list[str]:
        return [a.id for a in actions_on(table, "here", lambda hook: offers)]

    assert "search" not in ids([*ACTIONS], False)
    assert "search" in ids([*ACTIONS], True)
    own = pane_action("search", ("slash",), "/", "search items", tab="here")
    assert [id for id in ids([*ACTIONS, own], True) if "search" in id] == ["here.search"]


@pytest.mark.parametrize(
    ("description", "footer", "label"),
    [
        ("smoothing", "", "smoothing"),
        ("hide gold; again shows it", "", "hide gold"),
        ("a sentence that is far too long for a footer", "", "some name"),
        ("a sentence that is far too long for a footer", "short", "short"),
    ],
)
def test_a_tabs_action_always_has_a_label(description: str, footer: str, label: str) -> None:
    action = pane_action("some_name", ("x",), "x", description, tab="t", footer=footer)
    assert footer_label(action) == label


def test_the_footer_leaves_out_whole_keys_and_never_the_way_out() -> None:
    hints = [(letter, "something") for letter in "abcdef"]
    for width in range(20, 100):
        text = text_of(key_line(hints, [("?", "help"), ("q", "quit")], width))
        assert len(text) == width and text.endswith("? help  q quit ")
        assert text.count("something") == sum(f"{h} something" in text for h, _ in hints)


@pytest.mark.parametrize("size", SIZES)
async def test_the_footer_shows_the_visible_tabs_keys(
    snapshot: Snapshot, now: float, size: tuple[int, int]
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=size) as pilot:
        footer = (await settled(pilot)).splitlines()[-1]
        assert "+ zoom" in footer and "l level" not in footer and "/ search" not in footer
        app.tab = "events"
        footer = (await settled(pilot)).splitlines()[-1]
        assert "l level" in footer and "/ search" in footer and "+ zoom" not in footer


async def test_the_palette_has_every_action_with_its_description(
    snapshot: Snapshot, now: float
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        offered = {c.title: c for c in app.get_system_commands(app.screen)}
        for action in TABLE:
            gone = action.id == "palette" or (
                action.hook and not app._panes[app.tab].offers(action.hook)
            )
            names = {action.description}
            if action.tab:
                names.add(f"{dict(TABS)[action.tab]}: {action.description}")
            found = names & offered.keys()
            assert bool(found) != gone, action.id
        level = next(title for title in offered if title.startswith("Events: level"))
        await offered[level].callback()  # type: ignore[misc]
        assert "warnings and errors · newest first" in await settled(pilot)
        assert app.tab == "events"


async def test_the_palette_finds_an_action_by_its_words(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon")
        await settled(pilot)
        await pilot.press(*"correlation")
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert app.tab == "correlation"


async def test_help_shows_the_visible_tabs_own_actions_first(
    snapshot: Snapshot, now: float
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tab = "events"
        await pilot.press("question_mark")
        text = await settled(pilot)
        assert text.index("newest first, or oldest") < text.index("every tab") < text.index("quit;")


async def test_help_scrolls_where_it_does_not_fit(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("question_mark")
        assert "more ↓" in await settled(pilot)
        await pilot.press(*["j"] * 40)
        assert "your keys:" in await settled(pilot)


# --- saving and copying -------------------------------------------------------------------------


@pytest.mark.parametrize("tab", [key for key, _ in TABS])
async def test_s_saves_a_picture_and_the_text_and_says_where(
    snapshot: Snapshot, now: float, tmp_path: Path, tab: str
) -> None:
    app = app_showing(snapshot, now, Preferences(save_dir=tmp_path / "shots"))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        app.tab = tab
        await settled(pilot)
        await pilot.press("s")
        shown = await settled(pilot)
    (svg,) = (tmp_path / "shots").glob("*.svg")
    (txt,) = (tmp_path / "shots").glob("*.txt")
    assert svg.stem == txt.stem and svg.stem.startswith(f"ctv-tui-qwen-sft-3-{tab}-")
    assert svg.read_text().startswith("<svg") and "qwen-sft-3" in svg.read_text()
    assert "scoring checkpoint-1000" in txt.read_text() and "\x1b" not in txt.read_text()
    assert len(txt.read_text().splitlines()) > 10
    assert "saved" in shown


def test_saving_overwrites_nothing_and_takes_no_path_from_a_name(tmp_path: Path) -> None:
    name = f"../../etc/{recorded_run.HOSTILE}" + "x" * 300
    first = save(tmp_path, name, 0.0, "<svg/>", "one")
    second = save(tmp_path, name, 0.0, "<svg/>", "two")
    assert first != second
    assert {path.parent for path in (*first, *second)} == {tmp_path}
    assert (first[1].read_text(), second[1].read_text()) == ("one", "two")


async def test_a_folder_that_can_not_be_written_to_is_a_sentence(
    snapshot: Snapshot, now: float, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    app = app_showing(snapshot, now, Preferences(save_dir=tmp_path / "file" / "shots"))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("s")
        assert "not saved" in await settled(pilot)
        assert app.is_running


async def test_y_copies_the_tab_or_its_selection(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("y")
        assert "closed" in app.clipboard and "macro mean" in app.clipboard
        app.tab = "events"
        await settled(pilot)
        await pilot.press("j", "y")
        assert app.clipboard.endswith("warning capped: 9 % of the open answers hit the limit")


async def test_what_is_copied_has_no_controls_and_an_end(snapshot: Snapshot, now: float) -> None:
    huge = event(1, "error", recorded_run.HOSTILE + "x" * 200_000)
    app = app_showing(replace(snapshot, events=(huge,)), now)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tab = "events"
        await settled(pilot)
        await pilot.press("y")
        assert len(app.clipboard) == COPIED_MOST
        assert app.clipboard.isprintable()


# --- zoom ---------------------------------------------------------------------------------------


async def test_plus_shows_the_latest_half_and_0_all_again(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        before = await settled(pilot)
        await pilot.press("plus")
        text = await settled(pilot)
        assert "macro mean · from step 500" in text
        await pilot.press("plus")
        assert "from step 750" in await settled(pilot)
        await pilot.press("minus")
        assert "from step 500" in await settled(pilot)
        await pilot.press("0")
        assert await settled(pilot) == before


# --- events -------------------------------------------------------------------------------------


@pytest.fixture
def eventful(snapshot: Snapshot) -> Snapshot:
    levels = {3: "warning", 5: "error"}
    events = [event(n, levels.get(n, "info"), step=n * 100) for n in range(1, 31)]
    return replace(snapshot, events=tuple(events))


def rows(text: str) -> list[int]:
    """The numbers of the events in the table, top to bottom."""
    return [int(n) for n in re.findall(r"engine +\d* +event (\d+)", text)]


async def test_events_are_filtered_by_level_and_text(eventful: Snapshot, now: float) -> None:
    app = app_showing(eventful, now)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tab = "events"
        assert rows(await settled(pilot)) == list(range(30, 2, -1))
        await pilot.press("l")
        assert rows(await settled(pilot)) == [5, 3]
        await pilot.press("l")
        assert rows(await settled(pilot)) == [5]
        await pilot.press("l", "slash")
        await pilot.press(*"event 2")
        assert rows(await settled(pilot)) == [*range(29, 19, -1), 2]
        await pilot.press("enter", "j", "q")
        await settled(pilot)
        assert not app.is_running, "enter keeps the filter and gives the keys back"


async def test_escape_takes_a_search_away(eventful: Snapshot, now: float) -> None:
    app = app_showing(eventful, now)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tab = "events"
        await settled(pilot)
        await pilot.press("slash", *"quite q")
        text = await settled(pilot)
        assert "no event fits the filter" in text and app.is_running
        assert "0 of 30" in text
        await pilot.press("escape")
        text = await settled(pilot)
        assert "30 of 30" in text and not app.query_one("#event-search", Input).display


async def test_a_selected_event_stays_selected_while_others_come(
    eventful: Snapshot, now: float
) -> None:
    app = app_showing(eventful, now)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tab = "events"
        await settled(pilot)
        await pilot.press("j", "j")
        assert "▸" in next(row for row in screen_text(app).splitlines() if "event 28" in row)
        more = (*eventful.events, event(31), event(32))
        app.post_message(SnapshotRead(replace(eventful, events=more)))
        text = await settled(pilot)
        assert rows(text)[0] == 32
        assert "▸" in next(row for row in text.splitlines() if "event 28" in row)


async def test_following_stays_at_the_end(eventful: Snapshot, now: float) -> None:
    app = app_showing(eventful, now)
    async with app.run_test(size=(120, 24)) as pilot:
        app.tab = "events"
        await settled(pilot)
        await pilot.press("f")
        text = await settled(pilot)
        assert rows(text)[-1] == 30 and rows(text) == sorted(rows(text))
        more = (*eventful.events, event(31))
        app.post_message(SnapshotRead(replace(eventful, events=more)))
        assert rows(await settled(pilot))[-1] == 31
        await pilot.press("g")
        assert rows(await settled(pilot))[0] == 1


async def test_a_click_selects_an_event(eventful: Snapshot, now: float) -> None:
    app = app_showing(eventful, now)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tab = "events"
        await settled(pilot)
        await pilot.click("#event-table", offset=(10, 6))
        text = await settled(pilot)
        assert "▸" in next(row for row in text.splitlines() if "event 26" in row)


# --- the engine ---------------------------------------------------------------------------------


def with_engine(snapshot: Snapshot, now: float, state: str) -> Snapshot:
    engine = Engine(1, "node-7", state, now - 1, "0")  # type: ignore[arg-type]
    return replace(snapshot, engine=engine)


@pytest.mark.parametrize(
    ("state", "keys", "asked"),
    [
        ("scoring", ["p", "y"], [True]),
        ("idle", ["p", "enter"], [True]),
        ("paused", ["p", "y"], [False]),
        ("scoring", ["p", "n"], []),
        ("scoring", ["p", "escape"], []),
        ("stopped", ["p", "y"], []),
    ],
)
async def test_p_asks_before_it_pauses_or_resumes_the_engine(
    snapshot: Snapshot, now: float, state: str, keys: list[str], asked: list[bool]
) -> None:
    got: list[bool] = []
    app = app_showing(with_engine(snapshot, now, state), now, engine_switch=got.append)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press(keys[0])
        text = await settled(pilot)
        assert got == []
        wanted = {"paused": "let the engine go on?", "stopped": "no engine to pause: stopped"}
        assert wanted.get(state, "pause the engine?") in text
        await pilot.press(keys[1])
        await settled(pilot)
        assert got == asked and app.is_running


async def test_an_engine_that_can_not_be_asked_is_a_sentence(
    snapshot: Snapshot, now: float
) -> None:
    def refuse(pause: bool) -> None:
        raise PermissionError(13, "Permission denied")

    app = app_showing(with_engine(snapshot, now, "scoring"), now, engine_switch=refuse)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("p", "y")
        assert "Permission denied" in await settled(pilot)


async def test_without_a_switch_p_is_not_offered(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(160, 45)) as pilot:
        assert "pause engine" not in (await settled(pilot)).splitlines()[-1]
        await pilot.press("p")
        assert "pause the engine?" not in await settled(pilot)
