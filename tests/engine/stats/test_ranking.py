"""A run's ranking as rows: the same items at every checkpoint, read once, the same for all."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctv_engine.stats.bootstrap import SINGLE_IMAGE
from ctv_engine.stats.choice import rank_checkpoints
from ctv_engine.stats.comparison import paired_bootstrap
from ctv_engine.stats.ranking import NO_ITEMS, RAW, SMOOTH, Ranking, ranking
from ctv_engine.store.evidence import write_evidence
from ctv_engine.store.imported import GoldPoint, GoldSeries, write_series
from ctv_engine.store.rows import DatasetRow, ItemRow, Mode, PredictionRow, RankRow
from ctv_engine.store.writer import Writer

ITEMS, PICTURES = 40, 25
READS = "SELECT item_id, correct FROM predictions"
SKILLS = {100: 0.2, 200: 0.5, 300: 0.6, 400: 0.55}


class Book:
    """A run over two datasets with shared pictures; answers follow a seed."""

    def __init__(
        self, path: Path, gold_digest: str | None = None, pictures: dict[str, int] | None = None
    ) -> None:
        of = pictures or {"a": PICTURES, "b": PICTURES}
        self.writer = Writer(path)
        rows = [DatasetRow("a", "anls", ITEMS // 2), DatasetRow("b", "anls", ITEMS // 2)]
        items = [
            ItemRow(name, str(n), "?", "[]", 0, "[]", "i", f"p{n % of[name]}")
            for n, name in zip(range(ITEMS), "ab" * ITEMS, strict=False)
        ]
        self.items = list(self.writer.add_suite("s", rows, items).items())
        self.run_id = self.writer.open_run(
            name="r", checkpoint_dir="/r", suite_digest="s", gold_digest=gold_digest,
            config_json="{}", versions_json="{}", host="h",
        )  # fmt: skip
        self.worker = self.writer.add_worker(self.run_id, "h", "cpu")
        self.answers: dict[int, list[float]] = {}

    def answer(self, step: int, mode: Mode = "closed", failed: int = 0) -> None:
        """Answer all items but the first so many, which fail."""
        chance = random.Random(f"{step}{mode}")
        right = [float(chance.random() < SKILLS[step]) for _ in self.items]
        self.answers[step] = right
        checkpoint = self.writer.add_checkpoint(self.run_id, step, f"/r/{step}", 1.0)
        key = self.writer.add_evaluation(checkpoint, mode, "queue", ITEMS)
        rows = [
            PredictionRow(
                key, item, 0, self.worker, 0, 1, "ok" if n >= failed else "failed",
                correct=int(right[n]) if n >= failed and mode == "closed" else None,
                score=right[n] if n >= failed else None,
            )
            for n, (_, item) in enumerate(self.items)
        ]  # fmt: skip
        self.writer.add_results(rows, [])
        self.writer.finish_evaluation(key, "done")

    def ranked(self, mode: Mode = "closed", window: int = RAW) -> list[RankRow]:
        return ranking(self.writer.connection, self.run_id, mode, window)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "run.db")
    yield made
    made.writer.close()


@pytest.mark.parametrize("window", [RAW, SMOOTH])
def test_rows_are_the_ranking_of_all_items(book: Book, window: int) -> None:
    for step in SKILLS:
        book.answer(step)
    order = sorted(range(ITEMS), key=lambda n: book.items[n][1])
    wanted = rank_checkpoints(
        list(SKILLS),
        [[book.answers[step][n] for n in order] for step in SKILLS],
        [f"p{int(book.items[n][0][1]) % PICTURES}" for n in order],
        [book.items[n][0][0] for n in order],
        window=window,
    )
    found = book.ranked(window=window)
    assert [
        (row.step, row.rank, row.value, row.low, row.high, row.may_be_best) for row in found
    ] == [(one.step, one.rank, one.score, one.low, one.high, one.may_be_best) for one in wanted]
    assert {(row.n, row.left_out, row.reason) for row in found} == {(ITEMS, 0, None)}


def test_a_change_is_the_paired_difference_from_the_checkpoint_before(book: Book) -> None:
    for step in SKILLS:
        book.answer(step)
    rows = {row.step: row for row in book.ranked()}
    assert rows[100].change is None and rows[100].change_low is None
    names, pictures = zip(*((key[0], int(key[1]) % PICTURES) for key, _ in book.items), strict=True)
    paired = paired_bootstrap(book.answers[200], book.answers[300], pictures, names)
    assert rows[300].change == pytest.approx(paired.value, abs=1e-12)
    # Other draws of the same bootstrap: an end may be the next value that 40 items can have.
    assert rows[300].change_low == pytest.approx(paired.low, abs=1.01 / ITEMS)
    assert rows[300].change_high == pytest.approx(paired.high, abs=1.01 / ITEMS)
    assert {row.change for row in book.ranked(window=SMOOTH)} == {None}


def test_items_without_a_score_are_left_out_of_all_and_no_checkpoint_empties_the_rest(
    book: Book,
) -> None:
    book.answer(100, failed=3)
    book.answer(200)
    book.answer(300, failed=ITEMS)
    rows = book.ranked()
    assert sorted(row.step for row in rows) == [100, 200]  # 300 has no macro mean
    assert {(row.n, row.left_out) for row in rows} == {(ITEMS - 3, 3)}


def test_each_evaluation_is_read_once_and_a_mode_is_ranked_when_it_changed(book: Book) -> None:
    book.answer(100)
    book.answer(200)
    known, asked = Ranking(book.run_id), list[str]()

    def update() -> dict[Mode, list[RankRow]]:
        connection = book.writer.connection
        connection.set_trace_callback(
            lambda sql: (
                asked.append(sql) if "FROM predictions" in sql and "id IN" not in sql else None
            )
        )
        changed = known.read(connection)
        connection.set_trace_callback(None)
        return known.rank(changed)

    assert set(update()) == {"closed"} and len(asked) == 2
    assert update() == {} and len(asked) == 2
    book.answer(300)
    found = update()
    assert len(asked) == 3 and len(found["closed"]) == 3 * 2
    assert [row for row in found["closed"] if row.window == RAW] == book.ranked()


def test_the_engines_rows_come_before_anything_computed(book: Book) -> None:
    book.answer(100)
    stored = RankRow("closed", RAW, 100, 1, 0.125, 0.1, 0.2, 1, None, None, None, 7, 0)
    write_evidence(book.writer, book.run_id, [], {"closed": [stored]})
    assert book.ranked() == [stored]
    assert [row.n for row in book.ranked(window=5)] == [ITEMS]  # of these there are none


def test_imported_gold_is_ranked_by_itself_and_ties_are_not_known(book: Book) -> None:
    for step in (100, 200, 300):
        book.answer(step)
    points = tuple(GoldPoint(step, "macro", step / 1000, 0.01) for step in (100, 200, 300))
    write_series(book.writer, book.run_id, GoldSeries("team", points))
    rows = book.ranked("gold")
    assert [(row.step, row.rank, row.value) for row in rows] == [
        (300, 1, 0.3), (200, 2, 0.2), (100, 3, 0.1),
    ]  # fmt: skip
    assert (rows[0].low, rows[0].high) == pytest.approx((0.3 - 0.0196, 0.3 + 0.0196), abs=1e-6)
    assert {(row.may_be_best, row.n, row.reason) for row in rows} == {(None, 0, NO_ITEMS)}
    assert book.ranked("gold", SMOOTH) == []


def test_a_series_beside_gold_takes_no_items_from_it(tmp_path: Path) -> None:
    book = Book(tmp_path / "run.db", gold_digest="s")
    book.answer(100, "gold")
    book.answer(200, "gold")
    book.writer.add_checkpoint(book.run_id, 300, "/r/300", 1.0)
    points = tuple(GoldPoint(step, "macro", 0.5) for step in (100, 200, 300))
    write_series(book.writer, book.run_id, GoldSeries("team", points))
    assert {(row.step, row.n) for row in book.ranked("gold")} == {(100, ITEMS), (200, ITEMS)}
    book.writer.close()


def test_a_file_of_an_older_version_is_ranked_from_its_answers(book: Book) -> None:
    book.answer(100)
    with book.writer.transaction() as connection:
        connection.execute("DROP TABLE ranking")
    with pytest.raises(sqlite3.OperationalError):
        book.writer.query("SELECT * FROM ranking")
    assert [row.step for row in book.ranked()] == [100]


def test_a_dataset_about_one_image_has_no_interval_and_no_verdict(tmp_path: Path) -> None:
    book = Book(tmp_path / "run.db", pictures={"a": 1, "b": PICTURES})
    for step in (100, 200):
        book.answer(step)
    rows = book.ranked()
    assert {(row.low, row.high, row.may_be_best, row.change_low) for row in rows} == {(None,) * 4}
    assert {row.reason for row in rows} == {f"{SINGLE_IMAGE}: a"}
    assert {row.n for row in rows} == {ITEMS} and rows[0].value > rows[1].value
    assert next(row for row in rows if row.step == 200).change is not None
    book.writer.close()
