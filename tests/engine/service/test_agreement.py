"""Every way to the same predictions: workers, pairing, schedules, checkpoints that went before."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
from engine_run import ANSWERS, EngineRun, wait_until

from ctv_engine.settings import Settings

BATCH = 3
START_S = 400.0
"""Seven workers share two cores."""
NUMBERS = {8, 9, 10}
"""Columns of a prediction in which rounding shows: gold_logprob, gold_prob, option_mass."""
BY_WHOM = {11, 15}
"""option_logprobs_json, whose text shows rounding too, and batch_id."""


def settings_for(place: Path, suite: Any, gold: Any, **values: Any) -> Settings:
    settings: dict[str, Any] = {
        "db": str(place / "run.db"),
        "suite": str(suite.directory),
        "gold": str(gold.directory),
        "devices": "cpu:1",
        "batch_size": BATCH,
        "poll_s": 0.1,
        "quiet_s": 0.1,
        "drain": True,
        "cache_dir": str(place / "inputs"),
    }
    return Settings(**{**settings, **values})


def finished(
    place: Path,
    suite: Any,
    gold: Any,
    checkpoints: list[Path],
    *,
    forked: bool = True,
    **values: Any,
) -> EngineRun:
    """Run an engine over checkpoints until all is scored; return the ended run."""
    place.mkdir(parents=True)
    paths = tuple(map(str, checkpoints))
    run = EngineRun(settings_for(place, suite, gold, checkpoints=paths, **values), forked=forked)
    assert run.finish() == 0, run.output()
    return run


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A paired suite and a gold suite whose items have no options, small ones."""
    home = tmp_path_factory.mktemp("few")
    return tiny.make_suite(home / "paired", 7), tiny.make_suite(
        home / "gold", 4, kind="gold", seed=1, options=False
    )


@pytest.fixture(scope="module", params=[True, False], ids=["paired", "apart"])
def alone(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    checkpoints: list[Path],
    few: tuple[Any, Any],
) -> EngineRun:
    """What one worker makes of two checkpoints, with and without pairing."""
    place = tmp_path_factory.mktemp("alone") / "run"
    return finished(place, *few, checkpoints[:2], forked=False, pairing=request.param)


def test_one_worker_answers_everything(alone: EngineRun) -> None:
    rows = alone.query(
        "SELECT c.step, e.mode, e.planned, e.done, e.failed, e.state FROM evaluations e"
        " JOIN checkpoints c ON c.id = e.checkpoint_id ORDER BY 1, 2"
    )
    modes = {"closed": 14, "gold": 8, "open": 14}
    assert rows == [(s, m, n, n, 0, "done") for s in (10, 20) for m, n in modes.items()]
    assert len(alone.query(ANSWERS)) == 2 * 36


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [2, 7])
def test_predictions_are_bit_equal_for_any_number_of_workers(
    alone: EngineRun, tmp_path: Path, checkpoints: list[Path], few: tuple[Any, Any], workers: int
) -> None:
    """All workers are up before there is anything to do, so that all of them take part."""
    watched = tmp_path / "watched"
    watched.mkdir()
    values = {"checkpoint_dir": str(watched), "devices": f"cpu:{workers}", "drain": False}
    settings = settings_for(tmp_path, *few, pairing=alone.settings.pairing, **values)
    run = EngineRun(settings, forked=workers > 2)
    ready = "SELECT count(*) FROM workers WHERE state = 'ready'"
    wait_until(lambda: run.query(ready) == [(workers,)], "all workers are ready", START_S)
    for directory in checkpoints[:2]:
        copy = shutil.copytree(directory, tmp_path / directory.name)
        Path(copy).rename(watched / directory.name)
    done = "SELECT count(*) FROM checkpoints WHERE state = 'done'"
    wait_until(lambda: run.query(done) == [(2,)], "both checkpoints are scored", START_S)
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 0, run.output()
    assert run.query(ANSWERS) == alone.query(ANSWERS)
    took_part = run.query("SELECT count(DISTINCT worker_id) FROM spans")[0][0]
    assert took_part > workers / 2


def test_pairing_changes_no_answer(
    alone: EngineRun, tmp_path: Path, checkpoints: list[Path], few: tuple[Any, Any]
) -> None:
    other = finished(tmp_path / "run", *few, checkpoints[:1], pairing=not alone.settings.pairing)
    wanted = [row for row in alone.query(ANSWERS) if row[0] == 10]
    found = other.query(ANSWERS)
    assert len(found) == len(wanted) == 36
    for ours, theirs in zip(found, wanted, strict=True):
        for column in {*range(len(ours))} - BY_WHOM:
            expected = theirs[column]
            if column in NUMBERS and expected is not None:
                expected = pytest.approx(expected, abs=1e-5)
            assert ours[column] == expected, column


def test_the_static_schedule_gives_the_same_answers(
    alone: EngineRun, tmp_path: Path, checkpoints: list[Path], few: tuple[Any, Any]
) -> None:
    static = finished(
        tmp_path / "run",
        *few,
        checkpoints[:1],
        pairing=alone.settings.pairing,
        schedule="static",
    )
    wanted = [row[:6] for row in alone.query(ANSWERS) if row[0] == 10]
    assert [row[:6] for row in static.query(ANSWERS)] == wanted


# --- from the second checkpoint on --------------------------------------------------------------

WORK = (
    "SELECT step, mode, images_decoded, images_reused, prompt_tokens, processed_tokens,"
    " shared_tokens, row_steps, output_tokens, padding_share FROM work ORDER BY step, mode"
)


def test_the_second_checkpoint_decodes_no_picture(alone: EngineRun) -> None:
    """Seven pictures of the paired suite and four of the gold suite, each decoded once."""
    rows = alone.query(WORK)
    decoded = {(step, mode): count for step, mode, count, *_ in rows}
    assert sum(decoded.values()) == 7 + 4
    assert all(decoded[20, mode] == 0 for mode in ("closed", "open", "gold"))
    read_again = sum(reused for step, _, _, reused, *_ in rows if step == 20)
    assert read_again >= 2 * 14 + 8, "every prompt's picture came from the cache"


def test_counts_of_work_are_the_same_at_every_checkpoint(alone: EngineRun) -> None:
    """All but the steps, which are the checkpoint's own words."""
    prefill: dict[int, Any] = {10: [], 20: []}
    for step, mode, _, _, prompt, processed, shared, *_ in alone.query(WORK):
        prefill[step].append((mode, prompt, processed, shared))
    assert prefill[10] == prefill[20]


def test_no_row_is_decoded_after_its_end(alone: EngineRun) -> None:
    for step, mode, *_, row_steps, output, _ in alone.query(WORK):
        items = alone.query(
            "SELECT count(*) FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id"
            " JOIN checkpoints c ON c.id = e.checkpoint_id WHERE c.step = ? AND e.mode = ?",
            step,
            mode,
        )[0][0]
        if mode == "closed":
            assert (row_steps, output) == (0, None)
        else:
            assert row_steps == output - items
            assert row_steps <= 1.15 * output


def test_pairs_read_a_picture_once_for_both_forms(alone: EngineRun) -> None:
    rows = {(s, m): (prompt, shared) for s, m, _, _, prompt, _, shared, *_ in alone.query(WORK)}
    lengths = dict(
        alone.query(
            "SELECT task, sum(tokens) FROM prompt_lengths l JOIN items i ON i.id = l.item_id"
            " JOIN runs r ON r.suite_digest = i.suite_digest GROUP BY task"
        )
    )
    for step in (10, 20):
        closed, opened = rows[step, "closed"], rows[step, "open"]
        if alone.settings.pairing:
            assert opened == (0, 0), "the prefill is booked to the closed task"
            assert closed[0] + closed[1] == lengths["closed"] + lengths["open"]
            assert closed[1] > 14 * 4
        else:
            assert closed[0] + closed[1] == lengths["closed"]
            assert opened[0] + opened[1] == lengths["open"]


def test_another_run_with_the_same_cache_decodes_nothing(
    alone: EngineRun, tmp_path: Path, checkpoints: list[Path], few: tuple[Any, Any]
) -> None:
    run = finished(
        tmp_path / "run",
        *few,
        checkpoints[1:2],
        pairing=alone.settings.pairing,
        cache_dir=alone.settings.cache_dir,
    )
    assert run.query("SELECT sum(images_decoded) FROM evaluations") == [(0,)]
    assert run.query(ANSWERS) == [row for row in alone.query(ANSWERS) if row[0] == 20]


def test_without_a_cache_the_answers_are_the_same(
    alone: EngineRun, tmp_path: Path, checkpoints: list[Path], few: tuple[Any, Any]
) -> None:
    run = finished(
        tmp_path / "run", *few, checkpoints[:1], pairing=alone.settings.pairing, cache_gb=0
    )
    assert run.query("SELECT sum(images_decoded) > 20 FROM evaluations") == [(1,)]
    assert not (tmp_path / "run" / "inputs").exists()
    assert run.query(ANSWERS) == [row for row in alone.query(ANSWERS) if row[0] == 10]
