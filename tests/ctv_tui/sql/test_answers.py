"""What the named queries answer on the demo's recording, worked out anew from its rows."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations, pairwise
from pathlib import Path
from statistics import correlation, fmean, stdev
from typing import Any

import pytest
from click.testing import CliRunner

from ctv_engine.store.queries import named_query
from ctv_tui.cli import cli
from ctv_tui.sql.asking import Rows

Row = dict[str, Any]
Ask = Callable[..., list[Row]]

PREDICTIONS = """
SELECT p.*, e.mode, c.step, i.dataset, i.key, i.gold_index, i.options_json, e.id AS evaluation
FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id JOIN items i ON i.id = p.item_id
"""
LAST = 320


def answer_of(path: Path, name: str, **parameters: object) -> list[Row]:
    query = named_query(name)
    rows = Rows(path, query.sql, {**dict.fromkeys(dict(query.parameters)), **parameters})
    return [dict(zip(rows.names, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def ask(demo: Path) -> Ask:
    return lambda name, **parameters: answer_of(demo, name, **parameters)


@pytest.fixture(scope="module")
def table(demo: Path) -> Callable[[str], list[Row]]:
    def read(sql: str) -> list[Row]:
        connection = sqlite3.connect(demo)
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(sql)]
        connection.close()
        return found

    return read


@pytest.fixture(scope="module")
def predictions(table: Callable[[str], list[Row]]) -> list[Row]:
    return table(PREDICTIONS)


def of(rows: Iterable[Row], **wanted: object) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def near(value: float, digits: int = 3) -> Any:
    return pytest.approx(value, abs=0.51 * 10**-digits)


def test_trajectory_is_the_mean_over_datasets(ask: Ask, predictions: list[Row]) -> None:
    for row in ask("trajectory"):
        answered = of(predictions, step=row["step"], mode=row["mode"], status="ok")
        means = [
            fmean(one["score"] for one in of(answered, dataset=dataset))
            for dataset in {one["dataset"] for one in answered}
        ]
        assert row["score"] == near(fmean(means)) and row["n"] == len(answered)
    assert len(ask("trajectory")) == 24
    [first, *_] = ask("trajectory", dataset="shape")
    answered = of(predictions, step=40, mode="closed", dataset="shape")
    assert first["score"] == near(fmean(one["score"] for one in answered))


def test_best_says_what_the_command_says(ask: Ask, demo: Path) -> None:
    done = CliRunner().invoke(cli, ["best", "--db", str(demo), "--json", "--mode", "gold"])
    told = json.loads(done.output)["ranking"]
    found = ask("best", mode="gold")
    assert [row["step"] for row in found] == [one["step"] for one in told]
    for row, one in zip(found, told, strict=True):
        assert (row["score"], row["low"]) == (near(one["score"]), near(one["low"]))
        assert (row["high"], row["may_be_best"]) == (near(one["high"]), one["may_be_best"])
    assert len(ask("best", rows=3, mode="gold")) == 3


def test_evidence_counts_pairs_and_changes(ask: Ask, table: Any) -> None:
    scores = table("SELECT mode, step, value FROM trajectory WHERE dataset = 'macro'"
                   " AND metric IN ('accuracy', 'score') ORDER BY step")  # fmt: skip
    series = {mode: [row["value"] for row in of(scores, mode=mode)] for mode in ("open", "gold")}
    told = [(a, b) for a, b in combinations(range(8), 2) if series["gold"][a] != series["gold"][b]]
    alike = sum(
        (series["gold"][b] - series["gold"][a]) * (series["open"][b] - series["open"][a]) > 0
        for a, b in told
    )
    rows = {(row["measure"], row["mode"]): row for row in ask("evidence", scope="macro")}
    found = rows["decision_accuracy", "open"]
    assert (found["value"], found["pairs"], found["n"]) == (near(alike / len(told)), len(told), 8)
    changes = [later - earlier for earlier, later in pairwise(series["open"])]
    assert rows["step_noise", "open"]["value"] == near(stdev(changes))
    assert {row["scope"] for row in ask("evidence")} >= {"macro", "dataset:shape"}


def test_datasets_stand_side_by_side(ask: Ask, table: Any) -> None:
    for step in (40, LAST):
        for row in ask("datasets", step=step):
            for mode in ("closed", "open", "gold"):
                metric = "accuracy" if mode == "closed" else "score"
                [known] = table(
                    f"SELECT value FROM trajectory WHERE step = {step} AND mode = '{mode}' AND"
                    f" metric = '{metric}' AND dataset = '{row['dataset']}'"
                )
                assert row[mode] == near(known["value"])
            assert row["closed_less_gold"] == near(row["closed"] - row["gold"], 2)
    assert ask("datasets") == ask("datasets", step=LAST)


def test_correlation_is_pearsons(ask: Ask) -> None:
    scores = {(row["mode"], row["step"]): row["score"] for row in ask("trajectory")}
    steps = sorted({step for _, step in scores})
    gold = [scores["gold", step] for step in steps]
    for proxy in ("closed", "open"):
        [row] = of(ask("correlation"), scope="macro", method="pearson", proxy=proxy)
        assert row["r"] == near(correlation([scores[proxy, step] for step in steps], gold), 2)
        assert row["n"] == len(steps) == 8


SPANS = """
SELECT s.*, c.step, e.mode, w.device FROM spans s JOIN evaluations e ON e.id = s.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id JOIN workers w ON w.id = s.worker_id
"""


def test_waits_are_the_time_after_the_own_last_span(ask: Ask, table: Any) -> None:
    spans = table(SPANS)
    found = ask("waits", last=8)
    assert len(found) == 8 * 3 * 2
    for row in found:
        of_all = of(spans, step=row["step"], mode=row["mode"])
        own = of(of_all, device=row["device"])
        assert row["busy_s"] == near(sum(one["ended_at"] - one["started_at"] for one in own), 2)
        begin = max(one["ended_at"] for one in own)
        end = max(one["ended_at"] for one in of_all)
        other = sum(
            max(0.0, min(one["ended_at"], end) - max(one["started_at"], begin))
            for one in of(spans, device=row["device"])
            if one["evaluation_id"] != own[0]["evaluation_id"]
        )
        assert row["wait_s"] == near(end - begin - other, 2)
    assert {row["step"] for row in ask("waits")} == {240, 280, LAST}


def test_a_machine_worked_and_waited_as_its_workers_did(ask: Ask, table: Any) -> None:
    balance = table(
        "SELECT b.*, c.step FROM gpu_balance b JOIN checkpoints c ON c.id = b.checkpoint_id"
    )
    found = ask("hosts", last=8)
    assert len(found) == 8 * 3
    for row in found:
        own = of(balance, step=row["step"], mode=row["mode"], host=row["host"])
        assert row["workers"] == len(own) == 2
        busy, wait = (sum(one[name] for one in own) for name in ("busy_s", "wait_s"))
        assert (row["busy_s"], row["wait_s"]) == (near(busy, 2), near(wait, 2))
        assert row["idle_percent"] == near(100 * wait / (busy + wait), 1)


def test_stragglers_come_last(ask: Ask, table: Any) -> None:
    spans = [one for one in table(SPANS) if one["batch_id"] is not None]
    found = ask("stragglers", last=2)
    assert len(found) == 6
    for row in found:
        of_one = of(spans, step=row["step"], mode=row["mode"])
        last = max(of_one, key=lambda span: span["ended_at"])
        assert (row["device"], row["batch_id"]) == (last["device"], last["batch_id"])
        others = [span["ended_at"] for span in of_one if span["device"] != last["device"]]
        assert row["alone_s"] == near(last["ended_at"] - max(others), 2)


def test_latency_has_means_and_percentiles(ask: Ask, predictions: list[Row]) -> None:
    found = ask("latency", step=200)
    assert len(found) == 18
    for row in found:
        answered = of(predictions, step=200, mode=row["mode"], dataset=row["dataset"], status="ok")
        costs = sorted(one["prefill_s"] + (one["decode_s"] or 0.0) for one in answered)
        assert row["prefill_ms"] == near(1000 * fmean(one["prefill_s"] for one in answered), 2)
        assert row["median_ms"] == near(1000 * costs[math.ceil(len(costs) / 2) - 1], 2)
        assert row["p95_ms"] == near(1000 * costs[math.ceil(0.95 * len(costs)) - 1], 2)
        assert (row["decode_ms"] is None) == (row["mode"] == "closed")


def test_saving_is_one_less_closed_over_open(ask: Ask, predictions: list[Row]) -> None:
    [*_, whole] = ask("saving")
    closed, opened = (
        fmean(
            one["prefill_s"] + (one["decode_s"] or 0.0)
            for one in of(predictions, step=LAST, mode=mode, status="ok")
        )
        for mode in ("closed", "open")
    )
    assert whole["dataset"] == "all items" and whole["step"] == LAST
    assert whole["saving_percent"] == near(100 * (1 - closed / opened), 1)


def test_throughput_is_by_the_makespan(ask: Ask, table: Any) -> None:
    [first, *_] = ask("throughput", last=1)
    [row] = table("SELECT e.* FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
                  f" WHERE c.step = {LAST} AND e.mode = 'closed'")  # fmt: skip
    assert first["items_per_s"] == near(119 / row["makespan_s"], 1)
    assert first["padding_percent"] == near(
        100 * (1 - row["prompt_tokens"] / row["processed_tokens"]), 2
    )


@pytest.mark.parametrize("width", [1, 4])
def test_output_lengths_are_counted(ask: Ask, predictions: list[Row], width: int) -> None:
    answered = of(predictions, step=LAST, mode="open", status="ok")
    counts = Counter(one["output_tokens"] // width * width for one in answered)
    found = ask("output-lengths", width=width)
    assert {row["from_tokens"]: row["answers"] for row in found} == counts
    assert sum(row["percent"] for row in found) == near(100, 0)
    assert max(len(row["bar"]) for row in found) == 40


def test_capped_and_repeating_answers_are_counted(demo: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(demo, tmp_path / "run.db"))
    connection = sqlite3.connect(path)
    for reason, picked in (("length", 0), ("repeat", 1)):
        connection.execute(
            "UPDATE predictions SET finish_reason = ? WHERE finish_reason = 'stop' AND item_id % 4"
            " = ?",
            (reason, picked),
        )
    connection.commit()
    counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for step, dataset, reason in connection.execute(
        f"SELECT step, dataset, finish_reason FROM ({PREDICTIONS}) WHERE mode = 'gold'"
    ):
        counts[step, dataset][reason] += 1
    connection.close()
    found = answer_of(path, "capped", mode="gold")
    assert len(found) == len(counts) == 48
    for row in found:
        known = counts[row["step"], row["dataset"]]
        assert (row["capped"], row["repeating"]) == (known["length"], known["repeat"])
        assert row["percent"] == near(100 * (1 - known["stop"] / known.total()), 1)


def test_option_mass_over_the_steps(ask: Ask, predictions: list[Row]) -> None:
    found = ask("option-mass")
    assert [row["step"] for row in found] == list(range(40, LAST + 1, 40))
    for row in found:
        mass = [one["option_mass"] for one in of(predictions, step=row["step"], mode="closed")]
        known = [one for one in mass if one is not None]
        assert row["option_mass"] == near(fmean(known), 4) and row["least"] == near(min(known), 4)
        assert row["n"] == len(known) == 119
    assert [row["step"] for row in ask("option-mass", last=2)] == [280, LAST]


def test_letter_bias_is_recall_by_letter(ask: Ask, predictions: list[Row]) -> None:
    answered = of(predictions, step=LAST, mode="closed", status="ok")
    found = ask("letter-bias")
    assert sum(row["is_key"] for row in found) == sum(row["chosen"] for row in found) == 119
    for row in found:
        keys = [one for one in answered if "ABCDEFGH"[one["gold_index"]] == row["letter"]]
        assert row["is_key"] == len(keys)
        assert row["recall"] == near(fmean(one["answer"] == row["letter"] for one in keys))
        more = (row["chosen"] - row["is_key"]) / 119
        assert row["preferred_percent"] == near(100 * more, 1)


def test_flips_are_those_of_the_view(ask: Ask, table: Any) -> None:
    view = table("SELECT * FROM flips WHERE mode = 'open'")
    found = ask("flips", mode="open")
    assert len(found) == 7
    for row in found:
        changed = of(view, previous_step=row["before_step"], step=row["step"])
        assert row["changed"] == len(changed) and row["compared"] == 119
        better = [one for one in changed if one["score_after"] > one["score_before"]]
        assert row["better"] == len(better)


def test_wrong_in_closed_and_right_in_open(ask: Ask, predictions: list[Row]) -> None:
    right = {one["key"] for one in of(predictions, step=LAST, mode="open", score=1.0)}
    wrong = {one["key"]: one for one in of(predictions, step=LAST, mode="closed", correct=0)}
    found = ask("closed-wrong-open-right", rows=1000)
    assert {row["key"] for row in found} == right & wrong.keys()
    for row in found:
        options = json.loads(wrong[row["key"]]["options_json"])
        assert row["chosen_option"] == options["ABCDEFGH".index(row["letter"])]


def test_hardest_and_never_right(ask: Ask, predictions: list[Row]) -> None:
    scores: dict[str, list[float]] = defaultdict(list)
    for one in of(predictions, mode="closed", status="ok"):
        scores[one["key"]].append(one["score"])
    never = {key for key, values in scores.items() if max(values) < 1}
    assert {row["key"] for row in ask("never-right")} == never
    hardest = ask("hardest", rows=len(scores))
    assert {row["key"]: row["mean_score"] for row in hardest} == {
        key: near(fmean(values)) for key, values in scores.items()
    }
    assert [row["mean_score"] for row in hardest] == sorted(row["mean_score"] for row in hardest)


def test_what_failed_is_there_with_its_reason(demo: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(demo, tmp_path / "run.db"))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE checkpoints SET state = 'vanished', reason = 'gone' WHERE id < 3")
    connection.execute("UPDATE evaluations SET state = 'failed', reason = 'why' WHERE id = 24")
    connection.commit()
    connection.close()
    found = answer_of(path, "failed")
    assert [(row["what"], row["state"], row["mode"], row["n"]) for row in found] == [
        ("checkpoint", "vanished", None, 2),
        ("evaluation", "failed", "gold", 1),
        ("item", "failed", "closed", 8),
        ("item", "failed", "open", 8),
    ]
    assert [row["reason"] for row in found[:2]] == ["gone", "why"]
    assert "can't be decoded" in found[2]["reason"]


def test_keep_up_is_the_time_of_evaluation_over_the_interval(ask: Ask, table: Any) -> None:
    checkpoints = table("SELECT * FROM checkpoints ORDER BY step")
    found = {row["step"]: row for row in ask("keep-up")}
    assert found[40]["interval_s"] is None and found[40]["keep_up"] is None
    for before, after in pairwise(checkpoints):
        ran = table(f"SELECT * FROM evaluations WHERE checkpoint_id = {after['id']}")
        took = max(one["finished_at"] for one in ran) - min(one["started_at"] for one in ran)
        [closed] = of(ran, mode="closed")
        row = found[after["step"]]
        assert row["keep_up"] == near(took / (after["found_at"] - before["found_at"]), 2)
        assert row["freshness_s"] == near(closed["finished_at"] - after["ready_at"], 1)


def test_gpu_minutes_are_the_last_ones(ask: Ask, table: Any) -> None:
    minutes = table("SELECT * FROM gpu_minutes")
    last = max(one["bucket"] for one in minutes)
    for row in ask("gpu-minutes", minutes=1):
        [known] = of(minutes, bucket=last, gpu_uuid=row["gpu_uuid"])
        assert row["minutes"] == 1 and row["power_w"] is None
        assert row["utilisation_percent"] == near(known["utilisation_mean"], 1)
    assert {row["minutes"] for row in ask("gpu-minutes")} == {2}


def test_events_are_warnings_unless_asked_otherwise(ask: Ask, table: Any) -> None:
    levels = Counter(row["level"] for row in table("SELECT level FROM events"))
    assert {row["level"] for row in ask("events")} == {"warning"}
    assert len(ask("events", rows=1000)) == levels["warning"] == 16
    assert len(ask("events", rows=1000, level="info")) == levels.total()
    assert ask("events", level="error") == []
