"""The review driven by keys; what each key decides is read from the journal."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import review_journal
from driving import SIZES, settled
from textual.pilot import Pilot

from ctv_engine.construction.journal import DecidedMeanwhile, Draft, Journal, State, Vote
from ctv_engine.construction.source import Origin, SourceItem
from ctv_tui.data.safe_text import cells
from ctv_tui.preferences import Preferences
from ctv_tui.review.app import Review
from ctv_tui.review.editing import as_line, edit_fault, from_line

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = review_journal.record(tmp_path / "mixed")
    yield made
    made.close()


def of(journal: Journal, key: str) -> Draft:
    return next(draft for draft in journal.drafts() if draft.key == key)


@asynccontextmanager
async def review(
    journal: Journal, size: tuple[int, int] = (120, 40), preferences: Preferences | None = None
) -> AsyncIterator[Pilot[None]]:
    app = Review(journal, preferences or Preferences())
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        yield pilot


OPTIONS: dict[str, object] = {"options": ("2016", "2019", "2020", "2021")}
DECISIONS: list[tuple[str, tuple[str, ...], dict[str, object]]] = [
    ("keep", ("a",), {"state": State.KEPT, "reason": None}),
    ("keep with enter", ("enter",), {"state": State.KEPT}),
    ("other key", ("c", "c"), {"state": State.KEPT, "gold_index": 2}),
    ("own letter is no other key", ("c", "b"), {"state": State.QUEUED, "gold_index": 1}),
    ("drop", ("x", "2"), {"state": State.DROPPED, "reason": "more than one option is right"}),
    (
        "drop with words",
        ("x", "7", *"blurred", "enter"),
        {"state": State.DROPPED, "reason": "blurred"},
    ),
    ("leave a dialog", ("x", "escape"), {"state": State.QUEUED}),
    (
        "edit an option",
        ("w", "a", "backspace", "8", "enter"),
        {"state": State.QUEUED, "options": ("2018", "2019", "2020", "2021")},
    ),
    (
        "replace an option",
        ("r", "d", *"1999", "enter"),
        {"state": State.QUEUED, "options": ("2016", "2019", "2020", "1999")},
    ),
    (
        "edit and keep",
        ("r", "d", *"1999", "enter", "a"),
        {"state": State.KEPT, "options": ("2016", "2019", "2020", "1999")},
    ),
    (
        "edit the question",
        ("e", "backspace", "exclamation_mark", "enter"),
        {
            "state": State.QUEUED,
            "question": "In which year did the share of renewable energy pass that of coal!",
        },
    ),
    ("undo", ("a", "u"), {"state": State.QUEUED}),
    (
        "undo an edit",
        ("w", "a", "backspace", "8", "enter", "u"),
        {"options": ("2016", "2019", "2020", "2021")},
    ),
]


@pytest.mark.parametrize(
    ("keys", "then"), [row[1:] for row in DECISIONS], ids=[row[0] for row in DECISIONS]
)
async def test_a_decision_is_in_the_journal(
    journal: Journal, keys: tuple[str, ...], then: dict[str, object]
) -> None:
    async with review(journal) as pilot:
        await pilot.press(*keys)
        await settled(pilot)
    found = of(journal, "chart-0017")
    assert {name: getattr(found, name) for name in then} == then


REFUSED = [
    (("r", "d", "enter"), "D is empty"),
    (("r", "d", *"2016", "enter"), "A and D are the same"),
    (("r", "d", *"2019", "full_stop", "0", "enter"), "D is accepted as an answer"),
    (("e", "ctrl+u", "enter"), "a question can't be empty"),
]


@pytest.mark.parametrize(("keys", "said"), REFUSED, ids=[said for _, said in REFUSED])
async def test_what_cannot_stand_is_refused(
    journal: Journal, keys: tuple[str, ...], said: str
) -> None:
    before = of(journal, "chart-0017")
    async with review(journal) as pilot:
        await pilot.press(*keys)
        assert said in await settled(pilot)
        await pilot.press("escape")
    assert of(journal, "chart-0017") == before


def test_an_accepted_answer_is_no_wrong_option(journal: Journal) -> None:
    draft = of(journal, "doc-0108")
    assert edit_fault(draft, (*draft.options[:3], "weber."), 3, None) is not None
    assert edit_fault(draft, (*draft.options[:3], "M. Weber"), 3, None) is None
    assert edit_fault(draft, (*draft.options[:3], "H. Webers"), 3, "anls") is not None


async def test_another_key_says_what_the_open_form_accepts(journal: Journal) -> None:
    async with review(journal) as pilot:
        await pilot.press("c", "c")
        assert "still accepts only" in await settled(pilot)


async def test_undo_reaches_into_an_earlier_session(journal: Journal) -> None:
    async with review(journal) as pilot:
        await pilot.press("a", "x", "1")
    assert of(journal, "chart-0042").state is State.DROPPED
    async with review(journal) as pilot:
        await pilot.press("u", "u")
        assert "chart-0017" in await settled(pilot)
        await pilot.press("u")
        assert "no decision to take back" in await settled(pilot)
    assert {of(journal, k).state for k in ("chart-0017", "chart-0042")} == {State.QUEUED}


async def test_what_another_process_decided_is_not_overwritten(journal: Journal) -> None:
    other = Journal(journal.directory)
    async with review(journal) as pilot:
        draft = of(other, "chart-0017")
        other.decide(draft.id, "drop", state=State.DROPPED, reason="by another")
        await pilot.press("a")
        shown = await settled(pilot)
        assert "changed meanwhile" in shown and "by another" in shown
    assert of(journal, "chart-0017").reason == "by another"
    with pytest.raises(DecidedMeanwhile):
        journal.decide(draft.id, "accept", state=State.KEPT, seen=draft)
    other.close()


async def test_filters_search_and_moving(journal: Journal) -> None:
    async with review(journal) as pilot:
        await pilot.press("j", "j", "k", "a")  # chart-0042; then the next undecided one
        assert "DocVQA · doc-0108" in await settled(pilot)
        await pilot.press("n", "n")
        assert "ChartQA · chart-0017" in await settled(pilot)
        await pilot.press("f", "f")
        text = await settled(pilot)
        assert "1 of 2" in text and "doc-0230" in text and "viz-0003" not in text
        await pilot.press("f", "f", "d")
        assert "doc-0108" not in await settled(pilot)
        await pilot.press("d", "d", "d", "slash", *"soup", "enter")
        text = await settled(pilot)
        assert "1 of 1" in text and "viz-0003" in text
        await pilot.press("escape", "slash", *"zzz")
        assert "no item is like that" in await settled(pilot)
        await pilot.press("escape", "o")
        assert "chart-0017.png" in await settled(pilot)


async def test_everything_decided_is_said(journal: Journal) -> None:
    async with review(journal) as pilot:
        await pilot.press("a", "a", "a", "a", "n")
        text = await settled(pilot)
        assert "0 left of 5" in text and "5 kept" in text
    async with review(journal) as pilot:
        assert "nothing is queued" in await settled(pilot)
        await pilot.press("a", "x", "c", "e", "w", "r", "j", "n", "o")


async def test_the_votes_of_an_edited_item_are_marked(journal: Journal) -> None:
    async with review(journal) as pilot:
        assert "before it was edited" not in await settled(pilot)
        await pilot.press("r", "d", *"1999", "enter")
        assert "before it was edited" in await settled(pilot)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_how_it_looks(
    journal: Journal, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Review, "_path", lambda self, draft: f"/suites/mixed/{draft.image}")
    async with review(journal, size) as pilot:
        text = "\n".join(row.rstrip() for row in (await settled(pilot)).splitlines()) + "\n"
    path = GOLDEN / f"review_{size[0]}x{size[1]}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


HOSTILE = "\x1b]0;evil\x07[bold red]x[/] \u202egnp\u202c 漢字 e\u0301\n\x9b31m"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_hostile_text_is_shown_and_harms_nothing(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    journal = Journal(tmp_path / "mixed", create=True)
    long = HOSTILE + "long " * 20_000
    item = SourceItem(HOSTILE, HOSTILE, long, (long,), Origin(HOSTILE, 3))
    journal.add([(item, "../" + HOSTILE)])
    draft = next(iter(journal.drafts()))
    journal.convert(draft.id, (HOSTILE + "1", HOSTILE + "2", long), 0, {HOSTILE: [HOSTILE, long]})
    journal.vote(draft.id, Vote(HOSTILE, 1, long))
    journal.settle(draft.id, State.QUEUED, HOSTILE)
    async with review(journal, size) as pilot:
        for keys in ((), ("pagedown",), ("o",), ("c",), ("escape", "w", "a"), ("escape", "e")):
            await pilot.press(*keys)
            text = await settled(pilot)
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
            assert {cells(row) for row in text.splitlines()} == {size[0]}
        await pilot.press("a")
    journal.close()


async def test_plain_characters_and_a_small_terminal(journal: Journal) -> None:
    async with review(journal, preferences=Preferences("ansi", ascii_only=True)) as pilot:
        text = await settled(pilot)
        assert not set("│─✓▸←█") & set(text)
        await pilot.press("t", "question_mark")
        assert "keep the item as it is" in await settled(pilot)
        await pilot.press("escape")
        await pilot.resize_terminal(50, 12)
        assert "terminal too small" in await settled(pilot)


async def test_a_missing_picture_is_said(journal: Journal) -> None:
    shutil.rmtree(journal.directory / "images")
    async with review(journal, (80, 24)) as pilot:
        assert "no such file here" in await settled(pilot)


@pytest.mark.parametrize("text", ["one", "two\nlines", "a  b"])
def test_a_text_is_the_same_after_editing(text: str) -> None:
    assert from_line(as_line(text)) == "\n".join(" ".join(row.split()) for row in text.split("\n"))


def test_the_table_has_every_key_once() -> None:
    keys = [key for action in Review.TABLE for key in action.keys]
    assert len(keys) == len(set(keys))
    assert all(hasattr(Review, f"action_{one.action.split('(')[0]}") for one in Review.TABLE)
