"""Every named query runs on every database, and reads no more than it must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctv_engine.store import queries
from ctv_engine.store.queries import NAMES, named_query
from ctv_engine.store.reader import open_read_only
from ctv_engine.store.writer import Writer
from ctv_tui.sql.asking import Rows
from ctv_tui.sql.pages import queries_page

TESTS = Path(__file__).parents[2]
DOCS = TESTS.parent / "docs"
SHORT, LONG = 30_000, 60_000
"""Predictions of two runs with the same items, one with twice the checkpoints of the other."""
MOST_STEPS = 350_000
GROW = {"waits": 1_500_000, "hosts": 2_500_000, "correlation": 850_000}
"""What these take is for every evaluation and every correlation of a run: rows of small tables."""
OF_ONE_RUN = [name for name in NAMES if "run" in dict(named_query(name).parameters)]
BIG = "predictions|spans|gpu_samples|gpu_minutes|prompt_lengths|events|correlations"


def ask(path: Path, name: str, **parameters: object) -> list[tuple[object, ...]]:
    query = named_query(name)
    known = dict.fromkeys(dict(query.parameters))
    return list(Rows(path, query.sql, {**known, **parameters}))


@pytest.mark.parametrize("name", NAMES)
def test_a_query_says_what_it_answers(name: str) -> None:
    query = named_query(name)
    assert query.question.endswith("?") or query.question.endswith(".")
    assert {*re.findall(r"(?<!:):(\w+)", query.sql)} == {*dict(query.parameters)}
    for one, meaning in query.parameters:
        assert "if not given" in meaning, one
        assert f"coalesce(:{one}," in query.sql, one


def test_every_file_has_its_name_and_every_name_a_file() -> None:
    folder = Path(queries.__file__).parent
    assert sorted(file.stem for file in folder.glob("*.sql")) == sorted(NAMES)
    with pytest.raises(KeyError):
        named_query("../schema")


def test_the_page_is_up_to_date(demo: Path) -> None:
    assert queries_page(demo) == (DOCS / "queries.md").read_text(encoding="utf-8"), "`make docs`"


@pytest.mark.parametrize("name", NAMES)
def test_a_query_has_an_answer_on_the_demo(demo: Path, name: str) -> None:
    assert ask(demo, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_runs_on_other_recordings(
    name: str, recording: tuple[Path, float], items_recording: tuple[Path, float]
) -> None:
    for path, _ in (recording, items_recording):
        ask(path, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_has_just_begun_has_no_answer_and_no_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.db"
    Writer(path).close()
    assert ask(path, name) == []


@pytest.mark.parametrize("name", OF_ONE_RUN)
def test_a_run_is_asked_for_by_its_number(demo: Path, name: str) -> None:
    assert ask(demo, name, run=1) == ask(demo, name)
    assert ask(demo, name, run=2) == []


# --- what it costs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Path]]:
    """The bench's database, small: 120 items, 84 and 167 checkpoints."""
    folder = tmp_path_factory.mktemp("cost")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "bench_sql"))
        import filling

        patch.setattr(filling.databases, "ITEMS", 120)
        paths = {size: folder / f"{size}.db" for size in (SHORT, LONG)}
        for size, path in paths.items():
            filling.fill(path, size, minutes=200, samples=1000)
        yield paths


def steps_of(path: Path, name: str) -> int:
    """Return the steps of SQLite's virtual machine, which are the same on every machine."""
    query, count = named_query(name), 0

    def tick() -> None:
        nonlocal count
        count += 100

    connection = open_read_only(path)
    connection.set_progress_handler(tick, 100)
    connection.execute(query.sql, dict.fromkeys(dict(query.parameters))).fetchall()
    connection.close()
    return count


@pytest.mark.parametrize("name", NAMES)
def test_a_long_run_costs_hardly_more_than_a_short_one(runs: dict[int, Path], name: str) -> None:
    """Reading all predictions once more would take at least five steps for each."""
    assert steps_of(runs[LONG], name) < GROW.get(name, MOST_STEPS)
    if name not in GROW:
        assert steps_of(runs[LONG], name) - steps_of(runs[SHORT], name) < 100_000


@pytest.mark.parametrize("name", NAMES)
def test_no_big_table_is_read_from_end_to_end(runs: dict[int, Path], name: str) -> None:
    query = named_query(name)
    aliases = {*re.findall(rf"\b(?:{BIG})(?: (?!WHERE|ORDER|JOIN)(\w+))?", query.sql)} - {""}
    scanned = re.compile(rf"SCAN (?:{'|'.join(sorted({*aliases, *BIG.split('|')}))})\b")
    connection = open_read_only(runs[SHORT])
    plan = [
        row["detail"]
        for row in connection.execute(
            f"EXPLAIN QUERY PLAN {query.sql}", dict.fromkeys(dict(query.parameters))
        )
    ]
    connection.close()
    found = [line for line in plan if scanned.match(line)]
    newest_first = ["SCAN e"] if name == "events" else []  # until there are enough
    assert found == newest_first
