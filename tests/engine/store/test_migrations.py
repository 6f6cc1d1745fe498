"""A database is made in one go, and brought from version to version with all that is in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from ctv_engine.store import schema
from ctv_engine.store.reader import StoreError, open_read_only
from ctv_engine.store.rows import APPLICATION_ID, FIRST_VERSION, SCHEMA_VERSION
from ctv_engine.store.writer import Writer

BEFORE_THE_RELEASE = (
    "first_tables_and_views",
    "work_and_prompt_lengths",
    "gpus_and_their_slow_readings",
    "balance_by_index",
)
"""What led to version 4 before it was released, one step after the other."""

CONTENT = """
INSERT INTO runs VALUES (1, 'old', '/run', 'suite', NULL, '{}', '{}', 'host', 1.0, NULL);
INSERT INTO checkpoints VALUES (1, 1, 10, '/run/c-10', NULL, 'd', 5, 'done', NULL, 1.0, 2.0, 3.0);
INSERT INTO datasets VALUES (1, 'suite', 'chart', 'anls', 2);
INSERT INTO items VALUES (1, 'suite', 'chart', '0', 'q?', '["a"]', 0, '["a"]', 'i.png', 'x');
INSERT INTO items VALUES (2, 'suite', 'chart', '1', 'q?', '["a"]', 0, '["a"]', 'i.png', 'x');
INSERT INTO evaluations (id, checkpoint_id, mode, schedule, state, planned, done, failed,
    started_at, finished_at, makespan_s, ideal_s, idle_fraction)
    VALUES (1, 1, 'open', 'queue', 'done', 2, 2, 0, 1.0, 2.0, 1.0, 1.0, 0);
INSERT INTO workers VALUES (1, 1, 'host', 'cpu:0', 'cpu-0', 7, 'ended', 1.0, 1.0, 2.0);
INSERT INTO predictions (evaluation_id, item_id, permutation, worker_id, batch_id, attempt, answer,
    score, prompt_tokens, output_tokens, status, created_at)
    VALUES (1, 1, 0, 1, 0, 1, 'a', 1.0, 30, 4, 'ok', 1.5),
           (1, 2, 0, 1, 0, 1, 'b', 0.0, 31, 6, 'ok', 1.6);
INSERT INTO scores (evaluation_id, dataset, metric, value, n) VALUES (1, 'chart', 'score', 0.5, 2);
INSERT INTO spans (worker_id, evaluation_id, batch_id, kind, started_at, ended_at)
    VALUES (1, 1, 0, 'prefill', 1.0, 2.0);
INSERT INTO gpu_minutes (gpu_uuid, bucket, host, n, utilisation_mean, throttle)
    VALUES ('cpu-0', 100, 'host', 60, 41.5, NULL), ('GPU-1', 100, 'host', 59, 97.25, 'power');
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of the first version that was released."""
    path = tmp_path / "run.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    first = Migrations(schema.MIGRATION_SET)
    first()(schema.tables_and_views)
    first.apply(Database(connection))
    connection.executescript(CONTENT)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FIRST_VERSION}")
    connection.close()
    return path


def names_of(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE ?"
    return [name for (name,) in connection.execute(query, ("%migrations",))]


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    found = {
        name: connection.execute(f"SELECT * FROM {name}").fetchall()
        for name in names_of(connection)
    }
    connection.close()
    return found


def schema_of(path: Path) -> list[tuple[str, str]]:
    writer = Writer(path)
    found = writer.query("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
    writer.close()
    return found


def later(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Have the program know one more migration than it does."""
    more = Migrations(schema.MIGRATION_SET)
    for one in schema.migrations._migrations:
        more(name=one.name)(one.fn)

    @more(name="one_more")
    def one_more(db: Database) -> None:
        db.execute("ALTER TABLE predictions ADD COLUMN extra TEXT /* Something. NULL: never. */")
        db.execute(statement)

    monkeypatch.setattr(schema, "migrations", more)
    for module in ("schema", "writer", "reader"):
        monkeypatch.setattr(f"ctv_engine.store.{module}.SCHEMA_VERSION", SCHEMA_VERSION + 1)


def test_nothing_is_lost(old: Path) -> None:
    before = content(old)
    assert before["trajectory"] and before["latency"] and before["gpu_balance"] and before["work"]
    writer = Writer(old)
    assert writer.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert writer.query("PRAGMA foreign_key_check") == []
    assert writer.query("PRAGMA integrity_check") == [("ok",)]
    writer.close()
    after = content(old)
    assert {name: [row[: len(before[name][0])] for row in after[name]] for name in before if
            before[name]} == {name: rows for name, rows in before.items() if rows}  # fmt: skip


def test_both_ways_lead_to_the_same_schema(old: Path, tmp_path: Path) -> None:
    assert schema_of(old) == schema_of(tmp_path / "new.db")


def test_a_file_from_before_the_release_is_taken_as_it_is(old: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(old, isolation_level=None)
    connection.execute(f"DELETE FROM {schema.MIGRATIONS_TABLE}")
    for name in BEFORE_THE_RELEASE:
        connection.execute(
            f"INSERT INTO {schema.MIGRATIONS_TABLE} (migration_set, name, applied_at)"
            " VALUES (?, ?, '2026-11-25')",
            (schema.MIGRATION_SET, name),
        )
    connection.close()
    before = content(old)
    assert schema_of(old) == schema_of(tmp_path / "new.db")
    after = content(old)
    for name, rows in before.items():  # later migrations add columns behind them
        assert [row[: len(rows[0])] for row in after[name]] == rows, name


@pytest.mark.parametrize("version", range(1, FIRST_VERSION))
@pytest.mark.parametrize("open_it", [Writer, open_read_only])
def test_a_schema_that_was_never_released_is_refused(
    old: Path, version: int, open_it: type[Writer]
) -> None:
    connection = sqlite3.connect(old)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(StoreError, match=rf"before its first release \(schema {version}, .*anew"):
        open_it(old)


def test_a_first_migration_that_broke_off_is_made_whole_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VIEWS", schema.VIEWS + "CREATE TABLE broken (;")
        with pytest.raises((StoreError, sqlite3.Error)):
            Writer(path)
    connection = sqlite3.connect(path)
    assert names_of(connection) == [], "nothing of it is left"
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()
    assert schema_of(path) == schema_of(tmp_path / "new.db")


def test_a_later_migration_keeps_what_is_there(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = open_read_only(old)
    assert reader.execute("SELECT count(*) FROM predictions").fetchone()[0] == 2
    later(monkeypatch, "CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT")
    writer = Writer(old)
    assert writer.query("PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    assert writer.query("SELECT count(*), max(extra) FROM predictions") == [(2, None)]
    assert reader.execute("SELECT count(*) FROM more").fetchone()[0] == 0, "an open reader goes on"
    reader.close()
    writer.close()


def test_a_later_migration_that_broke_off_leaves_the_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(old).close()
    before = content(old)
    later(monkeypatch, "CREATE TABLE broken (")
    with pytest.raises((StoreError, sqlite3.Error)):
        Writer(old)
    assert content(old) == before
    connection = sqlite3.connect(old)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()
