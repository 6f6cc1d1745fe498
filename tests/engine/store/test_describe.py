"""The page about the database says what is there, all of it, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import recorded_demo

from ctv_engine.store.describe import Column, Relation, gaps, page, relations
from ctv_engine.store.schema import migrate

DOCS = Path(__file__).parents[3] / "docs"

CONTRACT = {
    "runs": "id name checkpoint_dir suite_digest config_json versions_json host started_at"
    " finished_at",
    "checkpoints": "id run_id step path digest state reason found_at ready_at done_at",
    "datasets": "id suite_digest name open_metric items",
    "items": "id suite_digest dataset key question options_json gold_index answers_json"
    " image_digest",
    "evaluations": "id checkpoint_id mode schedule state planned done failed started_at finished_at"
    " makespan_s ideal_s idle_fraction",
    "predictions": "id evaluation_id item_id permutation worker_id batch_id attempt answer score"
    " correct gold_logprob gold_prob option_mass option_logprobs_json prompt_tokens output_tokens"
    " finish_reason prefill_s decode_s status reason created_at",
    "scores": "evaluation_id dataset metric value stderr n",
    "workers": "id run_id host device gpu_uuid pid state started_at ended_at",
    "spans": "id worker_id evaluation_id batch_id kind started_at ended_at",
    "gpu_samples": "id at gpu_uuid host utilisation memory_used memory_total power_w temperature_c"
    " sm_clock_mhz throttle status",
    "gpu_minutes": "gpu_uuid bucket utilisation_mean utilisation_min utilisation_max",
    "correlations": "run_id proxy scope method window step r low high n",
    "evidence": "run_id mode scope measure value low high pairs n step reason",
    "ranking": "run_id mode window step rank value low high may_be_best n reason",
    "events": "id at level kind message checkpoint_id",
    "engine": "pid host state heartbeat_at version",
    "trajectory": "step mode dataset metric value stderr n",
    "latency": "step mode dataset prefill_s decode_s",
    "gpu_balance": "evaluation_id device busy_s wait_s",
    "correlation_now": "proxy scope r low high n",
    "flips": "previous_step step answer_before answer_after",
}
"""What others may rely on."""


@pytest.fixture
def new() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def test_everything_is_described(new: sqlite3.Connection) -> None:
    assert list(gaps(relations(new))) == []


def test_what_is_said_of_a_column_is_one_line(new: sqlite3.Connection) -> None:
    """Also behind the columns of a later migration; a table in Markdown has no others."""
    for relation in relations(new):
        for one in relation.columns:
            assert "\n" not in one.meaning + one.unit + one.null, f"{relation.name}.{one.name}"


def test_the_page_is_up_to_date(new: sqlite3.Connection) -> None:
    assert page(new) == (DOCS / "schema.md").read_text(encoding="utf-8"), "run `make docs`"


@pytest.mark.parametrize("name", CONTRACT)
def test_what_others_rely_on_is_there(new: sqlite3.Connection, name: str) -> None:
    [relation] = [one for one in relations(new) if one.name == name]
    assert {*CONTRACT[name].split()} <= {column.name for column in relation.columns}


def test_the_types_of_views_are_those_of_their_values(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    recorded_demo.write(path)
    connection = sqlite3.connect(path)
    for relation in relations(connection):
        for column in relation.columns:
            query = f"SELECT DISTINCT typeof({column.name}) FROM {relation.name}"
            found = {kind.upper() for (kind,) in connection.execute(query)} - {"NULL"}
            assert found <= {column.type}, f"{relation.name}.{column.name}"
    connection.close()


def test_what_may_be_missing_is_so_in_practice_only_where_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    recorded_demo.write(path)
    connection = sqlite3.connect(path)
    for relation in relations(connection):
        for column in relation.columns:
            if not column.null:
                query = f"SELECT count(*) FROM {relation.name} WHERE {column.name} IS NULL"
                assert connection.execute(query).fetchone() == (0,), (
                    f"{relation.name}.{column.name}"
                )
    connection.close()


# --- the reading of comments ----------------------------------------------------------------------

TABLE = """
CREATE TABLE shelves
-- A shelf; in (parentheses), too,
-- over two lines.
(
    -- Number of the shelf.
    id INTEGER PRIMARY KEY,
    -- Its room. NULL: it stands outside (why).
    room TEXT CHECK (room IN ('a, b', 'c')),
    -- Width and height. [cm] NULL: not measured.
    width REAL, height REAL,
    why TEXT NOT NULL,
    UNIQUE (room, width)
) STRICT
"""


def shelves(*more: str) -> Relation:
    connection = sqlite3.connect(":memory:")
    connection.execute(TABLE)
    for statement in more:
        connection.execute(statement)
    found = relations(connection)[-1]
    connection.close()
    return found


def test_comments_become_meanings() -> None:
    found = shelves()
    assert found.meaning == "A shelf; in (parentheses), too, over two lines."
    assert found.columns[:4] == (
        Column("id", "INTEGER", False, "Number of the shelf."),
        Column("room", "TEXT", True, "Its room.", "", "it stands outside (why).", ("a, b", "c")),
        Column("width", "REAL", True, "Width and height.", "cm", "not measured."),
        Column("height", "REAL", True, "Width and height.", "cm", "not measured."),
    )


def test_a_column_that_was_added_later_keeps_its_comment() -> None:
    found = shelves("ALTER TABLE shelves ADD COLUMN wood TEXT /* What of. NULL: metal. */")
    assert found.columns[-1] == Column("wood", "TEXT", True, "What of.", "", "metal.")


def test_what_is_not_described_is_named() -> None:
    view = (
        "CREATE VIEW wide AS\n-- Wide ones.\n--\n-- id: see shelves\n-- gone TEXT: Nothing.\n"
        "SELECT id, width, why FROM shelves"
    )
    assert list(gaps([shelves()])) == ["shelves.why"]
    assert list(gaps([shelves(view)])) == [
        "wide.width",
        "wide.why",
        "wide.gone: there is no such column",
    ]
    optional = "ALTER TABLE shelves ADD COLUMN wood TEXT /* What of. */"
    assert list(gaps([shelves(optional)])) == ["shelves.why", "shelves.wood: when it is NULL"]
