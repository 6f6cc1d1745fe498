"""The command line as a user meets it: real processes, real exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from ctv_engine.store.rows import APPLICATION_ID, SCHEMA_VERSION
from ctv_engine.store.writer import Writer


def ctv(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctv_tui", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    writer = Writer(path)
    run_id = writer.open_run(
        name="a run",
        checkpoint_dir="/somewhere",
        suite_digest="s",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="here",
    )
    writer.beat(run_id=run_id, pid=1, host="here", state="stopped", version="0")
    writer.close()
    return path


HEAVY = ("torch", "transformers", "numpy", "textual", "sqlite_utils", "plotext")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ctv_tui.cli import cli\n"
        f"try: cli({arguments!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_costs_under_100_ms_more_than_python_itself() -> None:
    """CPU time of the child, best of five, against an empty interpreter in the same minute."""

    def cpu_s(*command: str) -> float:
        best = float("inf")
        for _ in range(5):
            before = os.times()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            after = os.times()
            user = after.children_user - before.children_user
            best = min(best, user + after.children_system - before.children_system)
        return best

    assert cpu_s("-m", "ctv_tui", "--help") - cpu_s("-c", "") < 0.1


@pytest.mark.parametrize(
    "command",
    ["watch", "eval", "demo", "simulate", "serve", "status", "stop", "pause", "resume", "doctor"],
)
def test_every_option_has_help_and_an_environment_variable(command: str) -> None:
    text = ctv(command, "--help", COLUMNS="200").stdout
    options = [line for line in text.splitlines() if line.strip().startswith("--")]
    assert options
    for line in options:
        if "--help" not in line:
            assert "CTV_TUI_" in text[text.index(line.strip().split()[0]) :], line
            assert len(line.split("  ")) > 1, line


def test_an_environment_variable_stands_in_for_its_option(database: Path) -> None:
    done = ctv("--once", CTV_TUI_DB=str(database))
    assert done.returncode == 0
    assert "a run" in done.stdout


def test_without_a_terminal_the_table_is_printed_and_said_so(database: Path) -> None:
    done = ctv("--db", str(database))
    assert done.returncode == 0
    assert "not a terminal" in done.stderr
    assert "a run" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_json_is_one_document_with_a_format_number(database: Path) -> None:
    document = json.loads(ctv("--db", str(database), "--json").stdout)
    assert document["format"] == 1


def test_follow_ends_with_the_engine(database: Path) -> None:
    done = ctv("--db", str(database), "--follow", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[0])["format"] == 1


def test_no_such_database(tmp_path: Path) -> None:
    for arguments in (["--once"], ["--follow"]):
        done = ctv("--db", str(tmp_path / "none.db"), *arguments)
        assert (done.returncode, done.stdout) == (3, "")
        assert "no such database" in done.stderr
    assert not (tmp_path / "none.db").exists(), "a reader never creates the file"


def test_a_database_of_a_newer_version(database: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    done = ctv("--db", str(database), "--once")
    assert done.returncode == 3
    assert "newer ctv-tui" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_foreign_database(tmp_path: Path) -> None:
    import sqlite3

    foreign = tmp_path / "other.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert APPLICATION_ID != 0
    assert "not one that ctv-tui wrote" in ctv("--db", str(foreign), "--once").stderr
    (tmp_path / "text.db").write_text("hello, this is no database at all" * 100)
    assert "not an SQLite database" in ctv("--db", str(tmp_path / "text.db"), "--once").stderr


def test_status_and_stop_without_an_engine(database: Path, tmp_path: Path) -> None:
    status = ctv("status", "--db", str(database), "--json")
    assert status.returncode == 3
    assert json.loads(status.stdout)["running"] is False
    stop = ctv("stop", "--db", str(database))
    assert stop.returncode == 3
    assert "no engine is running" in stop.stderr
    assert "no such database" in ctv("stop", "--db", str(tmp_path / "none.db")).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watch", "{tmp}/none", "--suite", "{tmp}"], "no such directory"),
        (["watch", "{tmp}", "--suite", "{tmp}/none"], "none: no such directory"),
        (["watch", "{tmp}", "--suite", "{tmp}"], "no suite.toml"),
        (["watch", "{tmp}", "--suite", "{tmp}", "--devices", "tpu"], "no suite.toml"),
        (["eval", "{tmp}/none", "--suite", "{tmp}"], "no such directory"),
        (["watch", "{tmp}", "--suite", "{tmp}", "--db", "{tmp}/a/b.db"], "no such directory"),
        (["watch", "{tmp}"], "Missing option '--suite'"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    if "--db" not in given:
        given += ["--db", str(tmp_path / "run.db")]
    done = ctv(*given)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_demo_refuses_a_directory_that_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = ctv("demo", "--headless", "--dir", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr


def test_watch_in_the_background_status_stop(tmp_path: Path) -> None:
    """The engine outlives the command that started it, and `stop` ends it."""
    import sqlite3

    sys.path.insert(0, str(Path(__file__).parents[2] / "engine"))
    import tiny

    suite = tiny.make_suite(tmp_path / "suite", 4)
    (tmp_path / "run").mkdir()
    db = tmp_path / "run.db"
    watch = ("watch", str(tmp_path / "run"), "--suite", str(suite.directory), "--db", str(db))
    started = ctv(*watch)
    assert started.returncode == 0, started.stderr
    assert "The engine goes on" in started.stdout
    try:
        status = ctv("status", "--db", str(db), "--json")
        assert status.returncode == 0
        report = json.loads(status.stdout)
        assert report["running"] is True
        assert report["heartbeat_age_s"] < 30
        again = ctv(*watch)
        assert again.returncode == 3
        assert "another engine" in again.stderr
    finally:
        stopped = ctv("stop", "--db", str(db))
    assert stopped.returncode == 0
    assert f"pid {report['pid']}" in stopped.stdout
    connection = sqlite3.connect(db)
    assert connection.execute("SELECT state FROM engine").fetchone() == ("stopped",)
    connection.close()
    wait_until(lambda: not Path(f"/proc/{report['pid']}").exists())
