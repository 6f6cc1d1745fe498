"""The tail follows a database that grows, changes, vanishes, comes back or isn't ours."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_run
from waiting import wait_until

from ctv_engine.store.reader import StoreError
from ctv_engine.store.rows import SCHEMA_VERSION, CorrelationMethod, CorrelationRow
from ctv_engine.store.writer import Writer
from ctv_tui.data import Snapshot, follow, read_snapshot
from ctv_tui.data.tail import Tail


def poll(tail: Tail) -> Snapshot:
    """Return the next snapshot, which must be there now."""
    snapshot = tail.poll()
    assert snapshot is not None
    return snapshot


def latest(tail: Tail, wanted: str) -> Snapshot:
    """Poll until the database's health is ``wanted``."""
    found: list[Snapshot] = []

    def arrived() -> bool:
        snapshot = tail.poll()
        if snapshot is not None:
            found.append(snapshot)
        return bool(found) and found[-1].source.health == wanted

    wait_until(arrived)
    return found[-1]


def make_old(path: Path) -> None:
    os.utime(path, (0, 0))


def test_the_recorded_run_is_read_whole(snapshot: Snapshot) -> None:
    assert snapshot.run is not None and snapshot.run.name == "qwen-sft-3"
    assert snapshot.datasets == tuple(recorded_run.DATASETS)
    assert [p.step for p in snapshot.points("closed")] == list(recorded_run.STEPS)
    assert [p.step for p in snapshot.points("gold")] == list(recorded_run.GOLD_STEPS)
    assert all(p.complete for p in snapshot.points("open")[:-1])
    assert not snapshot.points("open")[-1].complete
    assert [e.mode for e in snapshot.running] == ["open"]
    assert snapshot.running[0].done == 134 and snapshot.running[0].planned == 220
    assert snapshot.lag == 1
    assert not snapshot.loading


def test_scores_are_those_of_the_view(recording: tuple[Path, float], snapshot: Snapshot) -> None:
    connection = sqlite3.connect(recording[0])
    rows = connection.execute(
        "SELECT mode, dataset, step, value, stderr, n, state = 'done' FROM trajectory"
        " WHERE metric = CASE mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END"
    ).fetchall()
    shown = {
        (t.mode, t.dataset, p.step, p.value, p.stderr, p.n, int(p.complete))
        for t in snapshot.trajectories
        for p in t.points
    }
    assert shown == set(rows) and len(rows) > 100


def test_latency_is_that_of_the_view(recording: tuple[Path, float], snapshot: Snapshot) -> None:
    assert snapshot.latency is not None and snapshot.latency.step == 1000
    connection = sqlite3.connect(recording[0])
    for mode in ("closed", "open"):
        rows = connection.execute(
            "SELECT dataset, n, prefill_s, decode_s FROM latency WHERE step = 1000 AND mode = ?",
            (mode,),
        ).fetchall()
        assert len(rows) == 6
        for dataset, n, prefill_s, decode_s in rows:
            row = snapshot.latency.row(mode, dataset)  # type: ignore[arg-type]
            assert row is not None and row.n == n
            assert row.prefill_s == pytest.approx(prefill_s)
            assert row.decode_s == (None if decode_s is None else pytest.approx(decode_s))
    assert sum(b.count for b in snapshot.latency.lengths) == 134


def test_waits_are_those_of_the_view(recording: tuple[Path, float], snapshot: Snapshot) -> None:
    closed = next(t for t in snapshot.timelines if t.mode == "closed")
    rows = sqlite3.connect(recording[0]).execute(
        "SELECT b.worker_id, b.wait_s FROM gpu_balance b JOIN checkpoints c"
        " ON c.id = b.checkpoint_id WHERE c.step = 1000 AND b.mode = 'closed'"
    )
    assert {lane.worker_id: lane.wait_s for lane in closed.lanes} == dict(rows.fetchall())
    running = next(t for t in snapshot.timelines if t.mode == "open")
    assert running.state == "running" and all(lane.wait_s is None for lane in running.lanes)


def test_devices_have_a_minute_of_history_and_their_workers(snapshot: Snapshot) -> None:
    assert [d.workers for d in snapshot.devices] == [("cuda:0",), ("cuda:1",)]
    assert all(len(d.history) == 60 for d in snapshot.devices)
    assert snapshot.devices[1].throttle == "power"


def test_correlations_of_the_last_step_and_the_rolling_window(snapshot: Snapshot) -> None:
    closed = [c for c in snapshot.rolling if c.proxy == "closed"]
    assert [c.step for c in closed] == list(recorded_run.STEPS)
    assert {c.window for c in closed} == {recorded_run.WINDOW}
    whole = snapshot.correlation("closed")
    assert whole is not None and whole.step == 1000 and whole.n == 8


def test_nothing_new_is_no_snapshot(db: Path) -> None:
    tail = Tail(db)
    assert tail.poll() is not None
    assert tail.poll() is None
    tail.close()


def test_a_growing_run_arrives_piece_by_piece(recorder: recorded_run.Recorder) -> None:
    tail = Tail(recorder.writer.path)
    empty = poll(tail)
    assert empty.run is not None and empty.trajectories == () and empty.latency is None
    recorder.add_checkpoint(100)
    assert [c.state for c in poll(tail).checkpoints] == ["ready"]
    recorder.evaluate(100, "closed", share=0.5)
    half = poll(tail).points("closed")
    assert len(half) == 1 and not half[0].complete
    recorder.evaluate(100, "closed")
    full = poll(tail).points("closed")
    assert len(full) == 1 and full[0].complete and full[0].n > half[0].n
    recorder.evaluate(100, "open")
    report = poll(tail).latency
    assert report is not None and report.row("open") is not None
    recorder.add_checkpoint(200)
    recorder.evaluate(200, "closed")
    assert [p.step for p in poll(tail).points("closed")] == [100, 200]
    tail.close()


def test_what_did_not_change_is_the_same_object(recorder: recorded_run.Recorder) -> None:
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed")
    tail = Tail(recorder.writer.path)
    before = poll(tail)
    recorder.beat()
    after = poll(tail)
    assert after.engine != before.engine
    assert after.trajectories is before.trajectories
    assert after.timelines is before.timelines
    assert after.evaluations is before.evaluations
    tail.close()


def test_a_replaced_row_is_seen(recorder: recorded_run.Recorder) -> None:
    row = CorrelationRow("closed", "macro", "pearson", 0, 100, 0.5, 0.1, 0.9, 5)
    with recorder.at() as writer:
        writer.add_correlations(recorder.run_id, [row])
    tail = Tail(recorder.writer.path)
    assert poll(tail).correlation("closed").r == 0.5  # type: ignore[union-attr]
    with recorder.at() as writer:
        writer.add_correlations(recorder.run_id, [replace(row, r=0.7)])
    assert poll(tail).correlation("closed").r == 0.7  # type: ignore[union-attr]
    tail.close()


def test_other_methods_do_not_take_the_place_of_pearsons_r(
    recorder: recorded_run.Recorder,
) -> None:
    row = CorrelationRow("closed", "macro", "pearson", 0, 100, 0.5, 0.1, 0.9, 5)
    rolling = replace(row, window=8, r=0.4)
    others: tuple[CorrelationMethod, ...] = ("spearman", "kendall", "difference", "partial")
    with recorder.at() as writer:
        writer.add_correlations(recorder.run_id, [row, rolling])
        for method in others:
            more = [replace(one, method=method, step=200, r=-1.0) for one in (row, rolling)]
            writer.add_correlations(recorder.run_id, more)
    tail = Tail(recorder.writer.path)
    snapshot = poll(tail)
    assert [(c.step, c.r) for c in snapshot.whole] == [(100, 0.5)]
    assert [(c.step, c.r) for c in snapshot.rolling] == [(100, 0.4)]
    tail.close()


def test_a_step_written_again_replaces_the_first(recorder: recorded_run.Recorder) -> None:
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed")
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed", share=0.5)
    points = read_snapshot(recorder.writer.path).points("closed")
    assert len(points) == 1 and not points[0].complete


def test_incremental_and_fresh_reading_agree(recorder: recorded_run.Recorder) -> None:
    tail = Tail(recorder.writer.path)
    for step in (100, 200, 300):
        recorder.add_checkpoint(step)
        for mode in ("closed", "open", "gold"):
            recorder.evaluate(step, mode)  # type: ignore[arg-type]
            tail.poll()
        recorder.correlate(step)
        recorder.sample(3)
    recorder.beat()
    followed, fresh = poll(tail), read_snapshot(recorder.writer.path)
    for name in ("trajectories", "evaluations", "checkpoints", "rolling", "whole", "events"):
        assert getattr(followed, name) == getattr(fresh, name), name
    assert followed.devices == fresh.devices
    assert followed.latency is not None and fresh.latency is not None
    assert followed.latency.lengths == fresh.latency.lengths
    ours, theirs = followed.timelines, fresh.timelines
    assert [t.extent_s for t in ours] == pytest.approx([t.extent_s for t in theirs])
    tail.close()


def test_the_engines_run_is_shown_when_there_are_two(recorder: recorded_run.Recorder) -> None:
    with recorder.at(10.0) as writer:
        second = writer.open_run(
            name="second",
            checkpoint_dir="/runs/second",
            suite_digest="suite",
            gold_digest=None,
            config_json="{}",
            versions_json="{}",
            host="node-7",
        )
    tail = Tail(recorder.writer.path)
    assert poll(tail).run.name == "second"  # type: ignore[union-attr]
    recorder.beat()
    assert poll(tail).run.name == "qwen-sft-3"  # type: ignore[union-attr]
    assert second != recorder.run_id
    tail.close()


def test_a_missing_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    tail = Tail(path)
    assert poll(tail).source.health == "waiting"
    assert tail.poll() is None
    recorder = recorded_run.Recorder(path)
    assert latest(tail, "ok").run is not None
    tail.close()
    recorder.close()


def test_a_file_that_its_engine_is_just_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    sqlite3.connect(path).execute("CREATE TABLE half (a)").connection.commit()
    tail = Tail(path)
    assert poll(tail).source.health == "waiting"
    tail.close()


def test_a_removed_file_leaves_the_last_data_and_may_come_back(db: Path, tmp_path: Path) -> None:
    kept = Path(shutil.copy(db, tmp_path / "kept.db"))
    tail = Tail(db)
    poll(tail)
    db.unlink()
    gone = latest(tail, "gone")
    assert gone.points("closed")
    kept.replace(db)
    back = latest(tail, "ok")
    assert back.source.replaced_at is not None and back.points("closed")
    tail.close()


def test_a_replaced_file_is_read_anew(db: Path, tmp_path: Path) -> None:
    tail = Tail(db)
    poll(tail)
    other = tmp_path / "other.db"
    recorder = recorded_run.Recorder(other, name="another")
    recorder.close()
    other.replace(db)
    found: list[Snapshot] = []

    def replaced() -> bool:
        snapshot = tail.poll()
        if snapshot is not None:
            found.append(snapshot)
        return bool(found) and found[-1].source.replaced_at is not None

    wait_until(replaced)
    assert found[-1].run is not None and found[-1].run.name == "another"
    assert found[-1].trajectories == ()
    tail.close()


def test_a_newer_schema_is_a_state_not_a_traceback(db: Path) -> None:
    tail = Tail(db)
    poll(tail)
    connection = sqlite3.connect(db)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.commit()
    newer = latest(tail, "newer")
    assert "upgrade ctv-tui" in newer.source.detail and newer.points("closed")
    with pytest.raises(StoreError, match="newer ctv-tui"):
        read_snapshot(db)
    tail.close()


def test_a_locked_file_is_said_and_retried(db: Path) -> None:
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("BEGIN EXCLUSIVE")
    locked = Tail(db)
    assert latest(locked, "locked").trajectories == ()
    connection.execute("ROLLBACK")
    connection.close()
    assert latest(locked, "ok").points("closed")
    locked.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all, just text" * 40, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_another_file_is_unreadable_not_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(content)
    make_old(path)
    tail = Tail(path)
    assert poll(tail).source.health == "unreadable"
    tail.close()
    with pytest.raises(StoreError):
        read_snapshot(path)


def test_a_foreign_database_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.commit()
    make_old(path)
    tail = Tail(path)
    assert "not one that ctv-tui wrote" in poll(tail).source.detail
    tail.close()


def test_a_database_without_a_run_is_empty(tmp_path: Path) -> None:
    Writer(tmp_path / "run.db").close()
    snapshot = read_snapshot(tmp_path / "run.db")
    assert snapshot.run is None and snapshot.engine is None


def test_many_rows_come_in_portions(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctv_tui.data.scores.ROWS_PER_TICK", 10)
    tail = Tail(db)
    first = poll(tail)
    assert first.loading and tail.loading
    while tail.loading:
        last = poll(tail)
    assert not last.loading
    assert last.trajectories == read_snapshot(db).trajectories
    tail.close()


def test_the_reader_holds_no_transaction_between_ticks(recorder: recorded_run.Recorder) -> None:
    tail = Tail(recorder.writer.path)
    poll(tail)
    recorder.add_checkpoint(100)
    busy, *_ = recorder.writer.query("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    assert busy == 0
    tail.close()


def test_follow_yields_changes_until_it_is_stopped(recorder: recorded_run.Recorder) -> None:
    stop = threading.Event()
    feed = follow(recorder.writer.path, stop, poll_s=0.01)
    assert next(feed).engine is None
    recorder.beat()
    assert next(feed).engine is not None
    stop.set()
    assert list(feed) == []
