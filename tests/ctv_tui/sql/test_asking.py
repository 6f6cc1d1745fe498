"""What may be asked of a database, for how long, and what is said of the rest."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import recorded_run

from ctv_engine.store.rows import SCHEMA_VERSION
from ctv_tui.sql.asking import AskingError, Rows

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def ask(path: Path, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return list(Rows(path, sql, parameters))


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM predictions", [(3360,)]),
        ("SELECT value FROM json_each('[1, null]')", [(1,), (None,)]),
        ("SELECT name FROM pragma_table_info('scores') LIMIT 2", [("id",), ("evaluation_id",)]),
        ("PRAGMA user_version", [(SCHEMA_VERSION,)]),
        ("PRAGMA index_info(checkpoints_by_step)", [(0, 1, "run_id"), (1, 2, "step")]),
        ("VALUES (1), (x'ff00')", [(1,), (b"\xff\x00",)]),
        ("SELECT CAST(x'41ff' AS TEXT)", [("A\ufffd",)]),
        ("SELECT 1; -- one", [(1,)]),
    ],
)
def test_what_reads_is_answered(demo: Path, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert ask(demo, sql) == rows


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM predictions",
        "UPDATE runs SET name = 'x' RETURNING id",
        "INSERT INTO events (at) VALUES (1)",
        "UPDATE sqlite_master SET sql = ''",
        "DROP VIEW flips",
        "CREATE TABLE mine (x)",
        "CREATE TEMP TABLE mine (x)",
        "CREATE INDEX mine ON runs (name)",
        "ATTACH 'other.db' AS other",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "PRAGMA query_only = 0",
        "PRAGMA user_version = 9",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = 1",
        "PRAGMA wal_checkpoint",
        "SELECT load_extension('mine')",
    ],
)
def test_what_changes_anything_is_refused(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    path = Path(shutil.copy(demo, tmp_path / "run.db"))
    before = path.read_bytes()
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    with pytest.raises(AskingError, match=r"only statements that read|may not be modified"):
        ask(path, sql)
    assert path.read_bytes() == before and not list(place.iterdir())


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT", "incomplete input"),
        ("SELECT nope FROM runs", "no such column: nope; docs/schema.md"),
        ("SELECT * FROM nope", "no such table: nope; docs/schema.md"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("", "nothing to answer"),
        ("-- only a comment", "nothing to answer"),
        ("SELECT :a", "the statement's parameter :a has no value; give one with --param a=…"),
        ("SELECT ?", "a parameter without a name; write :NAME"),
        ("SELECT abs(-9223372036854775808)", "integer overflow"),
        ("SELECT * FROM 'a\x1b[2Jb'", r"no such table: a\x1b[2Jb"),
    ],
)
def test_an_error_is_one_line_with_the_way_out(demo: Path, sql: str, words: str) -> None:
    with pytest.raises(AskingError) as caught:
        ask(demo, sql)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
    assert not caught.value.is_late


def test_a_plan_can_be_looked_at(demo: Path) -> None:
    [(*_, plan)] = ask(demo, "EXPLAIN QUERY PLAN SELECT * FROM predictions WHERE evaluation_id = 1")
    assert "SEARCH predictions USING INDEX" in plan


def test_parameters_have_names_and_types(demo: Path) -> None:
    query = "SELECT typeof(:a), typeof(@b), typeof($c), typeof(:d)"
    assert ask(demo, query, a=1, b=1.5, c="x", d=None) == [("integer", "real", "text", "null")]
    with pytest.raises(AskingError, match="the statement has no parameter :typo"):
        ask(demo, "SELECT :a", a=1, typo=2)


@pytest.mark.parametrize("sql", [ENDLESS, f"{ENDLESS.replace('count(*)', 'i')} WHERE i % 100 = 0"])
def test_the_time_that_sqlite_works_is_limited(demo: Path, sql: str) -> None:
    with pytest.raises(AskingError, match=r"took longer than 0\.05 s") as caught:
        for _ in Rows(demo, sql, {}, timeout_s=0.05):
            pass
    assert caught.value.is_late


def test_the_time_of_who_reads_the_rows_is_not(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("ctv_tui.sql.asking.time.monotonic", lambda: now[0])
    rows = 0
    for _ in Rows(demo, "SELECT p.id FROM predictions p, scores", {}, timeout_s=1.0):
        rows += 1
        now[0] += 10.0
        if rows == 5000:
            break
    assert rows == 5000


def test_rows_are_read_as_they_are_asked_for(demo: Path) -> None:
    rows = iter(Rows(demo, f"{ENDLESS.replace('count(*)', 'i')}", {}))
    assert [next(rows) for _ in range(3)] == [(1,), (2,), (3,)]


def test_an_answer_is_of_one_moment_while_the_engine_goes_on(tmp_path: Path) -> None:
    recorder = recorded_run.Recorder(tmp_path / "run.db")
    for step in range(100, 1300, 100):
        recorder.add_checkpoint(step)
    query = "SELECT c.step FROM checkpoints c, items i ORDER BY c.id"
    rows = iter(Rows(tmp_path / "run.db", query, {}))
    assert next(rows) == (100,)
    recorder.add_checkpoint(9000)
    assert {row[0] for row in rows} == set(range(100, 1300, 100))
    assert (9000,) in ask(tmp_path / "run.db", "SELECT step FROM checkpoints")
    recorder.close()


def test_nothing_is_left_open_after_an_error(demo: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(demo, tmp_path / "run.db"))
    with pytest.raises(AskingError):
        ask(path, "SELECT nope")
    connection = sqlite3.connect(path, timeout=0.0)
    connection.execute("PRAGMA journal_mode = DELETE")  # needs to be alone
    connection.close()
