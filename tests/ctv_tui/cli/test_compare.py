"""`ctv-tui compare`: its numbers against queries over both files at once."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import recorded_run
from click.testing import CliRunner, Result
from report_page import ReadPage

from ctv_engine.store.writer import Writer
from ctv_tui.cli import cli

CONFIGS = (
    {"db": "/a.db", "batch_size": 32, "learning_rate": 1e-5, "suite": "/s"},
    {"db": "/b.db", "batch_size": 16, "suite": "/s"},
)


def compare(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)])


def short_run(path: Path, seed: int, skill: float) -> Path:
    """Four checkpoints in both modes; the last open evaluation is not complete."""
    recorder = recorded_run.Recorder(path, name=f"run-{seed}", datasets=["ChartQA", "MMVet"])
    recorder.random.seed(seed)
    for step in (100, 200, 300, 400):
        recorder.add_checkpoint(step)
        with pytest.MonkeyPatch.context() as patch:
            for name, (metric, items, *_) in list(recorded_run.DATASETS.items()):
                patch.setitem(recorded_run.DATASETS, name, (metric, items, 0.2, skill))
            recorder.evaluate(step, "closed")
            recorder.evaluate(step, "open", share=0.5 if step == 400 else 1.0)
    recorder.close()
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs on one suite, of which the second learns far more."""
    folder = tmp_path_factory.mktemp("two")
    paths = short_run(folder / "a.db", 1, 0.3), short_run(folder / "b.db", 2, 0.95)
    for path, config in zip(paths, CONFIGS, strict=True):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE runs SET config_json = ?", (json.dumps(config),))
            connection.commit()
    return paths


@pytest.fixture(scope="module")
def found(two: tuple[Path, Path]) -> dict[str, Any]:
    done = compare("--json", *two)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.output)
    return document


@pytest.fixture(scope="module")
def both(two: tuple[Path, Path]) -> Iterator[sqlite3.Connection]:
    """The first file, with the second one attached as ``b``."""
    with closing(sqlite3.connect(two[0])) as connection:
        connection.execute("ATTACH ? AS b", (str(two[1]),))
        yield connection


def test_settings_that_differ(found: dict[str, Any]) -> None:
    assert found["settings_that_differ"] == {
        "batch_size": [32, 16],
        "learning_rate": [1e-5, None],
    }
    assert found["versions_that_differ"] == {}


def test_scores_and_costs(found: dict[str, Any], both: sqlite3.Connection) -> None:
    for place, schema in enumerate(("main", "b")):
        run = found["runs"][place]
        value, step = both.execute(
            f"SELECT max(value), step FROM {schema}.trajectory WHERE dataset = 'macro'"
            " AND metric = 'accuracy'"
        ).fetchone()
        best = run["scores"]["closed"]["best"]
        assert (best["value"], best["step"]) == (pytest.approx(value), step)
        assert run["scores"]["open"]["last"]["step"] == 300
        assert run["scores"]["gold"] is None
        (cost,) = both.execute(
            f"SELECT sum(p.prefill_s) / 4 FROM {schema}.predictions p JOIN {schema}.evaluations e"
            " ON e.id = p.evaluation_id WHERE e.mode = 'closed'"
        ).fetchone()
        assert run["device_s_per_evaluation"]["closed"] == pytest.approx(cost)
    assert sum(run["datasets_won"] for run in found["runs"]) <= 2


ITEMS = """
WITH mine AS (SELECT i.dataset, i.key, p.{score} AS x FROM main.predictions p
    JOIN main.items i ON i.id = p.item_id JOIN main.evaluations e ON e.id = p.evaluation_id
    JOIN main.checkpoints c ON c.id = e.checkpoint_id WHERE e.mode = '{mode}' AND c.step = {one}),
theirs AS (SELECT i.dataset, i.key, p.{score} AS x FROM b.predictions p
    JOIN b.items i ON i.id = p.item_id JOIN b.evaluations e ON e.id = p.evaluation_id
    JOIN b.checkpoints c ON c.id = e.checkpoint_id WHERE e.mode = '{mode}' AND c.step = {two})
SELECT avg(d), sum(n), sum(only_first), sum(only_second) FROM (
    SELECT avg(theirs.x - mine.x) AS d, count(*) AS n, sum(mine.x > theirs.x) AS only_first,
           sum(mine.x < theirs.x) AS only_second
    FROM mine JOIN theirs USING (dataset, key) GROUP BY dataset)
"""


def test_the_same_items(found: dict[str, Any], both: sqlite3.Connection) -> None:
    pairs = found["same_items"]
    assert [(one["mode"], one["which"], one["steps"] is not None) for one in pairs] == [
        ("closed", "last step that both have", True),
        ("closed", "each one's best", True),
        ("open", "last step that both have", True),
        ("open", "each one's best", True),
    ]
    assert pairs[0]["steps"] == [400, 400]
    assert pairs[2]["steps"] == [300, 300]
    for one in pairs:
        score = "correct" if one["mode"] == "closed" else "score"
        difference, n, only_first, only_second = both.execute(
            ITEMS.format(score=score, mode=one["mode"], one=one["steps"][0], two=one["steps"][1])
        ).fetchone()
        assert one["difference"]["value"] == pytest.approx(difference)
        assert one["difference"]["n"] == n == 70
        assert one["difference"]["low"] < one["difference"]["value"] < one["difference"]["high"]
        if one["mode"] == "closed":
            assert one["mcnemar"]["only_before"] == only_first
            assert one["mcnemar"]["only_after"] == only_second
    assert pairs[0]["difference"]["low"] > 0  # what the second run learned is no chance


def test_the_page_and_the_text(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = compare("--db", two[0], "--db", two[1], "--out", out)
    assert done.exit_code == 0, done.output
    assert "B against A, closed, last step that both have (step 400): +0." in done.output
    assert "batch_size     32     16" in done.output
    assert (out / "compare.txt").read_text() in done.output
    page = ReadPage((out / "compare.html").read_text())
    assert page.table("Settings that differ").row("learning_rate")["B: run-2"] == "–"
    assert {path.name for path in (out / "figures").glob("*.svg")} == {
        "compare-macro.svg", "compare-datasets.svg",
    }  # fmt: skip
    assert len(page.ids) == len(set(page.ids))
    for name, query in page.queries.items():
        path = two["ab".index(name[0])]
        assert query.startswith(f"-- {name[0].upper()}: {path.resolve()}\n")
        with closing(sqlite3.connect(path)) as connection:
            cursor = connection.execute(query)
            expected = io.StringIO()
            rows = csv.writer(expected, lineterminator="\n")
            rows.writerow([column[0] for column in cursor.description])
            rows.writerows(cursor)
        assert (out / "figures" / f"{name}.csv").read_text() == expected.getvalue()


def test_other_items_are_not_compared(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "c.db"
    other.write_bytes(two[1].read_bytes())
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("UPDATE runs SET suite_digest = 'another'")
        connection.commit()
    document = json.loads(compare("--json", two[0], other).output)
    assert {one["reason"] for one in document["same_items"]} == {
        "not the same items: the suites differ (suite and another)"
    }
    assert all(one["difference"] is None for one in document["same_items"])
    assert all(run["datasets_won"] is None for run in document["runs"])
    assert "not comparable; not the same items" in compare(two[0], other).output


def test_a_dataset_about_one_image_is_not_compared(tmp_path: Path) -> None:
    paths = short_run(tmp_path / "a.db", 1, 0.3), short_run(tmp_path / "b.db", 2, 0.95)
    for path in paths:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE items SET image_digest = 'one' WHERE dataset = 'MMVet'")
            connection.commit()
    done = compare("--json", *paths)
    assert done.exit_code == 0, done.output
    assert {
        (one["difference"], one["reason"]) for one in json.loads(done.output)["same_items"]
    } == {(None, "no interval where a dataset is about a single image: MMVet")}


def test_all_runs_of_one_file(two: tuple[Path, Path], tmp_path: Path) -> None:
    one = tmp_path / "one.db"
    one.write_bytes(two[0].read_bytes())
    done = compare(one, one)
    assert done.exit_code == 2
    assert "a single run, and nothing to compare it with" in done.output
    recorder = recorded_run.Recorder(one, name="later", datasets=["ChartQA", "MMVet"])
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed")
    recorder.close()
    done = compare(one)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].split() == ["A:", "run-1", "B:", "later"]


@pytest.mark.parametrize(
    ("names", "status", "words"),
    [
        ((), 2, "name the databases to compare"),
        (("a.db", "none.db"), 3, "no such database"),
        (("a.db", "empty.db"), 2, "no run in it yet"),
    ],
)
def test_bad_input_is_one_clear_line(
    two: tuple[Path, Path], names: tuple[str, ...], status: int, words: str
) -> None:
    Writer(two[0].with_name("empty.db")).close()
    done = compare(*(two[0].with_name(name) for name in names))
    assert done.exit_code == status
    assert words in done.output
