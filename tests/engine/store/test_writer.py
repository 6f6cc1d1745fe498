"""What the one writer makes of rows: scores by arithmetic, results once."""

from __future__ import annotations

import math
import sqlite3
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.store.reader import StoreError
from ctv_engine.store.rows import SCHEMA_VERSION, CorrelationRow, SampleRow
from ctv_engine.store.writer import RAW_SAMPLES_KEPT_S, Writer

CHART = [1.0, 0.0, 1.0, 1.0]
INFO = [0.25, 0.75, 0.5, 0.0]


def scores(book: Any, evaluation: int) -> dict[tuple[str, str], tuple[float, float | None, int]]:
    return {
        (dataset, metric): (value, stderr, n)
        for dataset, metric, value, stderr, n in book.query(
            "SELECT dataset, metric, value, stderr, n FROM scores WHERE evaluation_id = ?",
            evaluation,
        )
    }


def standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def approx(value: float, stderr: float | None, n: int) -> Any:
    return (pytest.approx(value), None if stderr is None else pytest.approx(stderr), n)


# --- scores -------------------------------------------------------------------------------------


def test_closed_scores(book: Any) -> None:
    evaluation, worker = book.evaluation(10), book.worker()
    book.score(evaluation, worker, {"chart": CHART, "info": INFO})
    book.writer.refresh_scores(evaluation)
    right = [float(value > 0.5) for value in INFO]
    errors = [standard_error(CHART), standard_error(right)]
    probs = [standard_error(CHART), standard_error(INFO)]
    means = (statistics.fmean(CHART), statistics.fmean(right))
    assert scores(book, evaluation) == {
        ("chart", "accuracy"): approx(0.75, errors[0], 4),
        ("chart", "gold_prob"): approx(0.75, probs[0], 4),
        ("info", "accuracy"): approx(0.25, errors[1], 4),
        ("info", "gold_prob"): approx(0.375, probs[1], 4),
        ("macro", "accuracy"): approx(sum(means) / 2, math.hypot(*errors) / 2, 8),
        ("macro", "gold_prob"): approx((0.75 + 0.375) / 2, math.hypot(*probs) / 2, 8),
    }


@pytest.mark.parametrize("mode", ["open", "gold"])
def test_open_scores_stand_under_score_and_the_metrics_own_name(book: Any, mode: str) -> None:
    evaluation, worker = book.evaluation(10, mode), book.worker()
    if mode == "gold":
        book.items = book.suite("gold")
    book.score(evaluation, worker, {"chart": CHART, "info": INFO}, correct=None, gold_prob=None)
    book.writer.refresh_scores(evaluation)
    errors = [standard_error(CHART), standard_error(INFO)]
    chart, info = approx(0.75, errors[0], 4), approx(0.375, errors[1], 4)
    assert scores(book, evaluation) == {
        ("chart", "score"): chart,
        ("chart", "exact_match"): chart,
        ("info", "score"): info,
        ("info", "anls"): info,
        ("macro", "score"): approx(0.5625, math.hypot(*errors) / 2, 8),
    }


def test_no_macro_mean_before_every_dataset_has_an_item(book: Any) -> None:
    evaluation, worker = book.evaluation(10, "open"), book.worker()
    book.score(evaluation, worker, {"chart": CHART})
    book.writer.refresh_scores(evaluation)
    assert not [name for name, _ in scores(book, evaluation) if name == "macro"]
    book.score(evaluation, worker, {"info": INFO[:1]})
    book.writer.refresh_scores(evaluation)
    # one item has no standard error, so the mean of means has none either
    assert scores(book, evaluation)["info", "score"] == (0.25, None, 1)
    assert scores(book, evaluation)["macro", "score"] == approx((0.75 + 0.25) / 2, None, 5)


def test_equal_scores_have_a_standard_error_of_zero(book: Any) -> None:
    evaluation, worker = book.evaluation(10, "open"), book.worker()
    book.score(evaluation, worker, {"chart": [0.1, 0.1, 0.1]})
    book.writer.refresh_scores(evaluation)
    value, stderr, n = scores(book, evaluation)["chart", "score"]
    assert (value, stderr, n) == (pytest.approx(0.1), pytest.approx(0.0, abs=1e-8), 3)


def clustered(values: list[float], images: list[int]) -> float:
    """The definition, image by image: sqrt(G / (G − 1) · Σ (Σ of the deviations)²) / n."""
    mean = statistics.fmean(values)
    sums = [
        sum(v - mean for v, own in zip(values, images, strict=True) if own == image)
        for image in set(images)
    ]
    return math.sqrt(len(sums) / (len(sums) - 1) * sum(s * s for s in sums)) / len(values)


@pytest.mark.parametrize("images", [[0, 0, 1, 2], [0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 2, 3]])
def test_items_about_one_image_are_one_cluster(book: Any, images: list[int]) -> None:
    for key, image in enumerate(images):
        book.writer.connection.execute(
            "UPDATE items SET image_digest = ? WHERE key = ?", (f"picture {image}", str(key))
        )
    evaluation, worker = book.evaluation(10, "open"), book.worker()
    book.score(evaluation, worker, {"chart": CHART, "info": INFO})
    book.writer.refresh_scores(evaluation)
    errors = [clustered(CHART, images), clustered(INFO, images)]
    found = scores(book, evaluation)
    assert found["chart", "score"] == approx(0.75, errors[0], 4)
    assert found["info", "score"] == approx(0.375, errors[1], 4)
    assert found["macro", "score"] == approx(0.5625, math.hypot(*errors) / 2, 8)
    if images == [0, 0, 1, 1]:  # of equal clusters, it is the standard error of their means
        assert found["info", "score"][1] == pytest.approx(standard_error([0.5, 0.25]))


def test_items_about_a_single_image_have_no_standard_error(book: Any) -> None:
    book.writer.connection.execute("UPDATE items SET image_digest = 'one' WHERE dataset = 'chart'")
    evaluation, worker = book.evaluation(10, "open"), book.worker()
    book.score(evaluation, worker, {"chart": CHART, "info": INFO})
    book.writer.refresh_scores(evaluation)
    assert scores(book, evaluation)["chart", "score"] == (0.75, None, 4)
    assert scores(book, evaluation)["macro", "score"][1] is None


def test_items_without_an_answer_do_not_count_as_wrong(book: Any) -> None:
    evaluation, worker = book.evaluation(10, "open"), book.worker()
    book.score(evaluation, worker, {"chart": [1.0, 1.0]})
    failed = book.answer(evaluation, worker, "chart", "2", status="failed", reason="too long")
    book.writer.add_results([failed], [])
    book.writer.refresh_scores(evaluation)
    assert scores(book, evaluation)["chart", "score"] == (1.0, 0.0, 2)


def test_nothing_answered_gives_no_scores(book: Any) -> None:
    evaluation = book.evaluation(10)
    book.writer.refresh_scores(evaluation)
    assert scores(book, evaluation) == {}


def test_a_scores_row_has_a_new_id_when_it_changed_and_keeps_it_when_not(book: Any) -> None:
    def ids() -> dict[str, int]:
        query = "SELECT dataset, id FROM scores WHERE metric = 'score'"
        return dict(book.query(query))

    evaluation, worker = book.evaluation(10, "open"), book.worker()
    book.score(evaluation, worker, {"chart": CHART[:2], "info": INFO[:2]})
    book.writer.refresh_scores(evaluation)
    first = ids()
    book.writer.refresh_scores(evaluation)
    assert ids() == first
    book.score(evaluation, worker, {"info": INFO})
    book.writer.refresh_scores(evaluation)
    second = ids()
    assert second["chart"] == first["chart"]
    assert second["info"] > max(first.values())
    assert second["macro"] > max(first.values())


# --- results ------------------------------------------------------------------------------------


def test_an_item_is_stored_once_and_the_first_result_stays(book: Any) -> None:
    evaluation, worker = book.evaluation(10), book.worker()
    first = book.answer(evaluation, worker, "chart", "0", answer="A", score=1.0)
    failed = book.answer(evaluation, worker, "chart", "1", status="failed", reason="NaN")
    book.writer.add_results([first, failed], [])
    again = [
        replace(first, answer="B", score=0.0, attempt=2),
        replace(failed, status="ok", reason=None, answer="C"),
        book.answer(evaluation, worker, "chart", "2", answer="D"),
    ]
    book.writer.add_results(again, [])
    book.writer.add_results(again, [])
    assert book.query("SELECT answer, attempt, status, reason FROM predictions ORDER BY id") == [
        ("A", 1, "ok", None),
        (None, 1, "failed", "NaN"),
        ("D", 1, "ok", None),
    ]
    assert book.query("SELECT done, failed FROM evaluations") == [(2, 1)]


def test_another_permutation_is_another_result(book: Any) -> None:
    evaluation, worker = book.evaluation(10), book.worker()
    rows = [book.answer(evaluation, worker, "chart", "0", permutation=n) for n in (0, 1)]
    book.writer.add_results(rows, [])
    assert book.query("SELECT done FROM evaluations") == [(2,)]


def test_a_batch_is_stored_whole_or_not_at_all(book: Any) -> None:
    evaluation, worker = book.evaluation(10), book.worker()
    good = book.answer(evaluation, worker, "chart", "0")
    with pytest.raises(sqlite3.IntegrityError):
        book.writer.add_results([good, replace(good, item_id=999)], [])
    assert book.query("SELECT count(*) FROM predictions") == [(0,)]
    assert book.query("SELECT done FROM evaluations") == [(0,)]
    book.writer.add_results([good], [])
    assert book.query("SELECT done FROM evaluations") == [(1,)]


def test_the_end_of_an_evaluation(book: Any) -> None:
    evaluation = book.evaluation(10)
    first, second = book.worker("cpu:0"), book.worker("cpu:1")
    book.spans(evaluation, first, (100.0, 104.0), (104.0, 108.0))
    book.spans(evaluation, second, (100.0, 102.0))
    book.score(evaluation, first, {"chart": CHART, "info": INFO})
    book.writer.finish_evaluation(evaluation, "done", "a reason")
    # busy 8 + 2, wait 0 + 6
    assert book.query(
        "SELECT state, reason, makespan_s, ideal_s, idle_fraction FROM evaluations"
    ) == [("done", "a reason", 8.0, 5.0, 6 / 16)]
    assert ("macro", "accuracy") in scores(book, evaluation)


def test_an_evaluation_in_which_nothing_ran(book: Any) -> None:
    evaluation = book.evaluation(10)
    book.writer.finish_evaluation(evaluation, "failed", "NaN weights")
    assert book.query(
        "SELECT state, reason, makespan_s, ideal_s, idle_fraction FROM evaluations"
    ) == [("failed", "NaN weights", None, None, None)]


def test_the_first_start_of_an_evaluation_is_kept(book: Any) -> None:
    evaluation = book.evaluation(10)
    book.writer.start_evaluation(evaluation)
    (started,) = book.query("SELECT state, started_at FROM evaluations")
    assert started[0] == "running" and started[1] is not None
    book.writer.start_evaluation(evaluation)
    assert book.query("SELECT state, started_at FROM evaluations") == [started]


def test_an_evaluation_is_inserted_once(book: Any) -> None:
    checkpoint = book.writer.add_checkpoint(book.run_id, 10, "/c", 1.0)
    first = book.writer.add_evaluation(checkpoint, "open", "queue", 8)
    assert book.writer.add_evaluation(checkpoint, "open", "queue", 8) == first
    assert book.writer.add_evaluation(checkpoint, "closed", "queue", 8) != first


# --- runs, suites, workers ----------------------------------------------------------------------


def test_a_suite_is_stored_once(book: Any) -> None:
    assert book.suite("paired") == book.items
    assert book.query("SELECT count(*) FROM items WHERE suite_digest = 'paired'") == [(8,)]


def test_a_run_is_taken_up_again(book: Any) -> None:
    def open_run(**changes: Any) -> int:
        values = {
            "name": "again",
            "checkpoint_dir": "/run",
            "suite_digest": "paired",
            "gold_digest": "gold",
            "config_json": '{"a": 1}',
            "versions_json": "{}",
            "host": "h",
        }
        run: int = book.writer.open_run(**(values | changes))
        return run

    book.writer.finish_run(book.run_id)
    assert open_run() == book.run_id
    assert book.query("SELECT name, config_json, finished_at FROM runs") == [
        ("again", '{"a": 1}', None)
    ]
    others = {
        open_run(gold_digest=None),
        open_run(suite_digest="other"),
        open_run(checkpoint_dir="/other"),
    }
    assert len(others | {book.run_id}) == 4
    assert open_run(gold_digest=None) in others


def test_workers_of_an_engine_that_is_gone_are_lost_as_of_its_last_heartbeat(book: Any) -> None:
    alive, ended = book.worker("cpu:0"), book.worker("cpu:1")
    book.writer.set_worker(alive, "ready", pid=7, gpu_uuid="cpu-0")
    book.writer.set_worker(ended, "ended")
    book.writer.beat(run_id=book.run_id, pid=1, host="h", state="scoring", version="1")
    (before,) = book.query("SELECT ended_at FROM workers WHERE id = ?", ended)
    book.writer.end_stale_workers(book.run_id)
    ((beat,),) = book.query("SELECT heartbeat_at FROM engine")
    assert book.query("SELECT state, ended_at, pid, gpu_uuid FROM workers WHERE id = ?", alive) == [
        ("lost", beat, 7, "cpu-0")
    ]
    assert book.query("SELECT ended_at FROM workers WHERE id = ?", ended) == [before]


def test_a_later_correlation_replaces_an_earlier_one(book: Any) -> None:
    row = CorrelationRow("closed", "macro", "pearson", 0, 30, 0.5, 0.1, 0.9, 5)
    book.writer.add_correlations(book.run_id, [row, replace(row, step=20)])
    book.writer.add_correlations(book.run_id, [replace(row, r=0.7)])
    assert book.query("SELECT step, r FROM correlations ORDER BY step") == [(20, 0.5), (30, 0.7)]


# --- samples ------------------------------------------------------------------------------------


def sample(at: float, value: float | None, uuid: str = "GPU-1") -> SampleRow:
    memory = None if value is None else int(value)
    return SampleRow(at, uuid, "h", value, memory, 100, value, value, value, "", "ok")


MINUTES = (
    "SELECT gpu_uuid, bucket, n, utilisation_mean, utilisation_min, utilisation_max,"
    " memory_used_max FROM gpu_minutes ORDER BY gpu_uuid, bucket"
)


def test_whole_minutes_are_folded(book: Any) -> None:
    start = 60.0 * 1000
    book.writer.add_samples(
        [
            sample(start, 10.0),
            sample(start + 30, 40.0),
            sample(start + 59.9, 40.0),
            sample(start + 60, 7.0),
            sample(start + 10, None),
            sample(start + 10, None, "GPU-2"),
        ]
    )
    book.writer.fold_samples(start + 90)
    folded = [("GPU-1", 1000, 4, 30.0, 10.0, 40.0, 40), ("GPU-2", 1000, 1, None, None, None, None)]
    assert book.query(MINUTES) == folded
    book.writer.fold_samples(start + 120)
    assert book.query(MINUTES) == [folded[0], ("GPU-1", 1001, 1, 7.0, 7.0, 7.0, 7), folded[1]]


def test_raw_samples_are_dropped_after_an_hour_and_their_minutes_kept(book: Any) -> None:
    start = 60.0 * 1000
    book.writer.add_samples([sample(start + n, float(n)) for n in range(60)])
    book.writer.fold_samples(start + 60)
    kept = book.query(MINUTES)
    assert kept == [("GPU-1", 1000, 60, statistics.fmean(range(60)), 0.0, 59.0, 59)]
    now = start + RAW_SAMPLES_KEPT_S + 120
    book.writer.add_samples([sample(now - 30, 1.0)])
    book.writer.fold_samples(now)
    book.writer.fold_samples(now + 60)
    assert book.query("SELECT at FROM gpu_samples") == [(now - 30,)]
    assert book.query(MINUTES)[0] == kept[0]


def test_a_minute_is_not_folded_again_from_what_is_left_of_it(book: Any) -> None:
    start = 60.0 * 1000
    book.writer.add_samples([sample(start + n, float(n)) for n in range(60)])
    book.writer.fold_samples(start + 60)
    kept = book.query(MINUTES)
    # telemetry fell silent; an hour later half of the minute's raw samples are dropped
    for now in (start + RAW_SAMPLES_KEPT_S + 30, start + RAW_SAMPLES_KEPT_S + 45):
        book.writer.fold_samples(now)
    assert book.query(MINUTES) == kept


# --- files that are not ours --------------------------------------------------------------------


def database(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such directory"):
        Writer(tmp_path / "nowhere" / "run.db")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreError, match=r"notes\.txt: can't be opened as a database"):
        Writer(path)
    assert path.read_text() == "not a database " * 100


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be opened as a database"):
        Writer(tmp_path)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE theirs (x)"],
        ["CREATE TABLE theirs (x)", "PRAGMA user_version = 1"],
        ["CREATE TABLE theirs (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"],
        [
            "CREATE TABLE theirs (x)",
            "CREATE TABLE _sqlite_migrations (migration_set, name, applied_at)",
            "INSERT INTO _sqlite_migrations VALUES ('theirs', 'first', '2026')",
        ],
    ],
    ids=["plain", "with a version", "with an application id", "with migrations"],
)
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, statements: list[str]) -> None:
    path = database(tmp_path / "theirs.db", *statements)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not one that ctv-tui wrote"):
        Writer(path)
    assert path.read_bytes() == before


def test_a_newer_database_is_left_alone(book: Any) -> None:
    path = book.writer.path
    book.writer.close()
    database(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match=rf"newer ctv-tui \(schema {SCHEMA_VERSION + 1}"):
        Writer(path)


def test_an_existing_database_is_taken_up(book: Any) -> None:
    path = book.writer.path
    book.writer.close()
    again = Writer(path)
    assert again.query("SELECT count(*) FROM items") == [(16,)]
    assert again.query("PRAGMA journal_mode") == [("wal",)]
    again.close()


def test_a_first_opening_that_was_cut_off_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ctv_engine.store.schema._statements", cut)
        with pytest.raises(KeyboardInterrupt):
            Writer(tmp_path / "run.db")
    writer = Writer(tmp_path / "run.db")
    assert writer.query("SELECT count(*) FROM runs") == [(0,)]
    writer.close()
