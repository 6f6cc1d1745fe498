"""Opening a database to read."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.store.reader import NewerSchemaError, StoreError, open_read_only
from ctv_engine.store.rows import SCHEMA_VERSION

NOBODY = 65534


def steps(connection: sqlite3.Connection) -> list[int]:
    return [row["step"] for row in connection.execute("SELECT step FROM checkpoints ORDER BY id")]


def test_a_reader_follows_the_writer(book: Any) -> None:
    connection = open_read_only(book.writer.path)
    assert steps(connection) == []
    book.evaluation(10)
    assert steps(connection) == [10]
    book.evaluation(20)
    assert steps(connection) == [10, 20]
    connection.close()


def test_a_reader_does_not_stop_the_writer(book: Any) -> None:
    connection = open_read_only(book.writer.path)
    connection.execute("BEGIN")
    assert steps(connection) == []
    book.evaluation(10)
    assert steps(connection) == []  # its own moment in time
    connection.execute("COMMIT")
    assert steps(connection) == [10]
    connection.close()


def test_a_reader_can_not_write(book: Any) -> None:
    connection = open_read_only(book.writer.path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM runs")
    connection.close()


def test_a_finished_database_is_opened_and_left_as_it_is(book: Any) -> None:
    book.evaluation(10)
    path = book.writer.path
    book.writer.close()
    before = path.read_bytes()
    connection = open_read_only(path)
    assert steps(connection) == [10]
    connection.close()
    assert path.read_bytes() == before


def test_a_name_that_means_something_in_an_address(book: Any, tmp_path: Path) -> None:
    book.evaluation(10)
    path = book.writer.path
    book.writer.close()
    odd = tmp_path / "run #1 100%.db?mode=rwc"
    path.rename(odd)
    connection = open_read_only(odd)
    assert steps(connection) == [10]
    connection.close()


# --- refusals -----------------------------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with pytest.raises(StoreError, match="no such database; start one with `ctv-tui watch`"):
        open_read_only(path)
    assert not path.exists()


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        open_read_only(tmp_path)


@pytest.mark.parametrize("content", [b"plain text " * 100, b"SQLite format 3\0" + b"x" * 200])
def test_not_a_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"notes\.txt: not an SQLite database"):
        open_read_only(path)


def test_an_empty_file_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match=r"empty\.db: an SQLite database, but not one"):
        open_read_only(tmp_path / "empty.db")


def test_a_database_of_another_program(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "theirs.db")
    connection.execute("CREATE TABLE checkpoints (step)")
    connection.close()
    with pytest.raises(StoreError, match="not one that ctv-tui wrote"):
        open_read_only(tmp_path / "theirs.db")


def test_a_newer_schema(book: Any) -> None:
    book.writer.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(NewerSchemaError) as caught:
        open_read_only(book.writer.path)
    for words in (f"schema {SCHEMA_VERSION + 1}", f"up to {SCHEMA_VERSION}", "upgrade ctv-tui"):
        assert words in str(caught.value)


# --- an archive ---------------------------------------------------------------------------------


@pytest.fixture
def archive(book: Any) -> Iterator[Path]:
    """A finished run in a directory that nobody may write to."""
    book.evaluation(10)
    book.writer.close()
    home = Path(tempfile.mkdtemp(prefix="ctv-archive-"))
    shutil.copy(book.writer.path, home / "run.db")
    (home / "run.db").chmod(0o444)
    home.chmod(0o555)
    yield home / "run.db"
    home.chmod(0o755)
    shutil.rmtree(home)


def open_as_nobody(path: Path) -> subprocess.CompletedProcess[str]:
    """Open ``path`` in a process that is bound by the directory's mode, even if we are root."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ctv_engine.store.reader import StoreError, open_read_only\n"
        f"os.geteuid() or os.setuid({NOBODY})\n"
        "try:\n"
        "    connection = open_read_only(Path(sys.argv[1]))\n"
        "    print([row['step'] for row in connection.execute('SELECT step FROM checkpoints')])\n"
        "except StoreError as error:\n"
        "    sys.exit(f'refused: {error}')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_archived_run_in_a_read_only_directory(archive: Path) -> None:
    found = open_as_nobody(archive)
    assert (found.stdout, found.stderr) == ("[10]\n", "")
    assert [path.name for path in archive.parent.iterdir()] == ["run.db"]


def test_an_archive_with_a_log_that_can_not_be_read_is_refused(archive: Path) -> None:
    # what is in the log is newer than the file: half a truth is worse than none
    archive.parent.chmod(0o755)
    Path(f"{archive}-wal").write_bytes(b"x" * 100)
    archive.parent.chmod(0o555)
    found = open_as_nobody(archive)
    assert found.returncode == 1
    assert found.stderr.startswith(f"refused: {archive}: ")


def test_reading_needs_the_standard_library_alone() -> None:
    code = (
        "import sys, ctv_engine.store.reader\n"
        "sys.exit(any(n in sys.modules for n in ('torch', 'numpy', 'sqlite_utils', 'textual')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
