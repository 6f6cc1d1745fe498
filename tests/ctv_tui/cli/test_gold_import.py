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
from ctv_tui.data.tail import read_snapshot

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
    assert "1 steps have no checkpoint here and were left out: 500" in done.output
    snapshot = read_snapshot(run.path)
    assert [(p.step, p.value, p.complete) for p in snapshot.points("gold")] == [
        (100, 0.31, True), (200, 0.52, True), (300, 0.55, True), (400, 0.70, True),
    ]  # fmt: skip
    found = snapshot.correlation("closed")
    assert found is not None and found.n == 4
    assert found.r == pytest.approx(pearson(list(CLOSED.values()), [0.31, 0.52, 0.55, 0.70]))
    best = json.loads(run.call("best", "--json").output)
    assert best["gold"] == {"100": 0.31, "200": 0.52, "300": 0.55, "400": 0.7}


def test_importing_again_replaces_the_series(run: Run, tmp_path: Path) -> None:
    run.call("gold", "import", csv(tmp_path, SERIES))
    run.call("gold", "import", csv(tmp_path, "step,score\n100,0.4\n200,0.5\n"))
    points = read_snapshot(run.path).points("gold")
    assert [(p.step, p.value) for p in points] == [(100, 0.4), (200, 0.5)]


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
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_can_not_be_imported_is_one_line_and_changes_nothing(
    text: str, message: str, run: Run, tmp_path: Path
) -> None:
    done = run.call("gold", "import", csv(tmp_path, text))
    assert done.exit_code in (1, 2)
    assert message in done.output and "Traceback" not in done.output
    assert rows(run, "SELECT count(*) FROM evaluations WHERE mode = 'gold'") == [(0,)]


def test_files_that_are_no_table(tmp_path: Path) -> None:
    for name, text in (("g.json", "{"), ("g.json", "[1]"), ("none.csv", None)):
        if text is not None:
            csv(tmp_path, text, name)
        with pytest.raises(SeriesError, match=name):
            read_series(tmp_path / name, "x")
