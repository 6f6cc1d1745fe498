"""Statistics beside the loop: the same rows, the newest wish, nothing lost."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from ctv_engine.service import tracking_thread
from ctv_engine.service.tracking import Found, Looked, Tracking, track
from ctv_engine.service.tracking_thread import TrackingThread
from ctv_engine.stats.track import Tracker
from ctv_engine.store.rows import DatasetRow, Mode
from ctv_engine.store.writer import Writer

MODES: tuple[Mode, ...] = ("closed", "open", "gold")
STEPS = range(100, 800, 100)


class Book:
    """A run whose scores are written as a test says."""

    def __init__(self, path: Path) -> None:
        self.writer = Writer(path)
        self.writer.add_suite("s", [DatasetRow("d", "anls", 1)], [])
        self.run_id = self.writer.open_run(
            name="r", checkpoint_dir="/r", suite_digest="s", gold_digest="s", config_json="{}",
            versions_json="{}", host="h",
        )  # fmt: skip
        self.told: list[str] = []

    def score(self, *steps: int) -> None:
        for step in steps:
            checkpoint = self.writer.add_checkpoint(self.run_id, step, f"/r/{step}", 1.0)
            for place, mode in enumerate(MODES):
                key = self.writer.add_evaluation(checkpoint, mode, "queue", 1)
                self.writer.finish_evaluation(key, "done")
                value = 0.5 + 0.3 * math.sin(step / 170 + place)
                with self.writer.transaction() as connection:
                    for dataset in ("d", "macro"):
                        connection.execute(
                            "INSERT INTO scores (evaluation_id, dataset, metric, value, n)"
                            " VALUES (?, ?, ?, ?, 5)",
                            (key, dataset, "accuracy" if mode == "closed" else "score", value),
                        )

    def thread(self) -> TrackingThread:
        return TrackingThread(
            self.writer, self.run_id, 4, lambda *event: self.told.append(event[2])
        )

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows without their numbers, in the order of what they are about."""
        found = {}
        for table in ("correlations", "evidence", "ranking"):
            names = [name for _, name, *_ in self.writer.query(f"PRAGMA table_info({table})")][1:]
            shown = ", ".join(names)
            found[table] = self.writer.query(f"SELECT {shown} FROM {table} ORDER BY {shown}")
        return found


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "run.db")
    yield made
    made.writer.close()


def finish(thread: TrackingThread) -> None:
    def done() -> bool:
        thread.step()
        return not thread.busy

    wait_until(done)


def test_rows_are_those_that_the_loop_itself_would_have_written(book: Book, tmp_path: Path) -> None:
    other = Book(tmp_path / "other.db")
    tracker = Tracker(4)
    thread = book.thread()
    for step in STEPS:
        book.score(step)
        thread.ask()
        finish(thread)
        other.score(step)
        scores = other.writer.query(
            "SELECT mode, dataset, step, metric, value FROM trajectory WHERE state = 'done'"
        )
        other.writer.add_correlations(other.run_id, tracker.update(scores))
    thread.close()
    assert book.rows()["correlations"] == other.rows()["correlations"]
    track(other.writer, other.run_id, 4)
    assert book.rows() == other.rows()
    assert all(book.rows().values()) and book.told == []
    other.writer.close()


def test_what_rests_on_removed_scores_goes_and_the_rest_is_as_if_they_never_were(
    book: Book, tmp_path: Path
) -> None:
    other = Book(tmp_path / "other.db")
    thread = book.thread()
    book.score(*STEPS)
    thread.ask()
    finish(thread)
    with book.writer.transaction() as connection:
        connection.execute(
            "DELETE FROM scores WHERE evaluation_id IN (SELECT e.id FROM evaluations e"
            " JOIN checkpoints c ON c.id = e.checkpoint_id WHERE c.step > 300)"
        )
    thread.ask(anew=True)
    thread.close()
    other.score(*STEPS[:3])
    track(other.writer, other.run_id, 4)
    assert book.rows() == other.rows() and all(book.rows().values())
    other.writer.close()


def test_closing_waits_for_what_was_asked_last(book: Book) -> None:
    thread, after = book.thread(), list[int]()
    for step in STEPS:
        book.score(step)
        thread.ask(lambda step=step: after.append(step))  # type: ignore[misc]
    assert thread.busy
    thread.close()
    assert not thread.busy and after == list(STEPS)
    assert book.writer.query(
        "SELECT step, n FROM correlation_now WHERE scope = 'macro' AND proxy = 'closed'"
        " AND method = 'pearson' AND window = 0"
    ) == [(STEPS[-1], len(STEPS))]
    assert book.writer.query("SELECT DISTINCT n FROM evidence") == [(len(STEPS),)]


def test_wishes_that_come_while_it_computes_are_answered_together(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, looks = threading.Semaphore(0), threading.Semaphore(0), list[int]()

    def compute(self: Tracking, looked: Looked) -> Found:
        looks.append(len({step for _, _, step, _, _ in looked.scores}))
        begun.release()
        assert go_on.acquire(timeout=20)
        return Found([], [], {})

    monkeypatch.setattr(Tracking, "compute", compute)
    thread = book.thread()
    book.score(100)
    thread.ask()
    assert begun.acquire(timeout=20)
    for step in (200, 300, 400):
        book.score(step)
        thread.ask()
    go_on.release(2)
    thread.close()
    assert looks == [1, 4] and not thread.busy


def test_what_comes_afterwards_waits_until_the_rows_are_there(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, failures = list[int](), 2
    whole = Found.write

    def write(self: Found, writer: Writer, run_id: int) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        whole(self, writer, run_id)

    monkeypatch.setattr(Found, "write", write)
    thread = book.thread()
    book.score(100, 200, 300)
    thread.ask(lambda: after.append(book.writer.query("SELECT count(*) FROM evidence")[0][0]))
    refused = 0

    def done() -> bool:
        nonlocal refused
        try:
            thread.step()
        except sqlite3.OperationalError:
            refused += 1
            assert thread.busy and after == []
        return not thread.busy

    wait_until(done)
    assert refused == 2 and len(after) == 1 and after[0] > 0
    thread.close()


def test_a_look_that_fails_is_told_once_and_the_next_one_makes_up_for_it(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failing = tracking_thread._look, True

    def look(tracking: Tracking, path: Path) -> Found:
        found = whole(tracking, path)
        if failing:
            raise sqlite3.OperationalError("locked")
        return found

    monkeypatch.setattr(tracking_thread, "_look", look)
    thread = book.thread()
    book.score(*STEPS)
    for _ in range(2):
        thread.ask()
        finish(thread)
    assert book.told == ["correlations and ranking are behind: OperationalError: locked"]
    assert not any(book.rows().values())
    failing = False
    thread.ask()
    thread.close()
    assert all(book.rows().values()) and len(book.told) == 1
