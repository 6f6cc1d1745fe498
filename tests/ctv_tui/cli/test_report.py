"""`ctv-tui report`: every number on the page is that of a query that this file asks by itself."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from report_page import ReadPage

from ctv_engine.report.snapshot import snapshot_of
from ctv_tui.cli import cli

CLOSED = "mode = 'closed' AND metric = 'accuracy' AND state = 'done'"


def run_report(db: Path, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", "--db", str(db), "--out", str(out), *arguments])


@pytest.fixture(scope="module")
def made(recording: tuple[Path, float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the recorded run."""
    out = tmp_path_factory.mktemp("report") / "out"
    done = run_report(recording[0], out)
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def page(made: Path) -> ReadPage:
    return ReadPage((made / "report.html").read_text())


@pytest.fixture(scope="module")
def sql(recording: tuple[Path, float]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{recording[0]}?mode=ro", uri=True)) as connection:
        yield connection


def test_every_query_returns_the_rows_of_its_csv(
    made: Path, page: ReadPage, sql: sqlite3.Connection
) -> None:
    files = {path.stem for path in (made / "figures").glob("*.csv")}
    assert set(page.queries) == files
    assert len(files) > 15
    for name, query in page.queries.items():
        cursor = sql.execute(query)
        expected = io.StringIO()
        rows = csv.writer(expected, lineterminator="\n")
        rows.writerow([column[0] for column in cursor.description])
        rows.writerows(cursor)
        found = (made / "figures" / f"{name}.csv").read_bytes().decode()
        assert found == expected.getvalue(), name


def test_the_best_checkpoint_is_that_of_the_command(
    page: ReadPage, recording: tuple[Path, float]
) -> None:
    for mode in ("closed", "open", "gold"):
        done = CliRunner().invoke(
            cli, ["best", "--db", str(recording[0]), "--mode", mode, "--json"]
        )
        found = json.loads(done.output)
        best, tied = found["ranking"][0], found["may_be_best"]
        assert page.facts[f"best checkpoint by {mode}"] == (
            f"step {best['step']}",
            f"{best['score']:.3f} [{best['low']:.3f}, {best['high']:.3f}];"
            f" {len(tied)} of {len(found['ranking'])} may be the best",
        )
        table = page.table("Macro mean at each")
        marked = [int(row[0]) for row in table.rows
                  if table.row(row[0])[mode].endswith(", may be the best")]  # fmt: skip
        assert marked == tied


def test_last_scores_per_dataset(page: ReadPage, sql: sqlite3.Connection) -> None:
    table = page.table("Last complete score")
    rows = sql.execute(
        f"SELECT dataset, max(step), value, stderr, n FROM trajectory WHERE {CLOSED}"
        " GROUP BY dataset"
    ).fetchall()
    assert len(rows) == 7
    for dataset, step, value, stderr, n in rows:
        cell = table.row("macro mean" if dataset == "macro" else dataset)["closed"]
        assert cell.startswith(f"{value:.3f} ± {stderr:.3f}  step {step}, n={n}, ")


@pytest.mark.parametrize(("proxy", "metric"), [("closed", "accuracy"), ("open", "score")])
def test_pairs_ordered_as_gold(
    page: ReadPage, sql: sqlite3.Connection, proxy: str, metric: str
) -> None:
    agreeing, pairs = sql.execute(
        f"""
        WITH both AS (
            SELECT p.step, p.value AS proxy, g.value AS gold FROM trajectory p JOIN trajectory g
            ON g.step = p.step AND g.mode = 'gold' AND g.dataset = 'macro' AND g.metric = 'score'
            WHERE p.mode = '{proxy}' AND p.dataset = 'macro' AND p.metric = '{metric}'
              AND p.state = 'done' AND g.state = 'done')
        SELECT sum((a.proxy - b.proxy) * (a.gold - b.gold) > 0), count(*)
        FROM both a JOIN both b ON a.step < b.step AND a.gold <> b.gold"""
    ).fetchone()
    value, small = page.facts[f"{proxy} against gold"]
    assert value == f"{agreeing} of {pairs}"
    r, n = sql.execute(
        "SELECT r, n FROM correlations WHERE proxy = ? AND scope = 'macro' AND window = 0"
        " ORDER BY step DESC LIMIT 1",
        (proxy,),
    ).fetchone()
    assert f"r {r:+.2f} [" in small
    assert small.endswith(f"n={n}")
    assert any(f"{proxy} orders {agreeing}" in text.lower() or f"{proxy} {agreeing} of" in text
               for text in page.sentences)  # fmt: skip
    cell = page.table("Every dataset").row("macro mean", proxy)["Pearson"]
    assert cell.startswith(f"{r:+.2f}  [")


def test_costs_and_saving(page: ReadPage, sql: sqlite3.Connection) -> None:
    seconds = dict(
        sql.execute(
            "SELECT e.mode, avg(p.prefill_s + coalesce(p.decode_s, 0)) FROM predictions p"
            " JOIN evaluations e ON e.id = p.evaluation_id JOIN checkpoints c"
            " ON c.id = e.checkpoint_id WHERE c.step = 900 GROUP BY e.mode"
        )
    )
    saving = 1 - seconds["closed"] / seconds["open"]
    value, small = page.facts["an item of closed is"]
    assert value == f"{100 * saving:.0f} % cheaper"
    assert f"{1000 * seconds['closed']:.1f} ms against {1000 * seconds['open']:.1f} ms" in small
    row = page.table("Mean per item").row("ChartQA", "open")
    (decode,) = sql.execute(
        "SELECT avg(p.decode_s) FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
        " JOIN checkpoints c ON c.id = e.checkpoint_id JOIN items i ON i.id = p.item_id"
        " WHERE c.step = 900 AND e.mode = 'open' AND i.dataset = 'ChartQA'"
    ).fetchone()
    assert row["decode"] == f"{1000 * decode:.1f} ms"


def test_waiting(page: ReadPage, sql: sqlite3.Connection) -> None:
    busy, wait = sql.execute(
        "SELECT busy_s, wait_s FROM gpu_balance b JOIN checkpoints c ON c.id = b.checkpoint_id"
        " WHERE c.step = 900 AND mode = 'open' AND device = 'cuda:1'"
    ).fetchone()
    row = page.table("Busy and waiting").row("open", "cuda:1")
    assert row["busy"] == f"{busy:.2f} s"
    assert row["share of its time"] == f"{100 * wait / (busy + wait):.1f} %"


def test_health(page: ReadPage, sql: sqlite3.Connection) -> None:
    total, capped = sql.execute(
        "SELECT count(*), sum(finish_reason = 'length') FROM predictions"
    ).fetchone()
    assert page.facts["failed or unscored"][0] == f"0 of {total:,}"
    rows = page.table("Items of all checkpoints").rows
    assert rows[0][4] == "–"  # a closed answer has no end
    assert sum(int(row[4].split("  ")[0]) for row in rows[1:]) == capped
    last = page.table("The last warnings and errors").rows
    assert [row[1] for row in last] == ["error", "warning"]


def test_the_page_asks_for_nothing_and_runs_nothing(made: Path, page: ReadPage) -> None:
    assert "script" not in page.tags
    assert not {"img", "link", "iframe", "object", "image"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#"), (tag, name, value)
    text = (made / "report.html").read_text()
    assert re.search(r"url\((?!#)", text) is None
    assert "@import" not in text
    (policy,) = [v for t, n, v in page.attributes if t == "meta" and v.startswith("default-src")]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "http://" not in text and "https://" not in text


def test_figures_are_whole_and_say_what_they_show(made: Path, page: ReadPage) -> None:
    names = sorted(path.stem for path in (made / "figures").glob("*.svg"))
    assert names == sorted(path.stem for path in (made / "figures").glob("*.png"))
    assert names == [
        "correlation", "health", "latency", "letters", "output-lengths", "timeline",
        "trajectories", "trajectory-macro",
    ]  # fmt: skip
    for path in (made / "figures").glob("*.svg"):
        ET.fromstring(path.read_text())
        assert "DOCTYPE" not in path.read_text()
    for path in (made / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(page.svgs) == len(names)
    for svg in page.svgs:
        root = ET.fromstring(svg)
        title = root.find("title")
        assert title is not None and title.text and len(title.text) > 20
    assert len(page.ids) == len(set(page.ids))
    assert set(page.labelled) <= set(page.ids)
    timeline = (made / "figures" / "timeline.svg").read_text()
    assert timeline.count("<pattern") >= 1  # waiting is hatched, not only coloured
    macro = (made / "figures" / "trajectory-macro.svg").read_text()
    for colour in ("#0072b2", "#c24e00", "#007a5a"):
        assert colour in macro
        assert not any(colour in svg for svg in page.svgs)  # the page's own, for light and dark


def test_the_short_version_is_printed_and_kept(recording: tuple[Path, float], made: Path) -> None:
    text = (made / "report.txt").read_text()
    for words in (
        "Validation report: qwen-sft-3",
        "closed orders 25 of 28 checkpoint pairs as gold does (89 %); open 17 of 28 (61 %)",
        "best checkpoint by closed: step 900",
        "closed is 75 % cheaper than this engine's own open task",
        "its engine is silent since",
    ):
        assert words in text
    manifest = json.loads((made / "manifest.json").read_text())
    files = {str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()}
    assert {*manifest["files"], "manifest.json"} == files


def test_one_instant_while_the_engine_writes(db: Path) -> None:
    count = "SELECT count(*) FROM events"
    with snapshot_of(db) as snapshot, closing(sqlite3.connect(db)) as writer:
        before = snapshot.ask("events", count).rows
        writer.execute("INSERT INTO events (at, level, kind, message) VALUES (1, 'info', 'x', 'y')")
        writer.commit()
        assert snapshot.ask("events", count).rows == before
    with snapshot_of(db) as snapshot:
        assert snapshot.ask("events", count).rows == ((before[0][0] + 1,),)


def test_the_program_itself(db: Path, tmp_path: Path) -> None:
    """As a process, with nothing but environment variables; and no figure without matplotlib."""
    env = {**os.environ, "CTV_TUI_DB": str(db), "CTV_TUI_REPORT_OUT": str(tmp_path / "out")}
    block = "import sys; sys.modules['matplotlib'] = None; sys.argv = ['ctv-tui', 'report'];"
    block += "from ctv_tui.__main__ import main; main()"
    for command, status, words in (
        ([sys.executable, "-c", block], 2, "pip install 'ctv-tui[report]'"),
        ([sys.executable, "-m", "ctv_tui", "report"], 0, "written to"),
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, timeout=120, check=False
        )
        assert done.returncode == status, done.stderr
        assert words in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
