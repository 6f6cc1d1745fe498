"""A database of the first schema is brought to the newest one, with all that is in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from ctv_engine.store import schema
from ctv_engine.store.reader import StoreError, open_read_only
from ctv_engine.store.rows import APPLICATION_ID, SCHEMA_VERSION, LengthRow, WorkRow
from ctv_engine.store.writer import Writer

SECOND = "work_and_prompt_lengths"
COUNTS = (
    "forwards, prompt_tokens, processed_tokens, shared_tokens, row_steps, images_decoded,"
    " images_reused"
)

CONTENT = """
INSERT INTO runs VALUES (1, 'old', '/run', 'suite', NULL, '{}', '{}', 'host', 1.0, NULL);
INSERT INTO checkpoints VALUES (1, 1, 10, '/run/c-10', NULL, 'd', 5, 'done', NULL, 1.0, 2.0, 3.0);
INSERT INTO datasets VALUES (1, 'suite', 'chart', 'anls', 2);
INSERT INTO items VALUES (1, 'suite', 'chart', '0', 'q?', '["a"]', 0, '["a"]', 'i.png', 'x');
INSERT INTO items VALUES (2, 'suite', 'chart', '1', 'q?', '["a"]', 0, '["a"]', 'i.png', 'x');
INSERT INTO evaluations
    VALUES (1, 1, 'open', 'queue', 'done', NULL, 2, 2, 0, 1.0, 2.0, 1.0, 1.0, 0);
INSERT INTO workers VALUES (1, 1, 'host', 'cpu:0', 'cpu-0', 7, 'ended', 1.0, 1.0, 2.0);
INSERT INTO predictions (evaluation_id, item_id, permutation, worker_id, batch_id, attempt, answer,
    score, prompt_tokens, output_tokens, status, created_at)
    VALUES (1, 1, 0, 1, 0, 1, 'a', 1.0, 30, 4, 'ok', 1.5),
           (1, 2, 0, 1, 0, 1, 'b', 0.0, 31, 6, 'ok', 1.6);
INSERT INTO scores (evaluation_id, dataset, metric, value, n) VALUES (1, 'chart', 'score', 0.5, 2);
INSERT INTO spans (worker_id, evaluation_id, batch_id, kind, started_at, ended_at)
    VALUES (1, 1, 0, 'prefill', 1.0, 2.0);
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database as the first version of the schema left it."""
    path = tmp_path / "run.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    schema.migrations.apply(Database(connection), stop_before=SECOND)
    connection.executescript(CONTENT)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return path


def content(connection: sqlite3.Connection, tables: list[str]) -> dict[str, Any]:
    columns = {"evaluations": "id, checkpoint_id, mode, state, planned, done, makespan_s"}
    return {
        table: connection.execute(f"SELECT {columns.get(table, '*')} FROM {table}").fetchall()
        for table in tables
    }


def test_nothing_is_lost(old: Path) -> None:
    before = sqlite3.connect(old)
    names = (
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE '\\_%'"
    )
    tables = [name for (name,) in before.execute(names + " ESCAPE '\\'")]
    assert "work" not in tables and {"predictions", "trajectory", "latency"} <= {*tables}
    wanted = content(before, tables)
    assert wanted["trajectory"] and wanted["latency"] and wanted["gpu_balance"]
    before.close()
    writer = Writer(old)
    assert content(writer.connection, tables) == wanted
    assert writer.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert writer.query("PRAGMA foreign_key_check") == []
    assert writer.query("PRAGMA integrity_check") == [("ok",)]
    writer.close()


def test_what_was_not_counted_then_is_nought_and_its_shares_are_missing(old: Path) -> None:
    writer = Writer(old)
    assert writer.query(f"SELECT {COUNTS} FROM evaluations") == [(0,) * 7]
    [(padding, output)] = writer.query("SELECT padding_share, output_tokens FROM work")
    assert (padding, output) == (None, 10), "no padding share of nothing; answers were counted"
    writer.close()


def test_the_migrated_database_takes_what_the_new_one_takes(old: Path) -> None:
    writer = Writer(old)
    writer.add_results([], [], {1: WorkRow(2, 80, 100, 7, 5, 3, 1)})
    writer.add_results([], [], {1: WorkRow(1, 20, 25, 3, 5, 0, 4)})
    assert writer.query(f"SELECT {COUNTS} FROM evaluations") == [(3, 100, 125, 10, 10, 3, 5)]
    [(step, mode, padding)] = writer.query("SELECT step, mode, padding_share FROM work")
    assert (step, mode, padding) == (10, "open", pytest.approx(0.2))
    writer.add_lengths([LengthRow(1, "p", "closed", 30), LengthRow(1, "p", "open", None)])
    writer.add_lengths([LengthRow(1, "p", "closed", 31), LengthRow(1, "q", "closed", 9)])
    rows = writer.query("SELECT item_id, processor, task, tokens FROM prompt_lengths")
    assert sorted(rows, key=str) == [
        (1, "p", "closed", 31),
        (1, "p", "open", None),
        (1, "q", "closed", 9),
    ]
    writer.close()


def test_both_ways_lead_to_the_same_schema(old: Path, tmp_path: Path) -> None:
    def schema_of(path: Path) -> list[tuple[str, str]]:
        writer = Writer(path)
        found = writer.query("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
        writer.close()
        return found

    assert schema_of(old) == schema_of(tmp_path / "new.db")


def test_a_migration_that_broke_off_is_made_whole_the_next_time(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_WORK", schema._WORK + "CREATE TABLE broken (;")
        with pytest.raises((StoreError, sqlite3.Error)):
            Writer(old)
    connection = sqlite3.connect(old)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,), "not marked as new"
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not {"prompt_lengths", "work"} & names, "nothing of it is left"
    connection.close()
    writer = Writer(old)
    assert writer.query("SELECT count(*) FROM predictions") == [(2,)]
    assert writer.query("SELECT count(*) FROM work") == [(1,)]
    writer.close()


def test_an_open_reader_goes_on_through_the_migration(old: Path) -> None:
    reader = open_read_only(old)
    assert reader.execute("SELECT count(*) FROM predictions").fetchone()[0] == 2
    writer = Writer(old)
    assert reader.execute("SELECT count(*) FROM predictions").fetchone()[0] == 2
    assert reader.execute("SELECT output_tokens FROM work").fetchone()[0] == 10
    reader.close()
    writer.close()
