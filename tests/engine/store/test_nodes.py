"""Machines of a cluster come, change and go; one that is back is a row of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ctv_engine.store.nodes import end_nodes, put_node
from ctv_engine.store.rows import NodeRow
from ctv_engine.store.writer import Writer


def test_a_machine_from_its_first_word_to_its_second_life(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "run.db")
    run = writer.open_run(
        name="run",
        checkpoint_dir="/run",
        suite_digest="s",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="here",
    )
    row = NodeRow("id", "a", "10.0.0.1", "joined", 4)
    put_node(writer, run, row)
    put_node(writer, run, replace(row, clock_offset_s=0.5, clock_error_s=0.001))
    put_node(writer, run, replace(row, state="set aside", reason="no mount"))
    query = (
        "SELECT host, state, reason, slots, clock_offset_s, silent_s, left_at NOT NULL FROM nodes"
    )
    assert writer.query(query) == [("a", "set aside", "no mount", 4, 0.5, None, 0)]
    put_node(writer, run, replace(row, state="left", reason="cut off", silent_s=2.5))
    put_node(writer, run, row)
    first, second = writer.query(f"{query} ORDER BY id")
    assert first == ("a", "left", "cut off", 4, 0.5, 2.5, 1)
    assert second == ("a", "joined", None, 4, None, None, 0)
    end_nodes(writer, run)
    first, second = writer.query(f"{query} ORDER BY id")
    assert first[2] == "cut off"
    assert second == ("a", "joined", None, 4, None, None, 1)
    put_node(writer, run, row)
    assert writer.query("SELECT count(*), sum(left_at IS NULL) FROM nodes") == [(3, 1)]
    writer.close()
