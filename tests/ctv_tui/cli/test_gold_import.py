"""`ctv-tui gold import`: what is taken, what stands apart, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from said_run import Run

from ctv_engine.stats.correlation import pearson
from ctv_engine.store.imported import SeriesError, read_series
from ctv_engine.store.writer import Writer
from ctv_tui.data.tail import Tail, read_snapshot
from ctv_tui.widgets.tracking import scatter_chart

CLOSED = {100: 0.3, 200: 0.5, 300: 0.6, 400: 0.9}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Four checkpoints, closed alone, and no gold suite."""
    one = Run(tmp_path / "run.db", gold=False)
    for step, share in CLOSED.items():
        one.answer(step, "closed", lambda n, share=share: n % 10 < 10 * share)  # type: ignore[misc]
    return one


def rows(run: Run, sql: str) -> list[Any]:
    connection = sqlite3.connect(run.path)
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


def csv(tmp_path: Path, text: str, name: str = "gold.csv") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


SERIES = "step,score\n100,0.31\n200,0.52\n300,0.55\n400,0.70\n500,0.8\n"


def test_a_series_becomes_the_gold_of_a_run_that_has_none(run: Run, tmp_path: Path) -> None:
    done = run.call("gold", "import", csv(tmp_path, SERIES, "team.csv"))
    assert done.exit_code == 0, done.output
    assert "gold series 'team': 4 steps imported, the run's gold" in done.output
    assert "left out, as there is no checkpoint here: 1 step (500)" in done.output
    snapshot = read_snapshot(run.path)
    assert [(p.step, p.value, p.complete) for p in snapshot.points("gold")] == [
        (100, 0.31, True), (200, 0.52, True), (300, 0.55, True), (400, 0.70, True),
    ]  # fmt: skip
    found = snapshot.correlation("closed")
    assert found is not None and found.n == 4
    assert found.r == pytest.approx(pearson(list(CLOSED.values()), [0.31, 0.52, 0.55, 0.70]))
    best = json.loads(run.call("best", "--json").output)
    assert best["gold"] == {"100": 0.31, "200": 0.52, "300": 0.55, "400": 0.7}


@pytest.mark.parametrize("has_gold", [False, True])
def test_importing_a_shorter_series_leaves_nothing_of_the_longer_one(
    tmp_path: Path, has_gold: bool
) -> None:
    runs = [Run(tmp_path / f"{name}.db", gold=has_gold) for name in ("twice", "once")]
    series = [csv(tmp_path, SERIES), csv(tmp_path, "step,score\n100,0.4\n200,0.5\n", "s.csv")]
    for run, files in zip(runs, (series, series[1:]), strict=True):
        for step, share in CLOSED.items():
            run.answer(step, "closed", lambda n, share=share: n % 10 < 10 * share)  # type: ignore[misc]
            if has_gold:
                run.answer(step, "gold", lambda n, share=share: n % 20 < 12 * share)  # type: ignore[misc]
        for file in files:
            done = run.call("gold", "import", file, "--name", "team")
            assert done.exit_code == 0, done.output
    for table, columns in (
        ("correlations", "scope, proxy, method, window, step, r, low, high, n, reason"),
        ("evidence", "scope, mode, measure, value, low, high, pairs, n, step, reason"),
        ("ranking", "mode, window, step, rank, value, low, high, change, n, reason"),
        ("trajectory", "step, mode, dataset, metric, value"),
        ("evaluations", "checkpoint_id, mode, schedule, state"),
    ):
        sql = f"SELECT {columns} FROM {table} ORDER BY {columns}"
        assert rows(runs[0], sql) == rows(runs[1], sql), table
    scope = "imported:team:macro" if has_gold else "macro"
    counted = "SELECT DISTINCT n FROM correlation_now WHERE window = 0 AND method = 'pearson'"
    assert rows(runs[0], f"{counted} AND proxy = 'closed' AND scope = '{scope}'") == [(2,)]


def test_a_dashboard_that_is_open_forgets_the_longer_series(run: Run, tmp_path: Path) -> None:
    run.call("gold", "import", csv(tmp_path, SERIES))
    tail = Tail(run.path)
    before = tail.poll()
    assert before is not None and len(before.points("gold")) == 4
    run.call("gold", "import", csv(tmp_path, "step,score\n100,0.4\n200,0.5\n"))
    after = tail.poll()
    tail.close()
    assert after is not None
    assert [(p.step, p.value) for p in after.points("gold")] == [(100, 0.4), (200, 0.5)]
    found = after.correlation("closed")
    assert found is not None and (found.step, found.n) == (200, 2)
    assert {row.step for row in after.ranked("gold")} == {100, 200}
    assert any("2 steps imported" in event.message for event in after.events)


def test_a_row_that_was_never_scored_takes_no_gold_and_hides_nothing(
    run: Run, tmp_path: Path
) -> None:
    run.writer.add_checkpoint(run.run_id, 200, "/c-200", 2.0)  # seen again, and gone
    run.call("gold", "import", csv(tmp_path, SERIES))
    standing = "SELECT mode FROM trajectory WHERE step = 200 AND dataset = 'macro'"
    found = rows(run, f"{standing} AND metric IN ('accuracy', 'score') ORDER BY 1")
    assert found == [("closed",), ("gold",)]


def test_a_series_beside_gold_does_not_stand_for_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run.db")
    run.answer(100, "closed", lambda n: n % 2)
    run.call("gold", "import", csv(tmp_path, SERIES))
    later = Writer(run.path)
    key = later.add_evaluation(run.checkpoints[100], "gold", "queue", 7)
    found = later.query(
        "SELECT schedule, state, planned, finished_at FROM evaluations WHERE id = ?", key
    )
    assert found == [("queue", "queued", 7, None)]
    assert later.query("SELECT metric, value FROM scores WHERE evaluation_id = ?", key) == [
        ("imported:gold", 0.31)
    ]
    later.close()


def test_datasets_and_their_mean_in_per_cent_from_json(run: Run, tmp_path: Path) -> None:
    table = [
        {"step": 100, "dataset": name, "score": score, "stderr": 2}
        for name, score in (("easy", 80), ("hard", 40))
    ]
    table.append({"step": 200, "dataset": "easy", "score": 90})
    done = run.call("gold", "import", csv(tmp_path, json.dumps(table), "g.json"), "--scale", "100")
    assert done.exit_code == 0, done.output
    found = rows(run, "SELECT step, dataset, value, stderr FROM trajectory WHERE mode = 'gold'"
                      " AND metric = 'score' ORDER BY 1, 2")  # fmt: skip
    assert found == [
        (100, "easy", 0.8, 0.02), (100, "hard", 0.4, 0.02),
        (100, "macro", pytest.approx(0.6), None), (200, "easy", 0.9, None),
    ]  # fmt: skip


def test_beside_a_gold_suite_nothing_is_mixed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run.db")
    for step, share in CLOSED.items():
        run.answer(step, "closed", lambda n, share=share: n % 10 < 10 * share)  # type: ignore[misc]
        run.answer(step, "gold", lambda n, share=share: n % 20 < 12 * share)  # type: ignore[misc]
    before = rows(run, "SELECT * FROM trajectory WHERE metric = 'score'")
    done = run.call("gold", "import", csv(tmp_path, SERIES, "team.csv"))
    assert "beside the run's own gold" in done.output
    assert rows(run, "SELECT * FROM trajectory WHERE metric = 'score'") == before
    own, other = (
        rows(run, "SELECT r FROM correlation_now WHERE proxy = 'closed' AND method = 'pearson'"
                  f" AND window = 0 AND scope = '{scope}'")[0][0]
        for scope in ("macro", "imported:team:macro")
    )  # fmt: skip
    assert other == pytest.approx(pearson(list(CLOSED.values()), [0.31, 0.52, 0.55, 0.70]))
    assert own != pytest.approx(other)


def dots(run: Run, scope: str) -> set[tuple[float, float | None]]:
    chart = scatter_chart(read_snapshot(run.path), scope, None)
    return {(dot.x, dot.y) for one in chart.series for dot in one.dots if one.role == "closed"}


def test_the_scatter_of_each_scope_has_the_points_that_its_r_is_of(tmp_path: Path) -> None:
    run = Run(tmp_path / "run.db")
    for step, share in CLOSED.items():
        run.answer(step, "closed", lambda n, share=share: n % 10 < 10 * share)  # type: ignore[misc]
        run.answer(step, "gold", lambda n: n % 2 or n < 20)
    table = [
        {"step": step, "dataset": name, "score": step / 1000 + place / 10}
        for step in (100, 200, 300, 500)
        for place, name in enumerate(("easy", "hard"))
    ]
    done = run.call("gold", "import", csv(tmp_path, json.dumps(table), "team.json"))
    assert done.exit_code == 0, done.output
    closed = {step: pytest.approx(share) for step, share in CLOSED.items()}
    three = [(step / 1000, closed[step]) for step in (100, 200, 300)]
    assert sorted(dots(run, "imported:team:dataset:easy")) == three
    assert sorted(dots(run, "imported:team:macro")) == [
        (pytest.approx(gold + 0.05), value) for gold, value in three
    ]
    assert len(dots(run, "imported:team:pooled")) == 2 * 3
    assert {round(gold, 9) for gold, _ in dots(run, "macro")} == {0.55}
    assert {round(gold, 9) for gold, _ in dots(run, "pooled")} == {0.5, 0.6}
    chart = scatter_chart(read_snapshot(run.path), "imported:team:pooled", None)
    (marked,) = [one.dots for one in chart.series if one.shape == "last disc"]
    assert [dot.x for dot in marked] == pytest.approx([0.3, 0.4])


def test_a_series_of_other_datasets_says_that_nothing_has_both(run: Run, tmp_path: Path) -> None:
    run.call("gold", "import", csv(tmp_path, "step,dataset,score\n100,other,0.5\n200,other,0.6\n"))
    chart = scatter_chart(read_snapshot(run.path), "dataset:other", None)
    assert not chart.has_points and "complete score of both" in chart.empty


BAD = [
    ("step,score\n100,31\n", "row 1: score 31 is not between 0 and 1; are they per cent?"),
    ("step,score\n100,0.3\n100,0.4\n", "row 2: step 100 of macro was there before"),
    ("step,score\n100,nan\n", "row 1: score 'nan' is no number"),
    ("step,score\n1.5,0.3\n", "row 1: step '1.5' is no whole number"),
    ("step,score\n,0.3\n", "row 1: step '' is no number"),
    ("epoch,score\n1,0.3\n", "names no step (it has epoch, score)"),
    ("step,score\n", "no scores"),
    ("", "names no step (it has nothing)"),
    ("step,score\n5,0.3\n", "no checkpoint of"),
    ("step,score,stderr\n100,0.3,-0.1\n", "row 1: stderr -0.1 is negative"),
    ("step,score\n100,0,3\n", "row 1: more values than the first line names"),
    ("step,score,dataset\n100,0.3,pooled\n", "row 1: dataset 'pooled' can't be"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_can_not_be_imported_is_one_line_and_changes_nothing(
    text: str, message: str, run: Run, tmp_path: Path
) -> None:
    done = run.call("gold", "import", csv(tmp_path, text))
    assert done.exit_code in (1, 2)
    assert message in done.output and "Traceback" not in done.output
    assert rows(run, "SELECT count(*) FROM evaluations WHERE mode = 'gold'") == [(0,)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"step": True, "score": 0.5}, "row 1: step True is no number"),
        ({"step": 1, "score": True}, "row 1: score True is no number"),
        ({"step": 1, "score": 0.5, "dataset": ["x"]}, r"row 1: dataset \['x'\] can't be"),
    ],
)
def test_json_of_other_kinds_is_refused(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        read_series(Path(csv(tmp_path, json.dumps([row]), "g.json")), "x")


def test_files_that_are_no_table(tmp_path: Path) -> None:
    for name, text in (("g.json", "{"), ("g.json", "[1]"), ("none.csv", None)):
        if text is not None:
            csv(tmp_path, text, name)
        with pytest.raises(SeriesError, match=name):
            read_series(tmp_path / name, "x")
