"""The tabs Items and GPUs driven by keys and clicks, read from a recorded database."""

from __future__ import annotations

import re
import shutil
import sqlite3
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import recorded_items
import recorded_run
from textual.pilot import Pilot
from textual.widgets import Input
from waiting import LOOK_S, Patience

from ctv_tui.app import Dashboard
from ctv_tui.data import follow
from ctv_tui.data.safe_text import cells
from ctv_tui.data.wishes import Wishes
from ctv_tui.preferences import Preferences
from ctv_tui.theme import DARK, LIGHT

SIZES = [(80, 24), (120, 40), (160, 45)]


def screen_text(app: Dashboard) -> str:
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


class Driven:
    """A dashboard that follows a database, with its pilot."""

    def __init__(self, app: Dashboard, pilot: Pilot[None], wishes: Wishes) -> None:
        self.app, self.pilot, self.wishes = app, pilot, wishes

    async def shows(self, *parts: str, without: str = "\0") -> str:
        """Wait until the screen has all ``parts``; return its text once it stands still."""
        patience = Patience()
        text, before = screen_text(self.app), ""
        while not all(part in text for part in parts) or without in text or text != before:
            assert not patience.is_over(), f"{parts} without {without!r}:\n{text}"
            await self.pilot.pause(LOOK_S)
            text, before = screen_text(self.app), text
        return text

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)


@asynccontextmanager
async def driven(
    db: Path, now: float, tab: str, size: tuple[int, int] = (120, 40), theme: str = DARK
) -> AsyncIterator[Driven]:
    wishes = Wishes()
    app = Dashboard(
        lambda stop: follow(db, stop, poll_s=0.02, wishes=wishes),
        wishes=wishes,
        preferences=Preferences("dark" if theme == DARK else "light"),
        now=lambda: now,
    )
    async with app.run_test(size=size) as pilot:
        one = Driven(app, pilot, wishes)
        await one.shows("1 Overview")
        app.tab = tab
        await one.shows("time line" if tab == "gpus" else "filter", without="reading…")
        yield one


@pytest.fixture
def items_db(items_recording: tuple[Path, float], tmp_path: Path) -> tuple[Path, float]:
    """A copy of the recording whose pictures have paths that are the same everywhere."""
    path = Path(shutil.copy(items_recording[0], tmp_path / "run.db"))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE items SET image = '/suites/mixed/images/' || dataset || '.png'")
    connection.commit()
    connection.close()
    return path, items_recording[1] + 2.0


def row_of(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if start in row)


# --- items ----------------------------------------------------------------------------------------


async def test_filters_orders_and_datasets_have_keys_both_ways(
    items_db: tuple[Path, float],
) -> None:
    async with driven(*items_db, "items") as one:
        await one.press("[")
        await one.shows("items · checkpoint-800", "96 of 96", "changed since step 700")
        await one.press("f")
        await one.shows("closed wrong, open right", "12 of 96")
        await one.press("f", "f", "f")
        await one.shows("f filter failed", "1 of 96", "failed: image can't be")
        await one.press("f")
        await one.shows("f filter all", "96 of 96")
        await one.press("F")
        await one.shows("f filter failed")
        await one.press("f", "o")
        text = await one.shows("o order option mass", "96 of 96")
        assert ".39" in row_of(text, "▸")
        await one.press("O", "O")
        text = await one.shows("o order longest answer")
        assert "0-01" in row_of(text, "▸")
        await one.press("o", "d", "d")
        await one.shows("o order suite", "DocVQA (2 of 4)", "24 of 24", without="MathVista")
        await one.press("D", "D")
        await one.shows("d dataset all")
        await one.press("D")
        await one.shows("VizWiz (4 of 4)")


async def test_moving_reaches_both_ends_and_the_wheel_and_clicks_select(
    items_db: tuple[Path, float],
) -> None:
    async with driven(*items_db, "items", size=(80, 24)) as one:
        assert "0-00" in row_of(screen_text(one.app), "▸")
        await one.press("j", "down")
        await one.shows("▸ChartQA    0-02")
        await one.press("G")
        await one.shows("▸VizWiz     7-11")
        await one.press("k")
        await one.shows("▸VizWiz     7-10")
        await one.press("g")
        await one.shows("▸ChartQA    0-00")
        await one.pilot._post_mouse_events([_scroll()], widget="#item-list", offset=(5, 6))
        await one.shows("▸ChartQA    0-03")
        await one.pilot.click("#item-list", offset=(5, 8))
        await one.shows("▸ChartQA    0-05")
        await one.pilot.click("#item-list", offset=(5, 8))
        await one.shows("ChartQA · 0-05", "image can't be read")


def _scroll() -> type:
    from textual.events import MouseScrollDown

    return MouseScrollDown


async def test_an_item_opens_turns_scrolls_and_closes(items_db: tuple[Path, float]) -> None:
    async with driven(*items_db, "items", size=(80, 24)) as one:
        await one.press("j", "enter")
        text = await one.shows("ChartQA · 0-01", "2 of 96", "104,", "more characters", "cut at")
        assert "/suites/mixed/images/ChartQA.png" in text and "no such file here" in text
        assert "accepted 14 · fourteen" in text and "B✓ 14" in text
        await one.press("n")
        await one.shows("ChartQA · 0-02", "3 of 96")
        await one.press("N", "N")
        await one.shows("ChartQA · 0-00", "1 of 96")
        await one.press("[", "[")
        text = await one.shows("at step 700", "▸700")
        await one.press("]", "]", "]")
        await one.shows("at step 900", "▸900")
        await one.press("escape")
        await one.shows("items · checkpoint-900", "▸ChartQA    0-00")


async def test_an_item_that_is_longer_than_the_screen_scrolls(
    items_db: tuple[Path, float],
) -> None:
    async with driven(*items_db, "items", size=(60, 16)) as one:
        await one.press("G", "enter")
        await one.shows("VizWiz · 7-11", "Is the stove on?", "more characters", "more ↓")
        await one.press("j", "j", "j")
        await one.shows("…/mixed/images/VizWiz.png", without="│ question")
        await one.press("G")
        await one.shows("100–200", "open answers", without="more ↓")
        await one.press("g")
        await one.shows("│ question")


async def test_a_search_is_typed_kept_and_ended(items_db: tuple[Path, float]) -> None:
    async with driven(*items_db, "items") as one:
        await one.press("slash", *"shirt")
        await one.shows("/ search shirt", "12 of 96")
        assert one.app.focused is one.app.query_one(Input)
        await one.press("enter")
        await one.shows("/ search shirt")
        assert one.app.focused is None
        await one.press("j", "enter")
        await one.shows("VizWiz · 6-01", "2 of 12")
        await one.press("slash")
        await one.shows("/ search shirt")
        await one.press("end", *" q")
        await one.shows("/ search shirt q", "no item is like that", "0 of 96")
        assert one.app.is_running
        await one.press("escape")
        await one.shows("/ search none", "96 of 96")
        await one.press("slash", *"xyz", "enter")
        await one.shows("0 of 96")
        await one.press("escape")
        await one.shows("96 of 96")


async def test_nothing_is_asked_while_another_tab_is_looked_at(
    items_db: tuple[Path, float],
) -> None:
    async with driven(*items_db, "items") as one:
        await one.press("f", "enter")
        assert one.wishes.now.items is not None
        await one.press("1")
        await one.shows("macro mean")
        assert one.wishes.now.items is None and one.wishes.now.item_id is None
        one.app.tab = "items"
        await one.pilot.pause()
        assert one.wishes.now.items is not None


async def test_a_long_list_is_loaded_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    recorder = recorded_items.ItemRecorder(path, gpus=2, copies=120)
    recorder.evaluate(100, together=True)
    recorder.writer.close()
    async with driven(path, recorder.clock.now, "items") as one:
        await one.shows("960 of 960")
        await one.press("G")
        await one.shows("▸VizWiz     7-119")
        first = one.wishes.now.items.first  # type: ignore[union-attr]
        assert first > 600
        await one.press("k", "k", "enter")
        await one.shows("VizWiz · 7-117", "958 of 960")
        await one.press("escape", "g")
        await one.shows("▸ChartQA    0-00")


async def test_paused_painting_says_how_to_go_on(items_db: tuple[Path, float]) -> None:
    async with driven(*items_db, "items") as one:
        await one.press("space", "enter")
        await one.shows("painting is paused: space goes on")
        await one.press("space")
        await one.shows("ChartQA · 0-00")


# --- GPUs -----------------------------------------------------------------------------------------


async def test_another_checkpoint_is_chosen_and_newer_ones_are_followed_again(
    items_db: tuple[Path, float],
) -> None:
    async with driven(*items_db, "gpus") as one:
        text = await one.shows("time line · checkpoint-900", "together", "running")
        assert "GPU is lost" in text and "no reading for 42 s" in text
        assert "n/a" in row_of(text, "cuda:3 GPU") and " ? " in row_of(text, "cuda:4 GPU")
        await one.press("[")
        text = await one.shows("time line · checkpoint-800", "together", "idle 10 %")
        assert "▸      800" in text and "╱" in row_of(text, "cuda:2 ▒")
        await one.press("[", "[", "[", "[", "[")
        text = await one.shows("time line · checkpoint-300", "closed 1.44 s", "open 2.70 s")
        assert "max/mean busy 1.15 cuda:0" in text and "▸      300" in text
        await one.press("[", "[", "[", "[", "[")
        await one.shows("time line · checkpoint-100")
        await one.press("]")
        await one.shows("time line · checkpoint-200")
        await one.press(*"]]]]]]]]]")
        await one.shows("time line · checkpoint-900")
        assert one.wishes.now.checkpoint_id is None


async def test_the_choice_of_a_checkpoint_is_that_of_both_tabs(
    items_db: tuple[Path, float],
) -> None:
    async with driven(*items_db, "gpus") as one:
        await one.press("[", "[")
        await one.shows("time line · checkpoint-700")
        one.app.tab = "items"
        await one.shows("items · checkpoint-700")


@pytest.mark.parametrize("size", SIZES)
async def test_more_gpus_than_rows_scroll_with_their_lanes(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "run.db"
    now = recorded_items.record_items(path, gpus=40)
    async with driven(path, now + 2.0, "gpus", size=size) as one:
        text = await one.shows("cuda:0 ", "more workers", "more ↓ j k")
        assert "cuda:39 GPU" not in text
        await one.press("G")
        text = await one.shows("cuda:39 ▒", "cuda:39 GPU", "above")
        assert "cuda:0 GPU" not in text
        await one.press("g")
        await one.shows("cuda:0 GPU")


async def test_few_gpus_leave_the_keys_to_the_table_of_evaluations(db: Path, now: float) -> None:
    async with driven(db, now, "gpus", size=(80, 24)) as one:
        await one.shows("134/220")
        await one.press("G")
        text = await one.shows("  100  closed")
        assert "cuda:0" in text and "cuda:1" in text


# --- looks ----------------------------------------------------------------------------------------

VIEWS: list[tuple[str, str, tuple[str, ...]]] = [
    ("gpus_running", "gpus", ()),
    ("gpus_apart", "gpus", ("[",) * 7),
    ("items", "items", ()),
    ("item", "items", ("enter",)),
    ("item_hostile", "items", ("slash", "5", "-", "0", "0", "enter", "enter")),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "tab", "keys"), VIEWS)
async def test_screens_as_text(
    items_db: tuple[Path, float],
    golden: Callable[[str, str], None],
    name: str,
    tab: str,
    keys: tuple[str, ...],
    size: tuple[int, int],
) -> None:
    async with driven(*items_db, tab, size=size) as one:
        for key in keys:
            await one.press(key)
        text = await one.shows(*_awaited(name), without="reading…")
        body = "\n".join(row.rstrip() for row in text.splitlines()[2:])
        golden(f"{name}_{size[0]}x{size[1]}", body)
        assert {cells(row) for row in text.splitlines()} == {size[0]}
        controls = {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}
        assert not controls


def _awaited(name: str) -> tuple[str, ...]:
    return {
        "gpus_running": ("checkpoint-900", "together"),
        "gpus_apart": ("checkpoint-200", "open 2.70 s"),
        "items": ("96 of 96",),
        "item": ("ChartQA · 0-00", "▸900"),
        "item_hostile": ("MathVista · 5-00", "open answers"),
    }[name]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tab", ["gpus", "items"])
async def test_no_word_is_cut_in_the_middle(
    items_db: tuple[Path, float], tab: str, size: tuple[int, int]
) -> None:
    """Where a text is cut, what stands before the mark is a whole word of the text."""
    whole = {word for question in recorded_items.QUESTIONS for word in question[1].split()}
    whole |= set(" ".join(w for q in recorded_items.QUESTIONS for w in q[2]).split())
    whole |= {"the", "same", "words", "over", "and", "over,", "I", "think", "it", "is"}
    whole |= {"failed:", "image", "can't", "be", "read"}
    async with driven(*items_db, tab, size=size) as one:
        text = await one.shows("96 of 96" if tab == "items" else "devices", without="reading…")
        cut = re.findall(r"(\S+)…", text)
        assert tab == "gpus" or cut
        shown = [word for word in cut if word.isascii() and "\\" not in word]
        assert not [word for word in shown if word not in whole]


@pytest.mark.parametrize("theme", [DARK, LIGHT])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "tab", "keys"), VIEWS[1:4])
async def test_screenshots_can_be_taken(
    items_recording: tuple[Path, float],
    tmp_path: Path,
    name: str,
    tab: str,
    keys: tuple[str, ...],
    size: tuple[int, int],
    theme: str,
) -> None:
    db, now = items_recording
    async with driven(db, now + 2.0, tab, size=size, theme=theme) as one:
        for key in keys:
            await one.press(key)
        await one.shows(*_awaited(name), without="reading…")
        svg = one.app.export_screenshot()
    target = recorded_run.screenshot_path(tmp_path, f"{name}_{size[0]}x{size[1]}_{theme}.svg")
    target.write_text(svg)
    background = "#121212" if theme == DARK else "#f8f8f8"
    assert background in svg.lower() and svg.count("<text") > size[1]
