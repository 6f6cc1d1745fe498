"""`ctv-tui suite build` and `diff` as a person calls them."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import published
import pytest
from click.testing import CliRunner, Result
from waiting import wait_until

from ctv_engine.construction.journal import Journal, State
from ctv_engine.construction.writing import write_from_journal
from ctv_engine.suite import read_suite
from ctv_tui.cli import cli


def suite(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["suite", *map(str, arguments)])


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(1)
    rows = [
        {
            "type": "human_test",
            "question": f"How many {n}?",
            "answer": str(rng.randint(20, 90)) if n % 11 else "",
            "image": published.hf(n % 7),
        }
        for n in range(80)
    ]
    return published.parquet(tmp_path_factory.mktemp("charts") / "test.parquet", rows)


@pytest.fixture(scope="module")
def built(charts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "mine"
    done = suite("build", "--out", out, "--source", f"chartqa={charts}", "--n", "30")
    assert done.exit_code == 0, done.output
    return out


def test_options_alone_make_a_suite(built: Path) -> None:
    made = read_suite(built)
    assert (made.name, len(made.items)) == ("mine", 30)


def test_the_report_says_what_became_of_every_row(charts: Path, tmp_path: Path) -> None:
    done = suite("build", "--out", tmp_path / "s", "--source", f"chartqa={charts}", "--n", "5")
    assert done.exit_code == 0
    assert "ChartQA               80       8       5       5       0     0" in done.output
    assert "ChartQA: 8 rows: no answer (of a test split they are often withheld)" in done.output
    assert "suite s: 5 items, digest" in done.output


def test_a_file_with_the_plan(charts: Path, tmp_path: Path) -> None:
    shutil.copy(charts, tmp_path / "charts.parquet")
    (tmp_path / "build.toml").write_text(
        'name = "planned"\nseed = 3\noptions = 3\n[sources.chartqa]\npath = "charts.parquet"\n'
        'n = 10\nopen_metric = "relaxed"\n[sources.chartqa.columns]\nanswer = "answer"\n',
        encoding="utf-8",
    )
    done = suite("build", "--config", tmp_path / "build.toml", "--out", tmp_path / "s", "--n", "8")
    assert done.exit_code == 0, done.output
    made = read_suite(tmp_path / "s")
    assert (made.name, len(made.items), made.datasets[0].open_metric) == ("planned", 8, "relaxed")
    assert {len(item.options) for item in made.items} == {3}
    refused = suite("build", "--config", tmp_path / "build.toml", "--out", tmp_path / "s",
                    "--seed", "4")  # fmt: skip
    assert refused.exit_code == 2 and "--restart" in refused.output
    again = suite("build", "--config", tmp_path / "build.toml", "--out", tmp_path / "s",
                  "--seed", "4", "--restart")  # fmt: skip
    assert again.exit_code == 0


BAD = [
    (("--source", "chartqa"), "--source chartqa: write it as chartqa=PATH"),
    (("--source", "chart=x"), "no benchmark is called 'chart'"),
    (("--source", "chartqa=none.parquet"), "no such file or folder"),
    ((), "no sources; name one with --source"),
    (("--source", "chartqa=x", "--n", "many"), "--n many: write a number"),
    (("--source", "chartqa=x", "--n", "²"), "--n ²: write a number"),
    (("--source", "chartqa=x", "--n", "docvqa=3"), "no source is called 'docvqa'"),
    (("--config", "none.toml"), "none.toml: can't be read"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_what_can_not_be_built_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = suite("build", "--out", tmp_path / "s", *arguments)
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output
    assert not (tmp_path / "s" / "suite.toml").exists()


def test_a_build_that_is_killed_goes_on(charts: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "ctv_tui", "suite", "build", "--out", str(out)]
    command += ["--source", f"chartqa={charts}", "--n", "60"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until((out / "build.db").exists, 30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    straight = suite("build", "--out", tmp_path / "straight", "--source", f"chartqa={charts}",
                     "--n", "60", "--name", "killed")  # fmt: skip
    assert straight.exit_code == 0
    assert read_suite(out).digest == read_suite(tmp_path / "straight").digest


def test_restart_with_a_source_that_is_not_there_forgets_nothing(
    charts: Path, tmp_path: Path
) -> None:
    source = ("--source", f"chartqa={charts}", "--n", "5")
    assert suite("build", "--out", tmp_path / "s", *source).exit_code == 0
    failed = suite("build", "--out", tmp_path / "s", "--source", "chartqa=none", "--restart")
    assert failed.exit_code == 2
    assert (tmp_path / "s" / "build.db").is_file()


def test_a_suite_that_no_build_made_is_not_written_over(charts: Path, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text("by hand", encoding="utf-8")
    source = ("--source", f"chartqa={charts}", "--n", "5")
    refused = suite("build", "--out", tmp_path, *source)
    assert refused.exit_code == 2 and "--restart to replace it" in refused.output
    assert (tmp_path / "suite.toml").read_text(encoding="utf-8") == "by hand"
    assert suite("build", "--out", tmp_path, *source, "--restart").exit_code == 0


def test_a_journal_that_somebody_else_writes(
    charts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--source", f"chartqa={charts}")
    assert suite("build", "--out", tmp_path, *source, "--n", "5").exit_code == 0
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.1}))
    other = connect(tmp_path / "build.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = suite("build", "--out", tmp_path, *source, "--n", "6")
    other.close()
    assert refused.exit_code == 1
    assert "build.db: database is locked; is another build running there" in refused.output


BAD_FILES = [
    ("sources = 3", "sources is 3; it must be a table"),
    ("[sources]\nchartqa = 3", "[sources.chartqa] must be a table"),
    ("[sources.chartqa]\ncolumns = 'a'", "sources.chartqa.columns is 'a'; it must be a table"),
    ("[sources.chartqa]\npath = 3", "sources.chartqa.path is 3; it must be a text"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_plan_of_another_kind_than_options_add_to(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "build.toml").write_text(text, encoding="utf-8")
    done = suite("build", "--config", tmp_path / "build.toml", "--out", tmp_path / "s",
                 "--source", "chartqa=x", "--columns", "answer=a")  # fmt: skip
    assert (done.exit_code, message in done.output) == (2, True), done.output


# --- diff -----------------------------------------------------------------------------------------


def test_the_same_and_a_changed_suite(built: Path, tmp_path: Path) -> None:
    assert suite("diff", built, built).exit_code == 0
    other = tmp_path / "other"
    shutil.copytree(built, other)
    journal = Journal(other)
    first, second, *_ = journal.drafts(State.KEPT)
    options = (first.options[0], "\x1b[2J 1", "2", "3")
    journal.decide(first.id, "edit", state=State.KEPT, options=options)
    journal.decide(second.id, "drop", state=State.DROPPED, reason="ambiguous")
    journal.close()
    write_from_journal(other)
    done = suite("diff", built, other)
    assert done.exit_code == 1
    assert "ChartQA: 30 → 29 items; 1 removed, 1 changed" in done.output
    assert f"- ChartQA/{second.key}" in done.output
    assert f"~ ChartQA/{first.key} (options" in done.output
    found = json.loads(suite("diff", built, other, "--json").output)
    assert found["removed"] == [["ChartQA", second.key]]
    assert found["changed"][0][:2] == ["ChartQA", first.key]


def test_settings_that_differ_are_named(built: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(built, other)
    text = (other / "suite.toml").read_text(encoding="utf-8")
    (other / "suite.toml").write_text(text.replace("exact_match", "relaxed"), encoding="utf-8")
    done = suite("diff", built, other)
    assert done.exit_code == 1
    assert "ChartQA: open_metric 'exact_match' → 'relaxed'" in done.output


def test_no_suite_at_all(built: Path, tmp_path: Path) -> None:
    done = suite("diff", built, tmp_path)
    assert (done.exit_code, "this is not a suite directory" in done.output) == (2, True)
