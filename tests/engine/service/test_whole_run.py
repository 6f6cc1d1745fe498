"""The real engine on real checkpoints, from directory to scores."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import forked
import pytest
import tiny
from engine_run import ANSWERS, EngineRun, let_go_on, query, settings_for

from ctv_engine.settings import Settings

BATCH = 2


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, checkpoints: list[Path], suite: Any, gold: Any
) -> Path:
    """The database of a run that nothing happened to, with one worker."""
    place = tmp_path_factory.mktemp("undisturbed")
    run = EngineRun(
        settings_for(
            place,
            suite,
            gold,
            checkpoints=tuple(map(str, checkpoints)),
            drain=True,
            batch_size=BATCH,
        )
    )
    assert run.finish() == 0, run.output()
    return run.db


def test_every_item_has_one_prediction_in_every_mode(undisturbed: Path) -> None:
    rows = query(
        undisturbed,
        "SELECT c.step, e.mode, e.planned, e.done, e.failed, e.state, count(p.id)"
        " FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
        " JOIN predictions p ON p.evaluation_id = e.id"
        " GROUP BY e.id ORDER BY 1, 2",
    )
    modes = {"closed": 24, "gold": 32, "open": 24}
    assert rows == [
        (step, mode, n, n, 0, "done", n) for step in (10, 20, 30) for mode, n in modes.items()
    ]
    states = query(undisturbed, "SELECT state, reason FROM checkpoints")
    assert states == [("done", None)] * 3


def test_every_table_and_view_of_the_contract_holds_something(undisturbed: Path) -> None:
    tables = "runs checkpoints datasets items evaluations predictions scores workers spans"
    tables += " gpu_samples correlations events engine"
    views = "trajectory latency gpu_balance correlation_now"
    names = f"{tables} {views}".split()
    for name in names:
        assert query(undisturbed, f"SELECT count(*) FROM {name}")[0][0] > 0, name
    assert query(undisturbed, "SELECT count(*) FROM flips WHERE answer_before = answer_after") == [
        (0,)
    ]


def test_pins_are_gone_when_all_is_scored(undisturbed: Path) -> None:
    assert not Path(f"{undisturbed}.pins").exists()


def test_balance_is_stored_with_each_evaluation(undisturbed: Path) -> None:
    for makespan, ideal, idle in query(
        undisturbed, "SELECT makespan_s, ideal_s, idle_fraction FROM evaluations"
    ):
        assert 0 < ideal <= makespan + 1e-6
        assert 0 <= idle < 1


def test_results_do_not_depend_on_the_number_of_workers(
    undisturbed: Path, tmp_path: Path, checkpoints: list[Path], suite: Any, gold: Any
) -> None:
    run = EngineRun(
        settings_for(
            tmp_path,
            suite,
            gold,
            checkpoints=tuple(map(str, checkpoints)),
            drain=True,
            batch_size=BATCH,
            devices="cpu:3",
        ),
        forked=True,
    )
    assert run.finish() == 0, run.output()
    assert query(run.db, ANSWERS) == query(undisturbed, ANSWERS)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killing_engine_and_workers_at_ten_moments_changes_nothing(
    undisturbed: Path, tmp_path: Path, checkpoints: list[Path], suite: Any, gold: Any
) -> None:
    wanted = query(undisturbed, ANSWERS)
    settings = settings_for(
        tmp_path,
        suite,
        gold,
        checkpoints=tuple(map(str, checkpoints)),
        drain=True,
        batch_size=BATCH,
    )
    rng = random.Random(7)
    moments = [0, *sorted(rng.sample(range(1, len(wanted) * 3 // 4), 9))]
    run = EngineRun(settings, forked=True)
    killed: set[int] = set()
    for number, moment in enumerate(moments):
        victim = "engine" if number % 3 == 0 else "worker"
        (pid,) = run.wait_for_workers(moment, killed)
        killed.add(pid)
        if victim == "engine":
            run.kill()
            run = EngineRun(settings, forked=True)
        else:
            os.kill(pid, signal.SIGKILL)
    assert run.finish() == 0, run.output()
    got = query(run.db, ANSWERS)
    assert [row[:5] for row in got] == [row[:5] for row in wanted], "an item was lost or doubled"
    assert got == wanted
    assert query(run.db, "SELECT DISTINCT state FROM evaluations") == [("done",)]
    lost = query(run.db, "SELECT count(*) FROM workers WHERE state = 'lost'")
    assert lost == [(len(moments),)], "every kill hit a living worker"


def test_a_slowly_written_checkpoint_is_scored_once_and_a_rotated_one_from_its_pin(
    tmp_path: Path, checkpoints: list[Path], suite: Any
) -> None:
    watched = tmp_path / "run"
    watched.mkdir()
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), quiet_s=0.5), forked=True
    )
    run.wait("SELECT count(*) FROM workers WHERE state = 'ready'")
    source = checkpoints[0]
    target = watched / "checkpoint-10"
    target.mkdir()
    order = sorted(source.iterdir(), key=lambda file: file.name == "trainer_state.json")
    for file in order:
        content = file.read_bytes()
        for part in (content[: len(content) // 2], content):
            assert run.query("SELECT count(*) FROM checkpoints WHERE state = 'ready'") == [(0,)]
            (target / file.name).write_bytes(part)
    run.wait("SELECT count(*) FROM checkpoints WHERE state IN ('ready', 'scoring', 'done')")
    for file in target.iterdir():
        file.unlink()
    target.rmdir()
    run.wait("SELECT count(*) FROM checkpoints WHERE state = 'done'")
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0
    assert run.query("SELECT step, state FROM checkpoints") == [(10, "done")]
    assert run.query("SELECT count(*) FROM predictions") == [(48,)]
    assert run.query("SELECT state FROM engine") == [("stopped",)]


def test_a_stopped_run_is_taken_up_where_it_ended(
    undisturbed: Path, tmp_path: Path, checkpoints: list[Path], suite: Any, gold: Any
) -> None:
    settings = settings_for(
        tmp_path,
        suite,
        gold,
        checkpoints=tuple(map(str, checkpoints)),
        drain=True,
        batch_size=BATCH,
    )
    run = EngineRun(settings, forked=True, hold_after=2)
    held = run.wait_until_held()
    run.process.send_signal(signal.SIGTERM)
    let_go_on(held)
    assert run.finish() == 0, run.output()
    before = run.count()
    assert 0 < before < len(query(undisturbed, ANSWERS))
    first = query(run.db, "SELECT min(id), max(created_at) FROM predictions")
    again = EngineRun(settings, forked=True)
    assert again.finish() == 0, again.output()
    assert query(run.db, ANSWERS) == query(undisturbed, ANSWERS)
    assert query(run.db, "SELECT count(*) FROM predictions WHERE created_at <= ?", first[0][1]) == [
        (before,)
    ], "what was there is kept"
    assert query(run.db, "SELECT count(*) FROM runs") == [(1,)]


def test_only_one_engine_has_a_database(tmp_path: Path, suite: Any) -> None:
    (tmp_path / "run").mkdir()
    settings = settings_for(tmp_path, suite, checkpoint_dir=str(tmp_path / "run"))
    first = EngineRun(settings)
    first.wait("SELECT 1 FROM engine")
    second = EngineRun(settings)
    assert second.finish() == 3
    output = second.output()
    assert f"pid {first.process.pid}" in output
    assert "Traceback" not in output
    first.process.send_signal(signal.SIGTERM)
    assert first.finish() == 0


def test_a_suite_that_is_broken_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "run").mkdir()
    settings = Settings(
        db=str(tmp_path / "run.db"),
        suite=str(tmp_path / "suite"),
        checkpoint_dir=str(tmp_path / "run"),
    )
    run = EngineRun(settings)
    assert run.finish() == 2
    assert run.output().count("\n") == 1


def test_every_kth_checkpoint_and_always_the_last(
    tmp_path: Path, checkpoints: list[Path], suite: Any, gold: Any
) -> None:
    watched = tmp_path / "run"
    for number in range(1, 5):
        tiny.save_checkpoint(watched / f"checkpoint-{number}", number, seed=number, save_steps=1)
    run = EngineRun(
        settings_for(
            tmp_path, suite, gold, checkpoint_dir=str(watched), drain=True, every=2, gold_every=2
        ),
        forked=True,
    )
    assert run.finish() == 0, run.output()
    assert run.query("SELECT step, state FROM checkpoints ORDER BY step") == [
        (1, "done"),
        (2, "skipped"),
        (3, "done"),
        (4, "done"),
    ]
    gold_steps = run.query(
        "SELECT c.step FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
        " WHERE e.mode = 'gold' ORDER BY 1"
    )
    assert gold_steps == [(1,), (4,)]


def test_a_full_disk_loses_nothing(
    undisturbed: Path,
    tmp_path: Path,
    checkpoints: list[Path],
    suite: Any,
    gold: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The coordinator runs in this process, on a database that refuses to grow for a while."""
    from ctv_engine.runtime.local_pool import LocalPool
    from ctv_engine.service import engine as engine_module
    from ctv_engine.service.ledger import Ledger
    from ctv_engine.service.opening import worker_settings
    from ctv_engine.store.writer import Writer
    from ctv_engine.telemetry.poller import Poller

    settings = settings_for(
        tmp_path,
        suite,
        gold,
        checkpoints=tuple(map(str, checkpoints)),
        drain=True,
        batch_size=BATCH,
    )
    monkeypatch.setattr(engine_module, "DISK_RETRY_S", 0.1)
    monkeypatch.setattr("multiprocessing.get_context", forked.get_context)
    writer = Writer(Path(settings.db))
    ledger = Ledger(writer, settings, suite, gold, "here")
    pool = LocalPool(("cpu:0",), worker_settings(settings))
    engine = engine_module.Engine(
        settings, ledger, pool, Poller("here"), engine_module.Requests(drain=True)
    )
    refused: list[float] = []
    take = ledger.evaluations.take

    def take_on_a_full_disk(*values: Any) -> None:
        if len(refused) < 3 and writer.query("SELECT count(*) FROM predictions")[0][0] >= 20:
            refused.append(time.monotonic())
            pages = writer.query("PRAGMA page_count")[0][0]
            writer.query(f"PRAGMA max_page_count = {pages}")
            try:
                writer.connection.execute("CREATE TABLE filler (x BLOB)")
                writer.connection.execute("INSERT INTO filler VALUES (zeroblob(10000000))")
            finally:
                writer.query("PRAGMA max_page_count = 1073741823")
        take(*values)

    ledger.evaluations.take = take_on_a_full_disk  # type: ignore[method-assign]
    try:
        assert engine.run() == 0
    finally:
        writer.close()
    assert len(refused) == 3, "the disk was full three times"
    assert query(Path(settings.db), ANSWERS) == query(undisturbed, ANSWERS)
    assert query(Path(settings.db), "SELECT count(*) FROM events WHERE kind = 'disk'")[0][0] >= 1
    assert threading.active_count() < 20
