"""`ctv-tui simulate` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.store.rows import DatasetRow, ItemRow, Mode, PredictionRow
from ctv_engine.store.writer import Writer


def simulate(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctv_tui", "simulate", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


def results(*arguments: str) -> list[dict[str, Any]]:
    done = simulate(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return found


SECONDS = (4.0, 3.0, 2.0, 1.0)


def write_run(path: Path, *, finished: bool = True, failed: int = 0) -> Path:
    """Two checkpoints, closed and open; batch n has two items of n-th of SECONDS together."""
    writer = Writer(path)
    ids = writer.add_suite(
        "s",
        [DatasetRow("d", "exact_match", 8)],
        [ItemRow("d", str(n), "q", '["a"]', 0, "[]", "i", "x") for n in range(8)],
    )
    run_id = writer.open_run(
        name="r",
        checkpoint_dir="/r",
        suite_digest="s",
        gold_digest=None,
        config_json="{}",
        versions_json="{}",
        host="h",
    )
    worker = writer.add_worker(run_id, "h", "cpu:0")
    modes: tuple[Mode, ...] = ("closed", "open")
    for step in (1, 2):
        checkpoint = writer.add_checkpoint(run_id, step, f"/r/{step}", float(step))
        for mode in modes:
            evaluation = writer.add_evaluation(checkpoint, mode, "queue", 8)
            rows = [
                PredictionRow(
                    evaluation_id=evaluation,
                    item_id=ids["d", str(n)],
                    permutation=0,
                    worker_id=worker,
                    batch_id=n // 2,
                    attempt=1,
                    status="failed" if n < failed else "ok",
                    prompt_tokens=100,
                    prefill_s=None if n < failed else SECONDS[n // 2] / 2 / (2 // step),
                    decode_s=None if mode == "closed" or n < failed else 1.0,
                )
                for n in range(8)
            ]
            writer.add_results(rows, [])
            if finished:
                writer.finish_evaluation(evaluation, "done")
    writer.close()
    return path


def test_recorded_costs_on_other_numbers_of_gpus(tmp_path: Path) -> None:
    """4 + 1 against 3 + 2 seconds; the open task takes 2 s more per batch."""
    db = write_run(tmp_path / "run.db")
    found = results("--db", str(db), "--gpus", "1,2", "--schedule", "queue")
    short = [(r["gpus"], r["mode"], r["makespan_s"], r["ideal_s"], r["tail_s"]) for r in found]
    assert short == [
        (1, "closed", 10.0, 10.0, 0.0),
        (1, "open", 18.0, 18.0, 0.0),
        (2, "closed", 5.0, 5.0, 0.0),
        (2, "open", 9.0, 9.0, 0.0),
    ]
    assert all(row["idle_fraction"] == pytest.approx(0) for row in found)
    assert {row["schedule"] for row in found} == {"queue"}


def test_both_schedules_unless_one_is_asked_for(tmp_path: Path) -> None:
    db = write_run(tmp_path / "run.db")
    static = [r for r in results("--db", str(db), "--gpus", "2") if r["schedule"] == "static"]
    assert [(r["mode"], r["makespan_s"]) for r in static] == [("closed", 6.0), ("open", 10.0)]
    assert static[0]["idle_fraction"] == pytest.approx(2 / 12)


def test_the_table_names_the_source_of_its_costs(tmp_path: Path) -> None:
    db = write_run(tmp_path / "run.db", failed=1)
    done = simulate(CTV_TUI_DB=str(db), CTV_TUI_GPUS="2")
    assert done.returncode == 0, done.stderr
    assert f"costs: recorded in {db}" in done.stdout
    assert "closed: step 2, 7 items, 1 items without times left out" in done.stdout
    assert "ordered by the times of step 1" in done.stdout


def test_the_time_line(tmp_path: Path) -> None:
    db = write_run(tmp_path / "run.db")
    arguments = ("--db", str(db), "--gpus", "2", "--schedule", "static", "--timeline")
    (closed, _) = results(*arguments)
    assert closed["timeline"][1] == [
        {"began_s": 0.0, "ended_s": 3.0, "batch_id": 1},
        {"began_s": 3.0, "ended_s": 4.0, "batch_id": 3},
    ]
    lines = simulate(*arguments).stdout.splitlines()
    axis = lines.index("closed, static, 2 GPUs: 0 to 10.0 s")
    assert lines[axis + 1] == "   0 " + 36 * "█"
    assert lines[axis + 2] == "   1 " + 24 * "█" + 12 * "░"


def test_a_stated_cost_model_says_that_nothing_was_measured() -> None:
    done = simulate("--cost-model", "a100-7b", "--gpus", "16", "--json")
    document = json.loads(done.stdout)
    assert "stated cost model" in document["source"]
    assert "not measured" in document["source"]
    assert any("2,230 items" in note for note in document["notes"])
    shapes = {(row["mode"], row["schedule"]) for row in document["results"]}
    assert shapes == {(m, s) for m in ("closed", "open") for s in ("queue", "static")}
    by_shape = {(row["mode"], row["schedule"]): row for row in document["results"]}
    assert by_shape["closed", "queue"]["idle_fraction"] <= 0.005
    assert by_shape["open", "queue"]["idle_fraction"] <= 0.07


def test_nodes_read_the_weights_and_one_is_slow(tmp_path: Path) -> None:
    """Batches of 4, 3, 2, 1 s. 6 GB at 3 GB/s: from 2 s on; on node 2 all takes 4 times as long.

    Node 1 answers 4 and 2 s from 2 to 8; node 2 has read at 8 and needs 4 times 3 and 1 s, until
    24.
    """
    db = write_run(tmp_path / "run.db")
    arguments = ("--db", str(db), "--gpus", "2", "--nodes", "2", "--schedule", "static")
    arguments += ("--load-gb-s", "3", "--weights-gb", "6", "--slow-node", "2:4")
    (closed, _) = results(*arguments)
    assert closed["makespan_s"] == 24.0
    assert [node["read_s"] for node in closed["nodes"]] == [2.0, 8.0]
    assert [node["busy_s"] for node in closed["nodes"]] == [8.0, 24.0]
    assert [node["idle_fraction"] for node in closed["nodes"]] == pytest.approx([16 / 24, 0.0])
    printed = simulate(*arguments).stdout
    assert "each node reads 6 GB of weights once at 3 GB/s: 2.00 s" in printed
    assert "node 2: everything takes 4 times as long" in printed
    (first,) = [row.split() for row in printed.splitlines() if "closed     1 " in row]
    assert first == ["2", "static", "closed", "1", "1", "GPU", "2.00", "s", "8.00", "s", "66.7%"]


def test_a_lost_node_is_said(tmp_path: Path) -> None:
    db = write_run(tmp_path / "run.db")
    done = simulate(CTV_TUI_DB=str(db), CTV_TUI_GPUS="2", CTV_TUI_NODES="2",
                    CTV_TUI_LOSE_NODE="1:1.5", CTV_TUI_SCHEDULE="queue")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "node 1 is lost after 1.5 s; what it had begun is begun anew" in done.stdout
    assert done.stdout.count("lost at 1.50 s") == 2
    assert "weights are there: loading them is left out" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--gpus", "0"], 2, "'0' is not a number of GPUs"),
        (["--gpus", "16,x"], 2, "'x' is not a number of GPUs"),
        (["--gpus", "16,,4"], 2, "'' is not a number of GPUs"),
        (["--gpus", "99999999"], 2, "from 1 to 4096"),
        (["--cost-model", "h100"], 2, "'h100' is not one of"),
        (["--gpus", "2,16", "--nodes", "4"], 2, "2 GPUs can't be spread over 4 nodes"),
        (["--nodes", "0"], 2, "0 is not in the range 1<=x<=4096"),
        (["--load-gb-s", "0"], 2, "0 is not a number above 0"),
        (["--load-gb-s", "nan"], 2, "nan is not a number above 0"),
        (["--weights-gb", "-1"], 2, "-1 is not a number above 0"),
        (["--nodes", "2", "--slow-node", "2"], 2, "'2' is not K:FACTOR"),
        (["--nodes", "2", "--slow-node", "2:0.5"], 2, "a factor of 1 or more"),
        (["--nodes", "2", "--slow-node", "2:inf"], 2, "'2:inf' is not K:FACTOR"),
        (["--nodes", "2", "--slow-node", "3:2"], 2, "there is no node 3 among 2"),
        (["--nodes", "2", "--lose-node", "0:4"], 2, "'0:4' is not K:SECONDS"),
        (["--lose-node", "1:4"], 2, "two nodes at least"),
        (["--schedule", "random"], 2, "'random' is not one of"),
        (["--cost-model", "a100-7b", "--db", "{tmp}/run.db"], 2, "not both"),
        (["--db", "{tmp}/none.db"], 3, "no such database"),
        (["--db", "{tmp}/text.db"], 3, "not an SQLite database"),
        (["--db", "{tmp}/unfinished.db"], 3, "no finished evaluation"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    (tmp_path / "text.db").write_text("hello, this is no database at all" * 100)
    write_run(tmp_path / "unfinished.db", finished=False)
    done = simulate(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == status
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
