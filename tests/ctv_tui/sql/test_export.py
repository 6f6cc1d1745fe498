"""Tables and views as files: complete, of one moment, and never half of one."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recorded_run

from ctv_tui.sql import export as module
from ctv_tui.sql.export import ExportError, Kind, export

KINDS: tuple[Kind, ...] = ("parquet", "csv")
TYPES = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}


def rows_of(path: Path, name: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(f'SELECT * FROM "{name}"').fetchall()
    connection.close()
    return found


def relations_of(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        " AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%migrations'"
    ).fetchall()
    connection.close()
    return sorted(name for (name,) in found)


def test_parquet_holds_every_table_and_view(demo: Path, tmp_path: Path) -> None:
    done = export(demo, tmp_path / "out", "parquet")
    assert [file.path.stem for file in done] == relations_of(demo)
    for file in done:
        rows = rows_of(demo, file.path.stem)
        table = pq.read_table(file.path)
        assert [tuple(row.values()) for row in table.to_pylist()] == rows
        assert file.rows == len(rows)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        file.path.name for file in done
    ]


def test_strict_types_are_kept(demo: Path, tmp_path: Path) -> None:
    export(demo, tmp_path, "parquet", ["predictions", "gpus", "latency", "correlation_now"])
    connection = sqlite3.connect(demo)
    for name in ("predictions", "gpus"):
        schema = pq.read_schema(tmp_path / f"{name}.parquet")
        for row in connection.execute(f"PRAGMA table_info({name})"):
            assert schema.field(row[1]).type == TYPES[row[2]], f"{name}.{row[1]}"
    connection.close()
    latency = pq.read_schema(tmp_path / "latency.parquet")
    assert latency.field("n").type == pa.int64() and latency.field("capped").type == pa.float64()
    reason = pq.read_schema(tmp_path / "correlation_now.parquet").field("reason")
    assert reason.type == pa.string()


def test_csv_holds_the_same(demo: Path, tmp_path: Path) -> None:
    for file in export(demo, tmp_path, "csv"):
        with file.path.open(newline="") as lines:
            head, *read = csv.reader(lines)
        rows = rows_of(demo, file.path.stem)
        assert read == [["" if v is None else str(v) for v in row] for row in rows]
        assert len(head) == len(rows[0]) if rows else head


def test_tables_of_ones_own_come_along(demo: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(demo, tmp_path / "run.db"))
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE 'my/notes \"x\"' (a INTEGER, b, c, d BLOB, e REAL)")
    connection.execute(
        "INSERT INTO 'my/notes \"x\"' VALUES (1, 2, 'text', x'00ff', 1.5), ('one', 2.5, 3, 4, NULL)"
    )
    connection.execute("CREATE VIEW no_rows AS SELECT NULL AS a, step FROM checkpoints WHERE 0")
    connection.commit()
    connection.close()
    names = ["no_rows", 'my/notes "x"']
    done = export(path, tmp_path / "out", "parquet", names)
    assert [file.path.parent for file in done] == [tmp_path / "out"] * 2
    empty, notes = (pq.read_table(file.path) for file in done)
    assert empty.schema.types == [pa.float64(), pa.int64()] and empty.num_rows == 0
    assert notes.to_pylist() == [
        {"a": "1", "b": 2.0, "c": "text", "d": b"\x00\xff", "e": 1.5},
        {"a": "one", "b": 2.5, "c": "3", "d": b"4", "e": None},
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_of_one_moment_while_the_engine_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    recorder = recorded_run.Recorder(tmp_path / "run.db")
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed")
    written = threading.Event()
    batches = module._batches

    def with_an_engine(connection: sqlite3.Connection, name: str) -> Iterator[Any]:
        yield from batches(connection, name)
        if name == "checkpoints":  # the first one
            recorder.add_checkpoint(200)
            recorder.evaluate(200, "closed")
            written.set()

    monkeypatch.setattr(module, "_batches", with_an_engine)
    counts = {file.path.stem: file.rows for file in export(recorder.writer.path, tmp_path, kind)}
    assert written.is_set()
    assert (counts["checkpoints"], counts["evaluations"], counts["predictions"]) == (1, 1, 220)
    assert len(rows_of(tmp_path / "run.db", "predictions")) == 440
    recorder.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_table_is_held_a_batch_at_a_time(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 500)
    [file] = export(demo, tmp_path, kind, ["predictions"])
    assert file.rows == 3360
    if kind == "parquet":
        groups = pq.ParquetFile(file.path).metadata
        assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [
            *[512] * 6,
            288,
        ]
    monkeypatch.setattr(module, "BATCH_CHARACTERS", 1)
    [again] = export(demo, tmp_path, kind, ["predictions"], force=True)
    assert again.rows == 3360


# --- what does not go well ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_overwritten_unless_asked_for(demo: Path, tmp_path: Path, kind: Kind) -> None:
    mine = tmp_path / f"scores.{kind}"
    mine.write_text("mine")
    with pytest.raises(ExportError, match=rf"scores\.{kind} is there already; --force"):
        export(demo, tmp_path, kind)
    assert list(tmp_path.iterdir()) == [mine] and mine.read_text() == "mine"
    export(demo, tmp_path, kind, force=True)
    assert mine.read_bytes() != b"mine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_in_the_middle_leaves_no_file(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    batches = module._batches

    def until_full(connection: sqlite3.Connection, name: str) -> Iterator[Any]:
        if name == "predictions":
            raise OSError(28, "No space left on device")
        yield from batches(connection, name)

    old = tmp_path / f"checkpoints.{kind}"
    old.write_text("an earlier export")
    monkeypatch.setattr(module, "_batches", until_full)
    with pytest.raises(
        ExportError, match="No space left on device; nothing was exported"
    ) as caught:
        export(demo, tmp_path, kind, force=True)
    assert caught.value.is_failure
    assert list(tmp_path.iterdir()) == [old] and old.read_text() == "an earlier export"


def test_what_does_not_exist_is_said_with_what_may_be_meant(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'prediction', did you mean predictions"):
        export(demo, tmp_path / "out", "csv", ["scores", "prediction"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ExportError, match="out: FileExistsError") as caught:
        export(demo, tmp_path / "out", "csv")
    assert caught.value.is_failure


def test_without_pyarrow_the_way_out_is_said(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "ctv_tui.sql.parquet", raising=False)
    with pytest.raises(ExportError, match=r"needs pyarrow: pip install 'ctv-tui\[parquet\]'"):
        export(demo, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()
