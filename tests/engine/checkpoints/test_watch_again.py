"""What a watch reports after a restart, what it missed, and a fixed list of checkpoints."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import tiny
from watched import Run

from ctv_engine.checkpoints import watch as module


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


# --- what was missed ----------------------------------------------------------------------------


def test_steps_that_were_gone_before_they_were_seen_are_reported_once(run: Run) -> None:
    run.save(10)
    run.poll(5)
    run.save(50)
    run.poll(5)
    missing = [s for s in run.seen if s.kind == "missing"]
    assert [s.step for s in missing] == [20, 30, 40]
    assert missing[0].path == run.root / "checkpoint-20"
    assert "every 10 steps" in (missing[0].reason or "")
    run.save(60)
    run.poll(20)
    assert run.kinds().count("missing") == 3


def test_what_was_rotated_before_the_watch_began_is_not_missing(run: Run) -> None:
    for step in (500, 510):
        run.save(step)
    run.poll(20)
    assert "missing" not in run.kinds()


def test_a_last_step_off_the_beat_makes_nothing_missing(run: Run) -> None:
    for step in (10, 20, 27):
        run.save(step, max_steps=27)
    run.poll(20)
    assert "missing" not in run.kinds()


def test_checkpoints_of_epochs_make_nothing_missing(run: Run) -> None:
    # save_strategy="epoch": trainer_state.json still holds the default save_steps of 500
    for step in (313, 626, 939):
        run.save(step, save_steps=500)
    run.poll(20)
    assert run.kinds().count("ready") == 3
    assert "missing" not in run.kinds()


def test_a_watched_directory_that_can_not_be_read_is_told_once(run: Run) -> None:
    run.save(10)
    run.poll(5)
    run.root.rename(run.root.with_name("away"))
    (lost,) = run.poll(10)
    assert (lost.kind, lost.path) == ("unreachable", run.root)
    assert "can't be read: No such file" in (lost.reason or "")
    run.root.with_name("away").rename(run.root)
    assert run.poll(10) == []
    run.root.rename(run.root.with_name("away"))
    assert [s.kind for s in run.poll(10)] == ["unreachable"]


# --- restarts -----------------------------------------------------------------------------------


def settle(run: Run, *paths: Path) -> None:
    """Restart and take ``paths`` as settled one second after their newest file was written."""
    when = {p: max(f.stat().st_mtime for f in p.iterdir()) + 1.0 for p in paths}
    run.restarted().assume_settled(when, [int(p.name.partition("-")[2]) for p in paths])


def test_what_an_earlier_engine_settled_is_not_reported_again(run: Run) -> None:
    path = run.save(10)
    settle(run, path)
    assert run.poll(20) == []
    run.save(20)
    run.poll(10)
    assert {s.step for s in run.seen} == {20}


def test_steps_of_an_earlier_engine_are_not_missing(run: Run) -> None:
    run.restarted().assume_settled({}, [10, 20, 30])
    run.save(40)
    run.poll(10)
    assert "missing" not in run.kinds()


def test_steps_that_passed_while_no_engine_ran_are_missing(run: Run) -> None:
    run.restarted().assume_settled({}, [10, 20])
    run.save(50)
    run.poll(10)
    assert [s.step for s in run.seen if s.kind == "missing"] == [30, 40]


def test_rewritten_while_no_engine_ran(run: Run) -> None:
    path = run.save(10)
    settled_at = max(f.stat().st_mtime for f in path.iterdir()) + 1.0
    (path / "model.safetensors").write_bytes(tiny.safetensors_bytes(seed=2))
    os.utime(path / "model.safetensors", (settled_at + 5, settled_at + 5))
    run.restarted().assume_settled({path: settled_at}, [10])
    run.poll(5)
    assert run.kinds() == ["found", "ready"]


def test_rewritten_after_a_restart(run: Run) -> None:
    path = run.save(10)
    settle(run, path)
    run.poll(5)
    shutil.rmtree(path)
    run.save(10, seed=2)
    run.poll(5)
    assert run.kinds() == ["found", "ready"]


def test_an_addition_while_no_engine_ran_is_no_rewrite(run: Run) -> None:
    path = run.save(10)
    settled_at = max(f.stat().st_mtime for f in path.iterdir()) + 1.0
    (path / "eval_results.json").write_text("{}")
    os.utime(path / "eval_results.json", (settled_at + 5, settled_at + 5))
    run.restarted().assume_settled({path: settled_at}, [10])
    assert run.poll(10) == []


def test_a_settled_directory_that_is_gone_is_no_news(run: Run) -> None:
    run.restarted().assume_settled({run.root / "checkpoint-10": 5.0}, [10])
    assert run.poll(10) == []


# --- a fixed list -------------------------------------------------------------------------------


def test_a_fixed_list(tmp_path: Path) -> None:
    tiny.bare_checkpoint(tmp_path / "elsewhere" / "checkpoint-30", 30)
    named = tiny.bare_checkpoint(tmp_path / "final", 70)
    plain = tiny.bare_checkpoint(tmp_path / "plain", 1)
    for name in ("trainer_state.json", "training_args.bin", "optimizer.pt"):
        (plain / name).unlink()
    fixed = [tmp_path / "elsewhere" / "checkpoint-30", named, plain, tmp_path / "nowhere"]
    run = Run(tmp_path, fixed, watched=False)
    run.poll(20)
    ready = {s.path.name: s.step for s in run.seen if s.kind == "ready"}
    assert ready["checkpoint-30"] == 30  # by its name
    assert ready["final"] == 70  # by its trainer state
    assert ready["plain"] == 3  # by its place in the list
    lost = run.only("vanished")
    assert (lost.path, lost.reason) == (tmp_path / "nowhere", "no such directory")
    assert not run.watcher.unsettled


def test_a_fixed_list_misses_no_steps(tmp_path: Path) -> None:
    fixed = [tiny.bare_checkpoint(tmp_path / f"checkpoint-{n}", n) for n in (10, 100)]
    run = Run(tmp_path, fixed, watched=False)
    run.poll(20)
    assert run.kinds() == ["found", "found", "ready", "ready"]


def test_every_entry_of_a_fixed_list_has_a_step_of_its_own(tmp_path: Path) -> None:
    plain = tiny.bare_checkpoint(tmp_path / "final", 1)
    for name in ("trainer_state.json", "training_args.bin", "optimizer.pt"):
        (plain / name).unlink()
    fixed = [plain, tiny.bare_checkpoint(tmp_path / "checkpoint-1", 1)]
    run = Run(tmp_path, fixed, watched=False)
    run.poll(10)
    steps = [s.step for s in run.seen if s.kind == "ready"]
    assert len(steps) == len(set(steps)) == 2


def test_the_same_name_in_two_places_makes_two_pins(tmp_path: Path) -> None:
    fixed = [
        tiny.bare_checkpoint(tmp_path / place / "checkpoint-10", 10, seed=seed)
        for seed, place in enumerate(("a", "b"))
    ]
    run = Run(tmp_path, fixed, watched=False)
    run.poll(10)
    pins = [s.pin for s in run.seen if s.kind == "ready"]
    assert len({pin.directory for pin in pins if pin}) == 2
    assert len({pin.digest for pin in pins if pin}) == 2


def test_a_trainer_state_that_grows_into_its_step_is_waited_for(run: Run) -> None:
    path = run.save(20)
    state = path / "trainer_state.json"
    whole = state.read_text()
    state.write_text(json.dumps({"global_step": 10}))
    run.poll(10)
    assert run.kinds() == ["found", "writing"]
    state.write_text(whole)
    run.poll(5)
    assert run.kinds() == ["found", "writing", "ready"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_moment_in_which_nothing_can_be_read_is_no_rewrite(
    run: Run, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    run.save(10)
    run.poll(5)
    with monkeypatch.context() as patch:
        patch.setattr(module, "inspect", refuse)
        run.poll(5)
    run.poll(10)
    assert run.kinds() == ["found", "ready"]
