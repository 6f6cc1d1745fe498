"""Items by filter, order and text, and one item with its history: what is read, at what cost."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_items
import recorded_run
from waiting import wait_until

from ctv_engine.store.rows import PredictionRow
from ctv_tui.data import Snapshot, follow
from ctv_tui.data.item_rows import ITEM_FILTERS, ITEM_ORDERS, ItemDetail, ItemPage, ItemQuery
from ctv_tui.data.items import (
    _HISTORY,
    _JOINS,
    _LINES,
    TEXT_KEPT,
    Items,
    _joins,
    _Sides,
    chosen_items,
    shares_of,
)
from ctv_tui.data.tail import Tail
from ctv_tui.data.wishes import Wishes

LAST_DONE = 800


class Reader:
    """A tail that answers wishes at once."""

    def __init__(self, path: Path) -> None:
        self.wishes = Wishes()
        self.tail = Tail(path, wishes=self.wishes)
        self.snapshot = self.read()

    def read(self) -> Snapshot:
        found = self.tail.poll()
        if found is not None:
            self.snapshot = found
        return self.snapshot

    def at(self, step: int) -> None:
        """Choose the checkpoint of a step."""
        chosen = next(c.id for c in self.snapshot.checkpoints if c.step == step)
        self.wishes.change(checkpoint_id=chosen)

    def page(self, **query: object) -> ItemPage:
        self.wishes.change(items=ItemQuery(**query))  # type: ignore[arg-type]
        found = self.read().items
        assert found is not None
        return found

    def detail(self, item_id: int) -> ItemDetail:
        self.wishes.change(item_id=item_id)
        found = self.read().item
        assert found is not None
        return found


@pytest.fixture
def reader(items_recording: tuple[Path, float]) -> Iterator[Reader]:
    reader = Reader(items_recording[0])
    reader.at(LAST_DONE)
    yield reader
    reader.tail.close()


@pytest.fixture
def query(items_recording: tuple[Path, float]) -> Callable[..., list[tuple[object, ...]]]:
    connection = sqlite3.connect(items_recording[0])
    return lambda statement, *values: connection.execute(statement, values).fetchall()


def ids(page: ItemPage) -> set[int]:
    return {line.id for line in page.lines}


def test_nothing_is_read_that_nobody_looks_at(items_recording: tuple[Path, float]) -> None:
    snapshot = Reader(items_recording[0]).snapshot
    assert snapshot.items is None and snapshot.item is None


def test_wrong_in_closed_and_right_in_open_is_the_query_of_the_readme(
    reader: Reader, query: Callable[..., list[tuple[int]]]
) -> None:
    rows = query(
        "SELECT c.item_id FROM predictions c"
        " JOIN evaluations ec ON ec.id = c.evaluation_id AND ec.mode = 'closed'"
        " JOIN evaluations eo ON eo.checkpoint_id = ec.checkpoint_id AND eo.mode = 'open'"
        " JOIN predictions o ON o.evaluation_id = eo.id AND o.item_id = c.item_id"
        " JOIN checkpoints k ON k.id = ec.checkpoint_id"
        " WHERE c.correct = 0 AND o.score = 1 AND k.step = ?",
        LAST_DONE,
    )
    page = reader.page(filter="closed wrong, open right")
    assert ids(page) == {row[0] for row in rows} and len(rows) > 3
    assert page.matching == len(rows) and page.total == 96
    assert all(line.correct is False and line.score == 1.0 for line in page.lines)


@pytest.mark.parametrize(("name", "mode"), [("letter changed", "closed"), ("text changed", "open")])
def test_changed_is_the_view_flips(
    reader: Reader, query: Callable[..., list[tuple[int, str]]], name: str, mode: str
) -> None:
    rows = query(
        "SELECT item_id, substr(answer_before, 1, 8), previous_step FROM flips"
        " WHERE step = ? AND mode = ?",
        LAST_DONE, mode,
    )  # fmt: skip
    page = reader.page(filter=name)
    assert ids(page) == {row[0] for row in rows} and len(rows) > 3
    assert page.step_before == 700
    if mode == "closed":
        assert {line.id: line.letter_before for line in page.lines} == {r[0]: r[1] for r in rows}
    else:
        assert all(line.text_changed for line in page.lines)


def test_failed_items_carry_their_reason(reader: Reader) -> None:
    (line,) = reader.page(filter="failed").lines
    assert line.key == "0-05" and (line.failed or "").startswith("image can't be read")
    reader.at(400)
    lines = {line.key: line.failed for line in reader.page(filter="failed").lines}
    assert set(lines) == {"0-05", "2-03"} and "out of memory" in (lines["2-03"] or "")


def test_orders_put_first_what_deserves_a_look(reader: Reader) -> None:
    masses = [line.option_mass for line in reader.page(order="option mass").lines]
    assert masses == sorted(masses, key=lambda m: (m is None, m)) and masses[0] < 0.5  # type: ignore[operator]
    probs = [line.gold_prob for line in reader.page(order="key's probability").lines]
    assert probs == sorted(probs, key=lambda p: (p is None, p))
    scores = [line.score for line in reader.page(order="open score").lines]
    assert scores[-1] is None and scores[0] == 0.0
    assert reader.page(order="longest answer").lines[0].key == "0-01"
    assert [line.key for line in reader.page().lines[:2]] == ["0-00", "0-01"]


@pytest.mark.parametrize(
    ("search", "keys"),
    [
        ("SHIRT", 12), ("brazil", 12), ("mathvista", 24), ("3-11", 1), ("数が", 12), ("四", 12),
        ("the same words over", 1), ("100%", 0), ("_", 0), ("'; DROP TABLE items; --", 0),
        ("\\u202e", 0), ("\x1b[2J", 12), ("a" * 5000, 0),
    ],
)  # fmt: skip
def test_a_search_looks_into_questions_options_and_answers(
    reader: Reader, search: str, keys: int
) -> None:
    assert reader.page(search=search).matching == keys


def test_a_dataset_is_a_choice_of_its_own(reader: Reader) -> None:
    page = reader.page(dataset="DocVQA")
    assert (page.matching, page.total) == (24, 24)
    assert {line.dataset for line in page.lines} == {"DocVQA"}
    assert reader.page(dataset="nothing").matching == 0


def test_a_page_is_a_part_of_the_list(reader: Reader) -> None:
    whole = reader.page(count=400).lines
    part = reader.page(first=30, count=10)
    assert part.lines == whole[30:40] and part.matching == 96
    assert reader.page(first=90, count=50).lines == whole[90:]
    assert reader.page(first=500).lines == ()


def test_the_newest_checkpoint_is_followed_and_another_can_be_chosen(reader: Reader) -> None:
    assert reader.page().step == LAST_DONE
    assert [t.step for t in reader.snapshot.timelines] == [LAST_DONE] * 2
    reader.wishes.change(checkpoint_id=None)
    assert reader.read().items.step == 900  # type: ignore[union-attr]
    reader.wishes.change(checkpoint_id=12345)
    assert reader.read().items.step == 900  # type: ignore[union-attr]
    reader.at(100)
    page = reader.read().items
    assert page is not None and page.step == 100 and page.step_before is None
    assert not any(line.letter_before or line.text_changed for line in page.lines)
    first, second = reader.snapshot.timelines
    assert first.began_at + first.extent_s <= second.began_at + 1e-6


# --- one item -------------------------------------------------------------------------------------


def test_an_item_has_its_history_in_both_forms(
    reader: Reader, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    line = next(line for line in reader.page().lines if line.key == "2-03")
    detail = reader.detail(line.id)
    assert detail.options[0] == "12 May 1987" and detail.gold_index == 0
    assert detail.answers == ("12 May 1987",)
    assert [a.step for a in detail.closed] == list(recorded_items.STEPS)
    assert [a.step for a in detail.opened] == list(recorded_items.STEPS)
    failed = [a for a in detail.closed if a.failed]
    assert [a.step for a in failed] == [400] and failed[0].shares == ()
    for answer in detail.closed:
        if not answer.failed:
            assert math.fsum(answer.shares) == pytest.approx(1.0)
            best = answer.shares.index(max(answer.shares))
            assert answer.letter == "ABCD"[best] and answer.correct is (best == 0)
    (stored,) = query(
        "SELECT gold_prob FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
        " JOIN checkpoints c ON c.id = e.checkpoint_id"
        " WHERE p.item_id = ? AND e.mode = 'closed' AND c.step = 800",
        line.id,
    )
    assert detail.closed[7].shares[0] == pytest.approx(stored[0])
    assert detail.picture.pixels == (320, 200)


def test_a_long_answer_is_cut_and_counted(reader: Reader) -> None:
    line = next(line for line in reader.page().lines if line.key == "0-01")
    assert len(line.text or "") <= 300
    answer = reader.detail(line.id).opened[0]
    assert len(answer.text or "") == TEXT_KEPT
    assert answer.left_out == len(recorded_items.LONG) - TEXT_KEPT


def test_an_item_that_does_not_exist_is_none(reader: Reader) -> None:
    reader.wishes.change(item_id=99_999)
    assert reader.read().item is None


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        (None, ()), ("", ()), ("nonsense", ()), ("{}", ()), ("[]", ()), ('["a", 1]', ()),
        ("[NaN, -1.0]", ()), ("[-Infinity, -Infinity]", ()), ("[" * 100_000, ()),
        (json.dumps([math.log(0.1), math.log(0.3)]), (0.25, 0.75)),
        ("[-1e308, 0]", (0.0, 1.0)), ("[-Infinity, -3]", (0.0, 1.0)),
    ],
)  # fmt: skip
def test_shares_are_a_soft_max_over_the_options_or_not_known(
    text: str | None, shares: tuple[float, ...]
) -> None:
    assert shares_of(text) == pytest.approx(shares)


def test_a_run_without_options_gold_or_pictures(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    recorder = recorded_run.Recorder(path)
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "open")
    with recorder.writer.transaction() as connection:
        connection.execute("UPDATE runs SET gold_digest = NULL")
        connection.execute(
            "UPDATE items SET options_json = 'broken', gold_index = NULL, answers_json = '[]',"
            " image = ''"
        )
    reader = Reader(path)
    page = reader.page(count=400)
    assert page.matching == 220 and page.lines[0].letter is None
    detail = reader.detail(page.lines[0].id)
    assert detail.options == () and detail.answers == () and detail.closed == ()
    assert detail.picture.trouble == "no picture"
    reader.tail.close()
    recorder.close()


# --- when it is read, and what it costs -----------------------------------------------------------


@pytest.mark.parametrize("name", ITEM_FILTERS)
@pytest.mark.parametrize("order", ITEM_ORDERS)
def test_no_statement_reads_all_predictions(
    items_recording: tuple[Path, float], name: str, order: str
) -> None:
    connection = sqlite3.connect(items_recording[0])
    asked = ItemQuery(filter=name, order=order, search="x", dataset="DocVQA")  # type: ignore[arg-type]
    statement, values = chosen_items(asked, _Sides(1, 2, 3, 4), "suite")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    steps = [row[3] for row in plan]
    for alias in ("c", "o", "pc", "po"):
        for step in steps:
            if f" {alias} " in f"{step} ":
                assert "evaluation_id=?" in step, step
    assert not [step for step in steps if step.startswith("SCAN")]


def test_the_rows_in_view_and_a_history_are_found_by_key(
    items_recording: tuple[Path, float],
) -> None:
    connection = sqlite3.connect(items_recording[0])
    sides = {"closed": 1, "open": 2, "closed_before": 3, "open_before": 4}
    for statement, values in (
        (_LINES.format(joins=_joins(_JOINS)), {"ids": "[1]", **sides}),
        (_HISTORY, {"evaluations": "[1]", "item": 1}),
    ):
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        scans = [row[3] for row in plan if row[3].startswith("SCAN")]
        assert all("VIRTUAL TABLE" in scan for scan in scans) and len(scans) == 1
        assert "evaluation_id=? AND item_id=?" in str([row[3] for row in plan])


def test_the_same_wish_on_the_same_file_reads_nothing(reader: Reader) -> None:
    page = reader.page(filter="letter changed")
    assert reader.tail.poll() is None
    reader.wishes.change(items=ItemQuery(filter="letter changed"))
    assert reader.tail.poll() is None and reader.snapshot.items is page


class Ticking:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_while_results_come_in_the_list_is_chosen_anew_once_a_second_at_most(
    items_recording: tuple[Path, float], tmp_path: Path
) -> None:
    path = Path(shutil.copy(items_recording[0], tmp_path / "run.db"))
    reader = Reader(path)
    clock = Ticking()
    assert reader.tail._state is not None
    reader.tail._state.items = Items(clock)
    before = reader.page(filter="failed")
    evaluation = next(e for e in reader.snapshot.evaluations if e.step == 900 and e.mode == "open")

    def add_failure(item: int) -> None:
        from ctv_engine.store.writer import Writer

        writer = Writer(path)
        row = PredictionRow(evaluation.id, item, 0, 1, 0, 1, "failed", reason="late")
        writer.add_results([row], [])
        writer.close()

    items = sorted(line.id for line in reader.page(count=400).lines)
    assert reader.page(filter="failed").matching == before.matching
    clock.now += 5.0
    add_failure(items[-1])
    assert reader.read().items.matching == before.matching + 1  # type: ignore[union-attr]
    add_failure(items[-2])
    assert reader.read().items.matching == before.matching + 1  # type: ignore[union-attr]
    assert not reader.tail._state.items.is_due
    clock.now += 1.1
    assert reader.tail._state.items.is_due
    assert reader.read().items.matching == before.matching + 2  # type: ignore[union-attr]
    assert not reader.tail._state.items.is_due
    reader.tail.close()


def test_a_newer_wish_ends_a_long_search(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctv_tui.data.items._STEPS_BETWEEN_LOOKS", 1)
    page = reader.page(search="shirt")
    state = reader.tail._state
    assert state is not None and reader.tail._connection is not None
    wish = replace(reader.wishes.now, items=ItemQuery(search="brazil"))
    state.items.read(reader.tail._connection, state.work, wish, lambda: True)
    assert state.items.page is page and state.items.is_due
    state.items.read(reader.tail._connection, state.work, wish, lambda: False)
    assert state.items.page is not None and state.items.page.query.search == "brazil"


def test_a_search_that_takes_too_long_says_so(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctv_tui.data.items._STEPS_BETWEEN_LOOKS", 1)
    monkeypatch.setattr("ctv_tui.data.items.PATIENCE_S", -1.0)
    page = reader.page(search="shirt")
    assert page.matching == 0 and "gave up" in page.trouble


def test_a_wish_is_answered_at_once_and_not_at_the_next_poll(
    items_recording: tuple[Path, float],
) -> None:
    wishes, stop = Wishes(), threading.Event()
    seen: list[Snapshot] = []

    def run() -> None:
        for snapshot in follow(items_recording[0], stop, poll_s=60.0, wishes=wishes):
            seen.append(snapshot)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: seen)
    wishes.change(items=ItemQuery(search="shirt"))
    wait_until(lambda: seen[-1].items is not None)
    assert seen[-1].items is not None and seen[-1].items.matching == 12
    stop.set()
    wishes.change(items=None)
    thread.join(10.0)
    assert not thread.is_alive()


def test_a_wish_has_no_other_fields() -> None:
    wishes = Wishes()
    with pytest.raises(TypeError):
        wishes.change(itms=None)
    assert not wishes.wait(0.0)
    wishes.change(item_id=3)
    assert wishes.wait(0.0) and not wishes.wait(0.0)
    wishes.change(item_id=3)
    assert not wishes.wait(0.0)
