"""``ctv-tui query`` and ``ctv-tui export`` as a user meets them."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import recorded_demo
from click.testing import CliRunner, Result

from ctv_engine.store.queries import NAMES
from ctv_tui.cli import cli

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "run.db"
    recorded_demo.write(path)
    return path


def ctv(*arguments: object, **env: str) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], env=env)


def test_a_query_by_its_name(demo: Path) -> None:
    done = ctv("query", "best", "--db", demo, "--param", "rows=2", "--param", ":mode=open")
    assert done.exit_code == 0
    assert [line.split()[:6] for line in done.output.splitlines()] == [
        ["step", "score", "low", "high", "n", "may_be_best"],
        ["----", "-----", "-----", "-----", "---", "-----------"],
        ["240", "0.898", "0.85", "0.939", "119", "1"],
        ["280", "0.891", "0.842", "0.934", "119", "1"],
    ]


def test_sql_in_every_format(demo: Path) -> None:
    sql = "SELECT step, NULL AS empty, 'a|b' AS text FROM checkpoints ORDER BY step LIMIT 2"
    outputs = {
        kind: ctv("query", sql, "--db", demo, "--format", kind).output
        for kind in ("table", "csv", "json", "markdown")
    }
    assert outputs["table"].splitlines()[2].split() == ["40", "–", "a|b"]
    read = list(csv.reader(io.StringIO(outputs["csv"])))
    assert read == [["step", "empty", "text"], ["40", "", "a|b"], ["80", "", "a|b"]]
    assert json.loads(outputs["json"])[1] == {"step": 80, "empty": None, "text": "a|b"}
    assert outputs["markdown"].splitlines()[2] == r"| 40 | – | a\|b |"


def test_every_query_is_listed_with_its_parameters() -> None:
    done = ctv("query", "--list")
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(NAMES)
    assert any(line.strip().startswith(":last") for line in lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", "integer"),
        ("-7", "integer"),
        ("0.5", "real"),
        ("007", "text"),
        ("1e5", "text"),
        ("nan", "text"),
        ("", "text"),
        ("a=b", "text"),
        ("99999999999999999999", "text"),
    ],
)
def test_parameters_are_numbers_where_they_look_like_one(demo: Path, text: str, value: str) -> None:
    done = ctv("query", "SELECT typeof(:a) || :a AS x", "--db", demo, "--param", f"a={text}")
    assert done.output.splitlines()[-1].startswith(value)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["bset"], 2, "no query is called 'bset', did you mean best?; --list lists them"),
        (["xyzzy"], 2, "no query is called 'xyzzy'; --list lists them"),
        ([], 2, "give the NAME of a query (see --list), or SQL"),
        (
            ["best", "--param", "step=3"],
            2,
            "best has no parameter :step; it has :mode, :rows, :run",
        ),
        (["best", "--param", "rows"], 2, "'rows' is not NAME=VALUE; example: last=5"),
        (["best", "--param", "rows=few"], 2, "best: datatype mismatch"),
        (["SELECT nope FROM runs"], 2, "query: no such column: nope"),
        (["DELETE FROM runs"], 2, "only statements that read can be asked"),
        (["SELECT :x"], 2, "parameter :x has no value; give one with --param x=…"),
        ([ENDLESS, "--timeout", "0.05"], 1, "took longer than 0.05 s; a larger --timeout"),
    ],
)
def test_bad_input_is_one_clear_line(
    demo: Path, arguments: list[str], status: int, words: str
) -> None:
    done = ctv("query", *arguments, "--db", demo)
    assert done.exit_code == status
    assert words in done.output and "Traceback" not in done.output
    assert len([line for line in done.output.splitlines() if line.startswith("Error")]) == 1


@pytest.mark.parametrize("command", [["query", "best"], ["export", "--csv", "--out", "out"]])
def test_without_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ctv(*command, "--db", "none.db")
    assert done.exit_code == 3 and "none.db: no such database" in done.output
    (tmp_path / "other.db").write_text("not a database " * 100)
    done = ctv(*command, "--db", "other.db")
    assert done.exit_code == 3 and "other.db: not an SQLite database" in done.output
    assert not (tmp_path / "out").exists()


def test_every_option_has_an_environment_variable(demo: Path) -> None:
    env = {"CTV_TUI_DB": str(demo), "CTV_TUI_FORMAT": "csv", "CTV_TUI_PARAM": "rows=1 mode=gold"}
    done = ctv("query", "best", **env)
    assert done.output.splitlines()[1].startswith("320,")
    for command in ("query", "export"):
        options = [line for line in ctv(command, "--help").output.splitlines() if "  --" in line]
        assert ctv(command, "--help").output.count("CTV_TUI_") >= len(options) - 1  # not --help


@pytest.mark.parametrize(("kind", "other"), [("--csv", "--parquet"), ("--parquet", "--csv")])
def test_an_export(demo: Path, tmp_path: Path, kind: str, other: str) -> None:
    chosen = ["--table", "scores", "--table", "flips"]
    done = ctv("export", "--db", demo, "--out", tmp_path / "out", kind, *chosen)
    assert done.exit_code == 0
    files = [tmp_path / "out" / f"{name}.{kind[2:]}" for name in ("scores", "flips")]
    assert done.output.splitlines()[0] == f"         320 rows  {files[0]}"
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    again = ctv("export", "--db", demo, "--out", tmp_path / "out", kind)
    assert again.exit_code == 2 and "is there already; --force writes it anew" in again.output
    both = ctv("export", "--db", demo, "--out", tmp_path / "both", kind, other)
    assert both.exit_code == 2 and "give one of --parquet and --csv" in both.output
    unknown = ctv("export", "--db", demo, "--out", tmp_path / "x", kind, "--table", "score")
    assert unknown.exit_code == 2 and "did you mean scores?" in unknown.output


# --- real processes -------------------------------------------------------------------------------


def process(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ctv_tui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_reader_that_has_seen_enough_ends_it_quietly(demo: Path) -> None:
    sql = "SELECT p.id, q.answer FROM predictions p, predictions q"
    running = process("query", sql, "--db", str(demo), "--format", "csv")
    assert running.stdout is not None and running.stderr is not None
    assert running.stdout.readline() == "id,answer\n"
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    running.wait(30)


def test_a_query_needs_nothing_heavy(demo: Path) -> None:
    code = (
        "import sys\nfrom ctv_tui.cli import cli\n"
        f"try: cli(['query', 'best', '--db', {str(demo)!r}])\nexcept SystemExit: pass\n"
        "names = ('torch', 'transformers', 'numpy', 'textual', 'sqlite_utils', 'pyarrow')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_file_of_an_older_version_has_no_ranking_and_the_answer_says_who_works_it_out(
    db: Path,
) -> None:
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("DROP TABLE ranking")
        connection.commit()
    done = CliRunner().invoke(cli, ["query", "best", "--db", str(db)])
    assert done.exit_code != 0 and "`ctv-tui best` and `report` work it out" in done.output
    best = CliRunner().invoke(cli, ["best", "--db", str(db)])
    assert best.exit_code == 0 and "leads" in best.output
