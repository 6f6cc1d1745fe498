"""Following a directory of checkpoints, with a clock that the test turns."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import tiny
from watched import ABANDON_S, QUIET_S, Run

from ctv_engine.checkpoints import watch as module
from ctv_engine.checkpoints.completeness import inspect
from ctv_engine.checkpoints.pin import digest


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


# --- complete -----------------------------------------------------------------------------------


def test_written_slowly_file_by_file_is_ready_once_and_only_when_whole(run: Run) -> None:
    path = run.root / "checkpoint-10"
    path.mkdir()
    for name, content in tiny.bare_files(10):
        for end in (len(content) // 2, len(content)):
            (path / name).write_bytes(content[:end])
            run.poll()  # never as long as the quiet period
            if (name, end) != ("trainer_state.json", len(content)):
                assert "ready" not in run.kinds(), f"ready after {end} bytes of {name}"
    run.poll(200)
    assert run.kinds().count("found") == 1
    assert run.kinds().count("ready") == 1
    assert run.seen[0].kind == "found" and run.seen[-1].kind == "ready"
    assert not {"failed", "vanished"} & set(run.kinds())
    pinned = run.only("ready").pin
    assert pinned is not None
    assert inspect(pinned.directory, 10).verdict == "whole"


def test_a_pause_in_writing_is_no_end_where_a_trainer_state_must_come(run: Run) -> None:
    run.save(10)
    run.poll(5)  # from now on it is known that this run saves a trainer state
    path = run.root / "checkpoint-20"
    path.mkdir()
    for name, content in tiny.bare_files(20):
        assert "ready" not in run.kinds(20), f"ready before {name}"
        (path / name).write_bytes(content)
        run.poll(5)
    assert run.kinds(20)[-1] == "ready"


def test_every_reason_for_waiting_is_told_once(run: Run) -> None:
    path = run.root / "checkpoint-10"
    path.mkdir()
    for name, content in tiny.bare_files(10):
        (path / name).write_bytes(content)
        run.poll()
    reasons = [s.reason for s in run.seen if s.kind == "writing"]
    assert reasons == [
        "no weights (model.safetensors) yet",
        "trainer_state.json is missing or not whole",
    ]


def test_a_quiet_period_must_pass(run: Run) -> None:
    path = run.save(10)
    assert [s.kind for s in run.poll()] == ["found"]
    for number in range(5):  # something changes in every second
        (path / "notes.txt").write_text("x" * number)
        assert run.poll() == []
    quiet_since = run.now
    while "ready" not in run.kinds():
        run.poll()
    assert run.now - quiet_since == QUIET_S


def test_two_equal_looks_are_needed_even_without_a_quiet_period(run: Run) -> None:
    run.watcher.quiet_s = 0.0
    run.save(10)
    assert [s.kind for s in run.poll()] == ["found"]
    assert [s.kind for s in run.poll()] == ["ready"]


@pytest.mark.parametrize("marker", ["_SUCCESS", "STABLE"])
def test_a_positive_marker_needs_no_quiet_period(run: Run, marker: str) -> None:
    (run.save(10) / marker).touch()
    assert [s.kind for s in run.poll()] == ["found", "ready"]


def test_a_positive_marker_does_not_make_half_a_checkpoint_whole(run: Run) -> None:
    path = run.save(10)
    (path / "_SUCCESS").touch()
    (path / "model.safetensors").write_bytes(tiny.safetensors_bytes()[:-8])
    run.poll(10)
    assert run.kinds() == ["found", "writing"]
    assert "8 bytes short" in (run.only("writing").reason or "")


def test_checkpoints_are_reported_by_step(run: Run) -> None:
    for step in (100, 20, 9):
        run.save(step, save_steps=1000)
    run.poll(5)
    assert [s.step for s in run.seen if s.kind == "ready"] == [9, 20, 100]


def test_only_the_trainers_last_step_is_last(run: Run) -> None:
    for step in (10, 20):
        run.save(step, max_steps=20)
    run.poll(5)
    assert [(s.step, s.last) for s in run.seen if s.kind == "ready"] == [(10, False), (20, True)]


def test_other_entries_are_no_checkpoints(run: Run) -> None:
    (run.root / "runs").mkdir()
    tiny.bare_checkpoint(run.root / "tmp-checkpoint-10", 10)
    tiny.bare_checkpoint(run.root / "checkpoint-10.tmp", 10)
    (run.root / "checkpoint-20").write_text("a file")
    assert run.poll(10) == []
    assert not run.watcher.unsettled


def test_unsettled_until_the_last_word(run: Run) -> None:
    assert not run.watcher.unsettled
    run.save(10)
    run.poll()
    assert run.watcher.unsettled
    run.poll(5)
    assert not run.watcher.unsettled


# --- not complete -------------------------------------------------------------------------------


def test_an_abandoned_write_fails_with_its_reason(run: Run) -> None:
    path = run.save(10)
    (path / "model.safetensors").write_bytes(tiny.safetensors_bytes()[:-8])
    run.poll(int(ABANDON_S) - 1)
    assert run.kinds() == ["found", "writing"]
    run.poll(100)
    assert run.kinds() == ["found", "writing", "failed"]
    reason = run.only("failed").reason or ""
    assert "model.safetensors is 8 bytes short" in reason
    assert f"nothing was written for {ABANDON_S:.0f} s" in reason


def test_a_slow_write_is_not_abandoned(run: Run) -> None:
    path = run.save(10)
    (path / "model.safetensors").write_bytes(b"")
    for size in range(8):
        (path / "optimizer.pt").write_bytes(bytes(size))
        run.poll(int(ABANDON_S) - 1)
    assert "failed" not in run.kinds()


@pytest.mark.parametrize("late", ["trainer_state.json", "model.safetensors", "config.json"])
def test_an_abandoned_write_that_is_ended_after_all_is_ready(run: Run, late: str) -> None:
    path = run.save(10)
    content = (path / late).read_bytes()
    (path / late).unlink()
    run.poll(int(ABANDON_S) + 5)
    assert run.kinds()[-1] == "failed"
    (path / late).write_bytes(content)
    run.poll(10)
    assert run.kinds()[-1] == "ready"


def test_an_abandoned_write_whose_marker_is_removed_is_ready(run: Run) -> None:
    marker = run.save(10) / "checkpoint-is-incomplete.txt"
    marker.touch()
    run.poll(int(ABANDON_S) + 5)
    assert run.kinds()[-1] == "failed"
    marker.unlink()
    run.poll(10)
    assert run.kinds()[-1] == "ready"


def test_deleted_before_it_was_whole(run: Run) -> None:
    path = run.save(10)
    (path / "trainer_state.json").unlink()
    run.poll(3)
    shutil.rmtree(path)
    run.poll(10)
    assert run.kinds() == ["found", "writing", "vanished"]
    reason = run.only("vanished").reason or ""
    assert "deleted before it was whole" in reason and "trainer_state.json" in reason
    assert not run.watcher.unsettled


def test_deleted_in_the_quiet_period(run: Run) -> None:
    path = run.save(10)
    run.poll()
    shutil.rmtree(path)
    run.poll(10)
    assert run.kinds() == ["found", "vanished"]


def test_deleted_while_it_is_pinned(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.save(10)
    link = os.link

    def link_and_rotate(source: Path, target: Path) -> None:
        if source.name == "model.safetensors":
            shutil.rmtree(path)
        link(source, target)

    monkeypatch.setattr(os, "link", link_and_rotate)
    run.poll(10)
    assert run.kinds() == ["found", "vanished"]
    assert "deleted while it was pinned" in (run.only("vanished").reason or "")
    assert list(run.pins.iterdir()) == []


def test_a_checkpoint_that_can_not_be_pinned_fails(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    run.save(10)
    run.poll(10)
    assert run.kinds() == ["found", "failed"]
    reason = run.only("failed").reason or ""
    assert "can't be pinned" in reason and "No space left" in reason


def test_weights_of_another_kind_fail_with_the_way_out(run: Run) -> None:
    path = run.save(10)
    (path / "model.safetensors").unlink()
    (path / "pytorch_model_fsdp_0").mkdir()
    (path / "pytorch_model_fsdp_0" / ".metadata").touch()
    run.poll(10)
    assert run.kinds() == ["found", "failed"]
    assert "merge-weights" in (run.only("failed").reason or "")
    (path / "model.safetensors").write_bytes(tiny.safetensors_bytes())  # merged by hand
    run.poll(10)
    assert run.kinds()[2:] == ["found", "ready"]


def test_files_that_may_not_be_read_are_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path / "model.safetensors"))

    run.save(10)
    monkeypatch.setattr(module, "inspect", refuse)
    run.poll(int(ABANDON_S) + 10)
    assert "Permission denied" in " ".join(s.reason or "" for s in run.seen)


# --- pinned -------------------------------------------------------------------------------------


def test_rotated_after_the_pin(run: Run) -> None:
    path = run.save(10)
    run.poll(5)
    pinned = run.only("ready").pin
    assert pinned is not None and pinned.directory.parent == run.pins
    files = inspect(path, 10).files
    shutil.rmtree(path)
    assert run.poll(10) == []
    assert digest(pinned.directory, files) == pinned.digest
    assert inspect(pinned.directory, 10).verdict == "whole"


def test_copied_where_links_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    path = run.save(10)
    run.poll(5)
    pinned = run.only("ready").pin
    assert pinned is not None and pinned.copied
    assert pinned.digest == digest(path, inspect(path, 10).files)


def test_a_rewritten_directory_is_reported_again(run: Run) -> None:
    path = run.save(10, seed=1)
    run.poll(5)
    shutil.rmtree(path)
    run.save(10, seed=2)
    run.poll(5)
    assert run.kinds() == ["found", "ready", "found", "ready"]
    first, second = (s.pin for s in run.seen if s.kind == "ready")
    assert first is not None and second is not None
    assert first.digest != second.digest
    assert first.directory != second.directory


def test_rotation_and_later_additions_are_no_rewrite(run: Run) -> None:
    path = run.save(10)
    run.poll(5)
    (path / "eval_results.json").write_text("{}")
    run.poll(5)
    (path / "optimizer.pt").unlink()
    run.poll(5)
    (path / "model.safetensors").unlink()
    run.poll(5)
    assert run.kinds() == ["found", "ready"]
