"""`ctv-tui best` on databases whose answers are known one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from said_run import ITEMS, Run

from ctv_engine.service.tracking import track
from ctv_engine.store.answers import item_scores, shown_run
from ctv_engine.store.imported import GoldPoint, GoldSeries, write_series
from ctv_engine.store.reader import open_read_only
from ctv_engine.store.writer import Writer
from ctv_tui.cli import cli
from ctv_tui.data.tail import read_snapshot


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run.db")


def three_checkpoints(run: Run) -> None:
    run.answer(100, "closed", lambda n: n % 4 == 0)  # 0.25 of either dataset
    run.answer(200, "closed", lambda n: n % 10 < 8)  # 0.80
    run.answer(300, "closed", lambda n: n % 10 in {0, 1, 2, 3, 4, 5, 6, 9})  # 0.80, other items


def test_checkpoints_are_ranked_and_those_that_can_not_be_told_apart_are_named(run: Run) -> None:
    three_checkpoints(run)
    found = json.loads(run.best("--json", "--smooth", "1").output)
    assert [(one["step"], one["score"]) for one in found["ranking"]] == [
        (200, pytest.approx(0.8)),
        (300, pytest.approx(0.8)),
        (100, pytest.approx(0.25)),
    ]
    assert found["may_be_best"] == [200, 300]
    low, high = found["ranking"][0]["low"], found["ranking"][0]["high"]
    # The normal interval of 200 independent items: 0.8 ± 1.96 · sqrt(0.8 · 0.2 / 200).
    assert (low, high) == (pytest.approx(0.745, abs=0.01), pytest.approx(0.855, abs=0.01))


def test_the_macro_mean_weighs_datasets_not_items(run: Run) -> None:
    run.answer(100, "closed", lambda n: None if 0 < n < 100 else n == 0)
    found = json.loads(run.best("--json").output)
    assert found["items_left_out"] == 99
    assert found["ranking"][0]["score"] == pytest.approx(0.5)  # one of one, none of a hundred


def test_items_that_one_checkpoint_did_not_score_are_left_out_of_all(run: Run) -> None:
    run.answer(100, "closed", lambda n: None if n < 10 else True)
    run.answer(200, "closed", lambda n: None if 5 <= n < 20 else True)
    run.answer(300, "closed", lambda n: True, done=False)
    run.writer.close()
    connection = open_read_only(run.path)
    known = item_scores(connection, shown_run(connection) or 0, "closed")
    connection.close()
    assert known.steps == (100, 200)
    assert (known.left_out, len(known.datasets)) == (20, ITEMS - 20)
    assert {len(scores) for scores in known.scores} == {ITEMS - 20}


def test_regret_says_what_the_choice_costs(run: Run) -> None:
    three_checkpoints(run)
    run.answer(100, "gold", lambda n: n % 10 < 3)
    run.answer(200, "gold", lambda n: n % 10 < 6)
    run.answer(300, "gold", lambda n: n % 10 < 7)
    shown = run.best("--smooth", "1").output
    assert "gold's best is 300; 200, the best by closed, costs 0.100 of gold" in shown
    assert "200 leads, and can't be told apart from 300 (2 of 3)" in shown


def test_a_table_with_a_hostile_name_and_without_gold(run: Run) -> None:
    three_checkpoints(run)
    shown = run.best("--top", "1").output
    assert "\x1b" not in shown and "checkpoints: 3, items: 200" in shown
    assert "… 2 more: --top 0" in shown
    assert "what it costs is not known" in shown


def test_imported_gold_leads_and_nothing_is_claimed_of_the_others(tmp_path: Path) -> None:
    run = Run(tmp_path / "run.db", gold=False)
    three_checkpoints(run)
    points = tuple(GoldPoint(step, "macro", step / 1000) for step in (100, 200, 300))
    write_series(run.writer, run.run_id, GoldSeries("team", points))
    shown = run.best("--mode", "gold").output
    assert "by gold: 300 leads; these scores are without items" in shown
    assert "can't be told apart" not in shown and "by its mean" not in shown


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ((), 1, "no closed evaluation is finished yet"),
        (("--mode", "open"), 1, "no open evaluation is finished yet"),
        (("--smooth", "2"), 2, "--smooth 2 is even"),
    ],
)
def test_what_can_not_be_ranked_is_one_line(
    run: Run, options: tuple[str, ...], status: int, message: str
) -> None:
    run.answer(100, "closed", lambda n: True, done=False)
    done = run.best(*options)
    assert done.exit_code == status
    assert message in done.output and "Traceback" not in done.output


def test_a_database_without_a_run(tmp_path: Path) -> None:
    Writer(tmp_path / "run.db").close()
    done = CliRunner().invoke(cli, ["best", "--db", str(tmp_path / "run.db")])
    assert (done.exit_code, "no closed evaluation" in done.output) == (1, True)


def test_one_checkpoint_is_no_winner_and_equals_share_the_place(tmp_path: Path) -> None:
    one = Run(tmp_path / "one.db")
    one.answer(100, "closed", lambda n: n % 3)
    assert "by closed: 100 is the only one" in one.best().output
    same = Run(tmp_path / "same.db")
    for step in (100, 200, 300):
        same.answer(step, "closed", lambda n: n % 3)
        same.answer(step, "gold", lambda n, step=step: n % 5 < step / 100)  # type: ignore[misc]
    told = same.best().output
    assert "100 leads, and can't be told apart from 200, 300 (3 of 3); 3 share the highest" in told
    assert (
        "100, the best by closed, costs 0.400 of gold (the earliest of 3 with that score)" in told
    )
    assert same.best("--top", "-3").exit_code == 2


def test_best_query_and_dashboard_show_the_run_that_the_engine_took_up_again(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path / "run.db")
    run.answer(100, "closed", lambda n: n % 3)
    writer = run.writer
    later = writer.open_run(
        name="later", checkpoint_dir="/other", suite_digest="suite", gold_digest=None,
        config_json="{}", versions_json="{}", host="h",
    )  # fmt: skip
    assert later > run.run_id
    track(writer, run.run_id, 8)
    writer.beat(run_id=run.run_id, pid=1, host="h", state="stopped", version="1")
    found = json.loads(run.best("--json").output)
    assert found["run"] == "run\x1b[2J" == read_snapshot(run.path).run.name  # type: ignore[union-attr]
    rows = json.loads(run.call("query", "best", "--format", "json").output)
    assert [row["step"] for row in rows] == [100]
