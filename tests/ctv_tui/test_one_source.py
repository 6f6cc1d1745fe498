"""A number has one source: tab, report, `best` and `query` show the row that the engine wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from report_page import ReadPage, Table

from ctv_tui.cli import cli
from ctv_tui.data import Snapshot
from ctv_tui.data.standing import best
from ctv_tui.widgets.lines import text_of
from ctv_tui.widgets.scope_table import scope_rows_of, table_rows

SCOPES = ("macro", "dataset:ChartQA", "dataset:VizWiz")
COLUMNS = {
    "decision_accuracy": ("decisions", "{:.0%}"),
    "step_noise": ("noise", "{:.3f}"),
    "monotonicity": ("monotonicity", "{:+.2f}"),
    "signal_to_noise": ("signal to noise", "{:.1f}"),
}


def call(*arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def db(recording: tuple[Path, float]) -> str:
    return str(recording[0])


@pytest.fixture(scope="module")
def rows(db: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    found = json.loads(call("query", "evidence", "--db", db, "--format", "json"))
    return {(row["scope"], row["mode"], row["measure"]): row for row in found}


@pytest.fixture(scope="module")
def table(db: str, tmp_path_factory: pytest.TempPathFactory) -> Table:
    out = tmp_path_factory.mktemp("report")
    call("report", "--db", db, "--out", str(out))
    return ReadPage((out / "report.html").read_text()).table("Every dataset")


def name_of(scope: str) -> str:
    return "macro mean" if scope == "macro" else scope.removeprefix("dataset:")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("proxy", ["closed", "open"])
def test_the_report_shows_the_rows(rows: Any, table: Table, scope: str, proxy: str) -> None:
    cells = table.row(name_of(scope), proxy)
    for measure, (column, shown) in COLUMNS.items():
        row = rows[scope, proxy, measure]
        value = shown.format(row["value"]).replace("%", " %")
        assert cells[column].startswith(f"{value}  "), (measure, cells[column])
        assert f"n={row['n']}" in cells[column]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_tab_shows_the_rows(rows: Any, snapshot: Snapshot, scope: str) -> None:
    (line,) = [row for row in scope_rows_of(snapshot) if row.scope == scope]
    shown = text_of(table_rows([line], 150)[1])
    for proxy in ("closed", "open"):
        pairs, noise, rise = (rows[scope, proxy, measure] for measure in list(COLUMNS)[:3])
        more = f"{pairs['value'] * 100:.0f} % {noise['value']:.3f} {rise['value']:+.2f}"
        assert more in " ".join(shown.split()), (proxy, shown)


@pytest.mark.parametrize("mode", ["closed", "open", "gold"])
def test_the_dashboard_names_the_best_that_the_command_names(
    db: str, snapshot: Snapshot, mode: Any
) -> None:
    told = json.loads(call("best", "--db", db, "--mode", mode, "--json"))
    found, first = best(snapshot.ranked(mode)), told["ranking"][0]
    assert found is not None
    assert (found.step, found.value) == (first["step"], first["score"])
    assert (found.low, found.high) == (first["low"], first["high"])
    assert list(found.tied or ()) == told["may_be_best"]
    asked = json.loads(
        call("query", "best", "--db", db, "--format", "json", "--param", f"mode={mode}")
    )
    assert sorted(row["step"] for row in asked if row["may_be_best"]) == told["may_be_best"]
