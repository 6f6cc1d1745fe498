"""What closed saves, from runs whose seconds are known: and what is not measured is not made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import recorded_run

from ctv_engine.store.rows import DatasetRow, ItemRow, Mode, PredictionRow
from ctv_engine.store.writer import Writer
from ctv_tui.data import read_snapshot
from ctv_tui.data.savings import PAIRED
from ctv_tui.data.snapshot import Saving, Snapshot
from ctv_tui.data.tail import Tail

BASELINE = {"batch_size": 1, "pairing": False}
CLOSED, OPEN = ("closed", 0.1, None), ("open", 0.1, 0.3)


class Costs:
    """Writes runs of one item a mode, with given seconds."""

    def __init__(self, path: Path) -> None:
        self.writer = Writer(path)
        self.items = self.writer.add_suite(
            "suite",
            [DatasetRow("A", "exact_match", 1)],
            [ItemRow("A", "1", "?", '["a", "b"]', 0, '["a"]', "i.png", "d")],
        )

    def run(
        self,
        name: str,
        settings: object,
        steps: dict[int, list[tuple[Mode, float | None, float | None]]],
        *,
        device: str = "cuda:0",
        host: str = "node",
        suite: str = "suite",
        directory: str = "/runs/x",
    ) -> int:
        text = settings if isinstance(settings, str) else json.dumps(settings)
        run_id = self.writer.open_run(
            name=name, checkpoint_dir=f"{directory}/{name}", suite_digest=suite, gold_digest=None,
            config_json=text, versions_json="{}", host=host,
        )  # fmt: skip
        worker = self.writer.add_worker(run_id, host, device)
        self.writer.set_worker(worker, "ready")
        for step, costs in steps.items():
            checkpoint = self.writer.add_checkpoint(run_id, step, f"{directory}/c-{step}", 1.0)
            for mode, prefill_s, decode_s in costs:
                key = self.writer.add_evaluation(checkpoint, mode, "queue", 1)
                self.writer.start_evaluation(key)
                row = PredictionRow(
                    evaluation_id=key, item_id=self.items["A", "1"], permutation=0,
                    worker_id=worker, batch_id=1, attempt=1, status="ok",
                    prefill_s=prefill_s, decode_s=decode_s, output_tokens=4,
                )  # fmt: skip
                self.writer.add_results([row], [])
                self.writer.finish_evaluation(key, "done")
        return run_id

    def shown(self, run_id: int) -> None:
        self.writer.beat(run_id=run_id, pid=1, host="node", state="idle", version="1")


@pytest.fixture
def costs(tmp_path: Path) -> Costs:
    return Costs(tmp_path / "run.db")


def read(costs: Costs, *compare: Path) -> dict[str, Saving]:
    tail = Tail(costs.writer.path, compare=compare)
    snapshot = tail.poll()
    while tail.loading:
        snapshot = tail.poll() or snapshot
    tail.close()
    assert snapshot is not None
    return {saving.against: saving for saving in snapshot.savings}


def test_own_is_one_minus_closed_over_open_of_the_latest_checkpoint(costs: Costs) -> None:
    costs.run("a", {}, {100: [CLOSED, ("open", 0.1, 0.1)], 200: [CLOSED, OPEN]})
    found = read(costs)["own"]
    assert found.share == pytest.approx(1 - 0.1 / 0.4) and found.step == 200
    assert (found.closed_s, found.open_s) == (pytest.approx(0.1), pytest.approx(0.4))
    assert found.run == "" and found.notes == ()


def test_a_baseline_that_was_not_measured_has_no_number(costs: Costs) -> None:
    costs.run("a", {"batch_size": 32}, {100: [CLOSED, OPEN]})
    assert read(costs)["baseline"] == Saving("baseline")


def test_the_baseline_is_a_run_of_the_same_checkpoint_one_item_at_a_time(costs: Costs) -> None:
    shown = costs.run("a", {"batch_size": 32}, {100: [CLOSED, OPEN], 200: [CLOSED, OPEN]})
    costs.run("slow", BASELINE, {100: [("closed", 0.5, None), ("open", 0.5, 1.5)]})
    costs.shown(shown)
    found = read(costs)
    assert found["baseline"].share == pytest.approx(1 - 0.1 / 2.0)
    assert found["baseline"].step == 100 and found["baseline"].run == "slow"
    assert found["own"].open_s == pytest.approx(0.4), "slower than our own, and a baseline"


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"batch_size": 1, "pairing": True}, {}),
        ({"batch_size": 2, "pairing": False}, {}),
        ("not json", {}),
        ("[]", {}),
        (BASELINE, {"device": "cpu:0"}),
        (BASELINE, {"suite": "another"}),
        (BASELINE, {"directory": "/runs/y"}),
    ],
)
def test_what_is_not_the_same_but_for_the_batch_is_no_baseline(
    costs: Costs, settings: object, change: dict[str, str]
) -> None:
    shown = costs.run("a", {}, {100: [CLOSED, OPEN]})
    costs.run("other", settings, {100: [("open", 0.5, 1.5)]}, **change)
    costs.shown(shown)
    assert read(costs)["baseline"].share is None


def test_the_best_open_mode_may_be_another_runs(costs: Costs) -> None:
    shown = costs.run("a", {"pairing": True}, {100: [CLOSED, OPEN]})
    costs.run("faster", {"batch_size": 64}, {100: [("open", 0.1, 0.1)]}, host="other-node")
    costs.shown(shown)
    found = read(costs)["own"]
    assert found.share == pytest.approx(1 - 0.1 / 0.2) and found.run == "faster"
    assert found.notes == (PAIRED, "measured on other-node")


def test_a_baseline_in_another_file(costs: Costs, tmp_path: Path) -> None:
    costs.run("a", {}, {100: [CLOSED, OPEN]})
    other = Costs(tmp_path / "b1.db")
    other.run("slow", BASELINE, {100: [("open", 0.5, 1.5)]})
    other.writer.close()
    found = read(costs, tmp_path / "b1.db", tmp_path / "missing.db")["baseline"]
    assert found.share == pytest.approx(1 - 0.1 / 2.0) and found.run == "slow in b1.db"


def test_a_run_that_is_itself_the_baseline(costs: Costs) -> None:
    costs.run("slow", BASELINE, {100: [CLOSED, OPEN]})
    found = read(costs)["baseline"]
    assert found.share == pytest.approx(1 - 0.1 / 0.4) and found.run == ""


def test_predictions_without_seconds_give_no_number(costs: Costs) -> None:
    costs.run("a", {}, {100: [("closed", None, None), OPEN]})
    assert read(costs)["own"].share is None


def test_a_new_evaluation_is_looked_at_while_the_dashboard_runs(costs: Costs) -> None:
    shown = costs.run("a", {}, {100: [CLOSED, OPEN]})
    costs.shown(shown)
    tail = Tail(costs.writer.path)
    first = tail.poll()
    costs.run("slow", BASELINE, {100: [("open", 0.5, 1.5)]})
    costs.shown(shown)
    later = tail.poll()
    while tail.loading:
        later = tail.poll() or later
    tail.close()
    assert first is not None and first.savings[1].share is None
    assert later is not None and later.savings[1].share == pytest.approx(0.95)


# --- percentiles and work -------------------------------------------------------------------------


def test_percentiles_are_nearest_ranks_of_the_items_seconds(
    recording: tuple[Path, float], snapshot: Snapshot
) -> None:
    import sqlite3

    assert snapshot.latency is not None
    for found in snapshot.latency.percentiles:
        seconds = sorted(
            row[0]
            for row in sqlite3.connect(recording[0]).execute(
                "SELECT p.prefill_s + coalesce(p.decode_s, 0) FROM predictions p"
                " JOIN evaluations e ON e.id = p.evaluation_id"
                " JOIN checkpoints c ON c.id = e.checkpoint_id WHERE c.step = 1000 AND e.mode = ?",
                (found.mode,),
            )
        )
        assert found.n == len(seconds)
        for share, value in ((50, found.p50_s), (95, found.p95_s), (99, found.p99_s)):
            assert value == pytest.approx(min(
                s for s in seconds if sum(t <= s for t in seconds) * 100 >= share * len(seconds)
            ))  # fmt: skip


def test_work_is_that_of_the_view(recording: tuple[Path, float], snapshot: Snapshot) -> None:
    import sqlite3

    assert snapshot.latency is not None
    rows = sqlite3.connect(recording[0]).execute(
        "SELECT mode, forwards, prompt_tokens, processed_tokens, shared_tokens, row_steps,"
        " images_decoded, images_reused, padding_share, output_tokens FROM work"
        " WHERE step = 1000 AND mode <> 'gold' ORDER BY mode"
    )
    found = [
        (w.mode, w.forwards, w.prompt_tokens, w.processed_tokens, w.shared_tokens, w.row_steps,
         w.images_decoded, w.images_reused, w.padding_share, w.output_tokens)
        for w in snapshot.latency.work
    ]  # fmt: skip
    assert found == rows.fetchall() and len(found) == 2
    assert found[0][8] == pytest.approx(1 - 310 / 320)


def test_a_file_from_before_work_was_counted_can_be_read(db: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(db)
    connection.execute("DROP VIEW work")
    connection.commit()
    connection.close()
    found = read_snapshot(db)
    assert found.latency is not None and found.latency.work == ()
    assert found.latency.percentiles


# --- other runs -----------------------------------------------------------------------------------


def test_other_runs_of_the_file_and_of_files_beside_it(db: Path, tmp_path: Path) -> None:
    other = recorded_run.Recorder(tmp_path / "other.db", name="baseline run")
    other.add_checkpoint(100)
    other.evaluate(100, "closed")
    other.close()
    (tmp_path / "broken.db").write_text("no database")
    tail = Tail(db, compare=[tmp_path / "other.db", tmp_path / "broken.db"])
    snapshot = tail.poll()
    while tail.loading:
        snapshot = tail.poll() or snapshot
    tail.close()
    assert snapshot is not None
    named = {run.file: run for run in snapshot.other_runs}
    assert named["other.db"].name == "baseline run" and not named["other.db"].trouble
    assert len(named["other.db"].points("closed", "macro")) == 1
    assert "not an SQLite database" in named["broken.db"].trouble


def test_a_second_run_of_the_same_file(costs: Costs) -> None:
    shown = costs.run("a", {}, {100: [CLOSED, OPEN]})
    costs.run("b", {}, {100: [CLOSED], 200: [CLOSED]})
    costs.shown(shown)
    found = read_snapshot(costs.writer.path).other_runs
    assert [run.name for run in found] == ["b"] and dict(found[0].ready_at).keys() == {100, 200}
