"""The real engine on real checkpoints, from directory to scores."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import families
import pytest
import tiny
from engine_run import ANSWERS, EngineRun, query, wait_until

from ctv_engine.settings import Settings

BATCH = 2


def settings_for(tmp_path: Path, suite: Any, gold: Any = None, **values: Any) -> Settings:
    base: dict[str, Any] = {
        "db": str(tmp_path / "run.db"),
        "suite": str(suite.directory),
        "gold": str(gold.directory) if gold else None,
        "devices": "cpu",
        "poll_s": 0.1,
        "quiet_s": 0.1,
        "cache_dir": str(tmp_path / "inputs"),
    }
    return Settings(**{**base, **values})


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
        )
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
    run = EngineRun(settings)
    for number, moment in enumerate(moments):
        victim = "engine" if number % 3 == 0 else "worker"
        pids = run.wait_for_workers(rows=moment)
        if victim == "engine":
            run.kill()
            run = EngineRun(settings)
        else:
            os.kill(pids[0], signal.SIGKILL)
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
    run = EngineRun(settings_for(tmp_path, suite, checkpoint_dir=str(watched), quiet_s=0.5))
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
    run = EngineRun(settings)
    wait_until(lambda: run.count() >= 20, "20 rows")
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0, run.output()
    before = run.count()
    assert before < len(query(undisturbed, ANSWERS))
    first = query(run.db, "SELECT min(id), max(created_at) FROM predictions")
    again = EngineRun(settings)
    assert again.finish() == 0, again.output()
    assert query(run.db, ANSWERS) == query(undisturbed, ANSWERS)
    assert query(run.db, "SELECT count(*) FROM predictions WHERE created_at <= ?", first[0][1]) == [
        (before,)
    ], "what was there is kept"
    assert query(run.db, "SELECT count(*) FROM runs") == [(1,)]


def _spoil_weights(directory: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(directory / "model.safetensors")
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def _drop_processor(directory: Path) -> None:
    for pattern in ("processor_config.json", "token*", "*.jinja"):
        for file in directory.glob(pattern):
            file.unlink()


def _make_text_model(directory: Path) -> None:
    config = {"model_type": "bert", "architectures": ["BertModel"]}
    (directory / "config.json").write_text(json.dumps(config))


def _truncate(directory: Path) -> None:
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1204])


@pytest.fixture(scope="session")
def spoiled(
    tmp_path_factory: pytest.TempPathFactory, checkpoints: list[Path], suite: Any
) -> EngineRun:
    """A run over four broken checkpoints and a good one."""
    place = tmp_path_factory.mktemp("spoiled")
    watched = place / "run"
    faults = {1: _spoil_weights, 2: _drop_processor, 3: _make_text_model, 4: _truncate}
    for step, spoil in faults.items():
        spoil(tiny.save_checkpoint(watched / f"checkpoint-{step}", step, seed=step, save_steps=1))
    tiny.save_checkpoint(watched / "checkpoint-5", 5, seed=5, save_steps=1)
    run = EngineRun(settings_for(place, suite, checkpoint_dir=str(watched), drain=True))
    assert run.finish() == 0, run.output()
    return run


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (1, "NaN or infinite weights"),
        (2, "no usable processor"),
        (3, "is not a model that this engine can load"),
        (4, "1,204 bytes short of its header"),
    ],
)
def test_a_broken_checkpoint_fails_with_its_reason_and_the_rest_goes_on(
    spoiled: EngineRun, step: int, words: str
) -> None:
    [(state, reason, checkpoint_id)] = spoiled.query(
        "SELECT state, reason, id FROM checkpoints WHERE step = ?", step
    )
    assert state == "failed"
    assert words in reason
    events = spoiled.query(
        "SELECT message FROM events WHERE checkpoint_id = ? AND level = 'error'", checkpoint_id
    )
    assert any(words in message for (message,) in events)
    assert spoiled.query("SELECT state FROM checkpoints WHERE step = 5") == [("done",)]
    scored = spoiled.query(
        "SELECT count(*) FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
        " WHERE e.checkpoint_id = ?",
        checkpoint_id,
    )
    assert scored == [(0,)], "no value is invented"


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


def test_a_letter_that_is_not_one_token_fails_the_closed_evaluation_alone(
    tmp_path: Path, suite: Any, gold: Any
) -> None:
    watched = tmp_path / "run"
    directory = tiny.save_checkpoint(watched / "checkpoint-1", 1, save_steps=1)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {
        "type": "Replace",
        "pattern": {"Regex": "B$"},
        "content": "bb",
    }
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    run = EngineRun(settings_for(tmp_path, suite, gold, checkpoint_dir=str(watched), drain=True))
    assert run.finish() == 0, run.output()
    [(state, reason)] = run.query("SELECT state, reason FROM checkpoints")
    assert state == "failed"
    assert "'B' is not one token" in reason
    evaluations = "SELECT state, done, reason FROM evaluations WHERE mode = ?"
    [(state, done, reason)] = run.query(evaluations, "closed")
    assert (state, done) == ("failed", 0)
    assert "'B' is not one token" in reason
    for mode, items in (("open", 24), ("gold", 32)):
        assert run.query(evaluations, mode) == [("done", items, None)]
    told = run.query("SELECT message FROM events WHERE level = 'error'")
    assert [("step 1 closed failed" in text, "'B'" in text) for (text,) in told] == [(True, True)]

    # written anew while no engine was there: the open answers of the old weights do not count
    shutil.rmtree(directory)
    tiny.save_checkpoint(directory, 1, seed=5, save_steps=1)
    second = EngineRun(run.settings)
    assert second.finish() == 0, second.output()
    states = second.query("SELECT state FROM checkpoints ORDER BY id")
    assert states == [("failed",), ("done",)]
    answers = "SELECT answer FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
    answers += " WHERE mode = 'open' AND checkpoint_id = ? ORDER BY item_id"
    assert second.query(answers, 1) != second.query(answers, 2)
    assert len(second.query(answers, 2)) == 24


def test_weights_that_are_rewritten_in_place_under_the_pin_do_not_stand(
    tmp_path: Path, suite: Any, checkpoints: list[Path]
) -> None:
    """The pinned file is the writer's own: what it writes there is what workers read."""
    watched = tmp_path / "run"
    directory = tiny.save_checkpoint(watched / "checkpoint-10", 10, seed=1)
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), batch_size=1, every=1)
    )
    run.wait_for_workers(1)
    new = (checkpoints[1] / "model.safetensors").read_bytes()
    with (directory / "model.safetensors").open("r+b") as file:
        file.write(new)
    run.wait("SELECT count(*) = 2 FROM checkpoints WHERE state IN ('done', 'failed')")
    (first, why), (second, _) = run.query("SELECT state, reason FROM checkpoints ORDER BY id")
    assert (first, second) == ("failed", "done")
    assert "written to while it was scored" in why
    told = "SELECT level FROM events WHERE message LIKE 'step 10 failed: its files were written%'"
    assert run.query(told) == [("error",)]
    states = run.query("SELECT DISTINCT state FROM trajectory WHERE step = 10")
    assert states == [("done",)]  # the second look's
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0


def test_every_kth_checkpoint_and_always_the_last(
    tmp_path: Path, checkpoints: list[Path], suite: Any, gold: Any
) -> None:
    watched = tmp_path / "run"
    for number in range(1, 5):
        tiny.save_checkpoint(watched / f"checkpoint-{number}", number, seed=number, save_steps=1)
    run = EngineRun(
        settings_for(
            tmp_path, suite, gold, checkpoint_dir=str(watched), drain=True, every=2, gold_every=2
        )
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
    undisturbed: Path, tmp_path: Path, checkpoints: list[Path], suite: Any, gold: Any
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
    engine_module_retry = engine_module.DISK_RETRY_S
    engine_module.DISK_RETRY_S = 0.1
    try:
        assert engine.run() == 0
    finally:
        engine_module.DISK_RETRY_S = engine_module_retry
        writer.close()
    assert len(refused) == 3, "the disk was full three times"
    assert query(Path(settings.db), ANSWERS) == query(undisturbed, ANSWERS)
    assert query(Path(settings.db), "SELECT count(*) FROM events WHERE kind = 'disk'")[0][0] >= 1
    assert threading.active_count() < 20


def test_adapters_are_scored_on_the_base_that_the_run_names(tmp_path: Path, suite: Any) -> None:
    """Two adapters on one base give other scores; one for a base that is nowhere is refused."""
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForImageTextToText

    base = tiny.save_checkpoint(tmp_path / "base", 0)
    watched = tmp_path / "run"
    for step in (1, 2):
        torch.manual_seed(step)
        model = AutoModelForImageTextToText.from_pretrained(base)
        config = peft.LoraConfig(target_modules=["q_proj", "o_proj"], init_lora_weights=False)
        directory = watched / f"checkpoint-{step}"
        peft.get_peft_model(model, config).save_pretrained(directory)
        settings = json.loads((directory / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = "org/somewhere"
        (directory / "adapter_config.json").write_text(json.dumps(settings))
    lost = EngineRun(settings_for(tmp_path, suite, checkpoint_dir=str(watched), drain=True))
    assert lost.finish() == 0, lost.output()
    for state, reason in lost.query("SELECT state, reason FROM checkpoints"):
        assert state == "failed"
        assert "'org/somewhere', which is no directory here" in reason
        assert "--base" in reason
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched), drain=True, base=str(base))
    )
    assert run.finish() == 0, run.output()
    assert run.query("SELECT state, reason FROM checkpoints") == [("done", None)] * 2
    rows = run.query(ANSWERS)
    first, second = ([row[2:] for row in rows if row[0] == step] for step in (1, 2))
    assert len(first) == len(second) == 48
    assert first != second


def test_what_every_worker_finds_out_is_told_once(tmp_path: Path, suite: Any) -> None:
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        pytest.skip("with torchvision there is nothing to tell")
    watched = tmp_path / "run"
    watched.mkdir()
    run = EngineRun(
        settings_for(
            tmp_path, suite, checkpoint_dir=str(watched), devices="cpu:2", batch_size=BATCH
        )
    )
    run.wait("SELECT count(*) = 2 FROM workers WHERE state = 'ready'")
    families.build_family("qwen2_5_vl", tmp_path / "aside").rename(watched / "checkpoint-10")
    run.wait("SELECT state = 'done' FROM checkpoints")
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0, run.output()
    assert run.query("SELECT count(DISTINCT worker_id) FROM predictions") == [(2,)]
    told = run.query("SELECT level, kind FROM events WHERE message LIKE '%wants torchvision%'")
    assert told == [("warning", "model")]
