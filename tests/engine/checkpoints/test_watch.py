"""Following a directory of checkpoints, with a clock that the test turns."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny

from ctv_engine.checkpoints import watch as module
from ctv_engine.checkpoints.completeness import inspect
from ctv_engine.checkpoints.pin import digest
from ctv_engine.checkpoints.watch import Sighting, Watcher

QUIET_S = 2.0
ABANDON_S = 60.0


class Run:
    """A watched training run; one poll a second."""

    def __init__(self, home: Path, fixed: Sequence[Path] = (), *, watched: bool = True) -> None:
        self.root = home / "run"
        self.root.mkdir(exist_ok=True)
        self.pins = home / "pins"
        self.now = 1000.0
        self.seen: list[Sighting] = []
        self._fixed = fixed
        self._watched = watched
        self.watcher = self.restarted()

    def restarted(self) -> Watcher:
        """Return a watcher as a new engine would make it."""
        self.watcher = Watcher(
            root=self.root if self._watched else None,
            pins=self.pins,
            quiet_s=QUIET_S,
            abandon_s=ABANDON_S,
            fixed=self._fixed,
            clock=lambda: self.now,
        )
        return self.watcher

    def poll(self, times: int = 1) -> list[Sighting]:
        """Let ``times`` seconds pass with a poll at the end of each; return what was reported."""
        new: list[Sighting] = []
        for _ in range(times):
            self.now += 1.0
            new += self.watcher.poll()
        self.seen += new
        return new

    def save(
        self, step: int, *, save_steps: int = 10, max_steps: int = 10**6, seed: int = 0
    ) -> Path:
        """Save a whole checkpoint at once."""
        path = self.root / f"checkpoint-{step}"
        return tiny.bare_checkpoint(
            path, step, save_steps=save_steps, max_steps=max_steps, seed=seed
        )

    def kinds(self, step: int | None = None) -> list[str]:
        return [s.kind for s in self.seen if step is None or s.step == step]

    def only(self, kind: str) -> Sighting:
        (sighting,) = [s for s in self.seen if s.kind == kind]
        return sighting


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
