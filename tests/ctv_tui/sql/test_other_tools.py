"""The database and its exports in the tools that people use: sqlite-utils, datasette, DuckDB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from datasette.app import Datasette
from sqlite_utils import Database

from ctv_engine.store.queries import named_query
from ctv_tui.sql.asking import Rows
from ctv_tui.sql.export import Kind, export


def macro_scores(demo: Path) -> list[tuple[Any, ...]]:
    query = named_query("trajectory")
    return list(Rows(demo, query.sql, dict.fromkeys(dict(query.parameters))))


def test_sqlite_utils_on_the_command_line(demo: Path) -> None:
    def sqlite_utils(*arguments: str) -> Any:
        command = [sys.executable, "-m", "sqlite_utils", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    counts = {row["table"]: row["count"] for row in sqlite_utils("tables", str(demo), "--counts")}
    assert counts["predictions"] == 3360 and counts["scores"] == 320
    views = {row["view"] for row in sqlite_utils("views", str(demo))}
    known = {"trajectory", "latency", "gpu_balance", "correlation_now", "flips", "work"}
    assert known | {"host_balance"} == views
    sql = named_query("best").sql.replace(":mode", "NULL").replace(":run", "NULL")
    rows = sqlite_utils("query", str(demo), sql, "-p", "rows", "2")
    assert [row["step"] for row in rows] == [320, 280]


def test_sqlite_utils_from_python(demo: Path) -> None:
    database = Database(demo)
    predictions = database["predictions"]
    assert predictions.strict and predictions.pks == ["id"]
    assert {key.other_table for key in predictions.foreign_keys} == {
        "evaluations",
        "items",
        "workers",
    }
    assert predictions.columns_dict["prefill_s"] is float
    rows = database.query("SELECT count(*) AS n FROM flips WHERE mode = 'closed'")
    assert next(rows)["n"] > 0
    database.close()


async def test_datasette_serves_tables_views_and_queries(demo: Path) -> None:
    best = named_query("best")
    served = Datasette(
        files=[str(demo)],
        metadata={"databases": {"run": {"queries": {"best": {"sql": best.sql}}}}},
    )
    page = await served.client.get("/run/checkpoints.json?_shape=array&state=done&_sort_desc=step")
    assert page.status_code == 200 and [row["step"] for row in page.json()][:2] == [320, 280]
    view = await served.client.get(
        "/run/trajectory.json?_shape=array&dataset=macro&metric=accuracy&_size=100"
    )
    assert [row["step"] for row in view.json()] == list(range(40, 321, 40))
    html = await served.client.get("/run/predictions")
    assert html.status_code == 200 and "Share of the vocabulary&#39;s probability" in html.text
    named = await served.client.get("/run/best.json?_shape=array&mode=open&rows=1&run=1")
    assert [row["step"] for row in named.json()] == [240]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_duckdb_reads_what_was_exported(demo: Path, tmp_path: Path, kind: Kind) -> None:
    export(demo, tmp_path, kind)
    connection = duckdb.connect()

    def ask(sql: str) -> list[tuple[Any, ...]]:
        for name in ("predictions", "evaluations", "checkpoints", "trajectory"):
            sql = sql.replace(f"{{{name}}}", f"'{tmp_path / name}.{kind}'")
        return connection.execute(sql).fetchall()

    assert ask(
        "SELECT step, mode, round(value, 3), round(stderr, 3), n, state FROM {trajectory}"
        " WHERE dataset = 'macro' AND metric IN ('accuracy', 'score') ORDER BY step, mode"
    ) == macro_scores(demo)
    known = Rows(
        demo,
        "SELECT c.step, count(*), sum(p.correct), count(p.option_mass) FROM predictions p"
        " JOIN evaluations e ON e.id = p.evaluation_id JOIN checkpoints c ON c.id = e.checkpoint_id"
        " GROUP BY c.step ORDER BY c.step",
        {},
    )
    assert ask(
        "SELECT c.step, count(*), sum(p.correct), count(p.option_mass) FROM {predictions} p"
        " JOIN {evaluations} e ON e.id = p.evaluation_id"
        " JOIN {checkpoints} c ON c.id = e.checkpoint_id GROUP BY c.step ORDER BY c.step"
    ) == list(known)
    connection.close()
