"""A pause: batches are finished, devices given back, and nothing is lost when it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_run import ANSWERS, EngineRun, let_go_on, query, wait_until
from fake_driver import IDLE, Driver

from ctv_engine.runtime.devices import DeviceError
from ctv_engine.service import pause as module
from ctv_engine.service.pause import Pause, Stage
from ctv_engine.settings import Settings
from ctv_engine.store.control import ask_pause, ask_resume, is_pause_asked, pause_path
from ctv_engine.telemetry.poller import News

# --- step by step, on a crew that does as it is told ---------------------------------------------


class Hands:
    """A crew that notes what it is told."""

    def __init__(self) -> None:
        self.busy = False
        self.told: list[str] = []

    def start_all(self) -> None:
        self.told.append("start")

    def stand_down(self) -> None:
        self.told.append("stand down")

    def rest(self) -> None:
        assert not self.busy
        self.told.append("rest")


class Story:
    """A pause, its crew, what ``settle`` answers, and the events."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.hands = Hands()
        self.answers: list[Sequence[News] | DeviceError | None] = []
        self.asked: list[bool] = []
        self.events: list[str] = []
        self.pause = Pause(database, self.hands, self._settle, self._tell)  # type: ignore[arg-type]

    def _settle(self, since: float, hurry: bool) -> Sequence[News] | None:
        self.asked.append(hurry)
        answer = self.answers.pop(0) if self.answers else ()
        if isinstance(answer, DeviceError):
            raise answer
        return answer

    def _tell(self, level: str, kind: str, text: str) -> None:
        self.events.append(f"{level} {kind}: {text}")

    def steps(self, count: int = 1, settled: bool = True) -> Stage:
        for _ in range(count):
            self.pause.step(settled)
        return self.pause.stage


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "run.db")


def test_batches_and_results_come_first(story: Story) -> None:
    story.pause.begin()
    story.hands.busy = True
    ask_pause(story.database)
    assert story.steps(3) is Stage.FINISHING
    assert not story.pause.working and not story.pause.resting
    story.hands.busy = False
    assert story.steps(3, settled=False) is Stage.FINISHING, "results are not stored yet"
    assert story.steps() is Stage.RESTING
    assert story.steps(5) is Stage.RESTING
    assert story.hands.told == ["start", "stand down", "rest"]
    assert story.events == [
        "info engine: pausing: the batches under way are finished first",
        "info engine: paused: no device is used;"
        f" `ctv-tui resume --db {story.database}` lets it go on",
    ]


def test_devices_are_chosen_anew(story: Story) -> None:
    ask_pause(story.database)
    story.pause.begin()
    assert story.events == [
        "warning engine: it starts paused, as was asked;"
        f" `ctv-tui resume --db {story.database}` lets it go on"
    ]
    assert ask_resume(story.database)
    story.answers = [None, None, (News("info", "cuda:1 is a GPU; 79 of 80 GB free"),)]
    assert story.steps(3) is Stage.RETURNING
    assert story.pause.resting, "nothing runs yet"
    assert story.steps() is Stage.WORKING
    assert story.hands.told == ["start"]
    assert story.asked == [False, False, False]
    assert story.events[1:] == [
        "info devices: cuda:1 is a GPU; 79 of 80 GB free",
        "info engine: resumed",
    ]


def test_devices_that_nobody_gives_back_are_waited_for_and_told_once(story: Story) -> None:
    ask_pause(story.database)
    story.pause.begin()
    ask_resume(story.database)
    story.answers = [DeviceError("none free, 97 %"), DeviceError("none free, 96 %"), None]
    assert story.steps(4) is Stage.RETURNING
    assert story.events[1:] == [
        "warning engine: can't resume yet, and tries again: none free, 97 %"
    ]
    ask_pause(story.database)
    assert story.steps() is Stage.RESTING
    ask_resume(story.database)
    assert story.steps(2) is Stage.WORKING
    assert story.hands.told == ["start"]


def test_devices_that_say_nothing_are_not_waited_for_without_end(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    ask_pause(story.database)
    story.pause.begin()
    ask_resume(story.database)
    story.steps(2)
    assert story.asked == [True]


def test_a_change_of_mind_before_the_batches_have_ended(story: Story) -> None:
    story.pause.begin()
    story.hands.busy = True
    ask_pause(story.database)
    story.steps()
    assert ask_resume(story.database)
    assert story.steps() is Stage.WORKING
    assert story.hands.told == ["start", "stand down", "start"]
    assert not ask_resume(story.database), "there is no wish any more"


# --- the real engine -----------------------------------------------------------------------------


def settings_for(place: Path, suite: Any, **values: Any) -> Settings:
    base: dict[str, Any] = {
        "db": str(place / "run.db"),
        "suite": str(suite.directory),
        "devices": "cpu:2",
        "batch_size": 1,
        "poll_s": 0.1,
        "quiet_s": 0.1,
    }
    return Settings(**{**base, **values})


def ctv(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctv_tui", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


def pause(run: EngineRun, held: Sequence[int]) -> subprocess.CompletedProcess[str]:
    """``ctv-tui pause`` for an engine whose workers are held in a batch until it is asked."""
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(ctv, "pause", "--db", str(run.db))
        run.wait("SELECT count(*) FROM events WHERE message LIKE 'pausing:%'")
        assert not asked.done(), "batches are under way"
        let_go_on(held)
        return asked.result()


STATE = "SELECT state FROM engine"
WORKERS = "SELECT pid FROM workers WHERE state IN ('starting', 'ready')"


@pytest.mark.slow
def test_a_run_that_was_paused_ends_as_one_that_was_not(
    tmp_path: Path, checkpoints: list[Path], suite: Any
) -> None:
    plain = EngineRun(
        settings_for(
            tmp_path,
            suite,
            db=str(tmp_path / "plain.db"),
            checkpoints=tuple(map(str, checkpoints[:2])),
            drain=True,
        ),
        forked=True,
    )
    assert plain.finish() == 0, plain.output()

    watched = tmp_path / "run"
    watched.mkdir()
    shutil.copytree(checkpoints[0], watched / checkpoints[0].name)
    run = EngineRun(
        settings_for(tmp_path, suite, checkpoint_dir=str(watched)), forked=True, hold_after=1
    )
    pids = run.wait_until_held(2)
    paused = pause(run, pids)
    assert paused.returncode == 0, paused.stderr
    assert paused.stdout.startswith(f"paused (pid {run.process.pid}): its devices are free")
    answered = run.count()
    assert 0 < answered < 48
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert run.query(WORKERS) == []
    assert run.query("SELECT DISTINCT state FROM workers") == [("ended",)]
    again = ctv("pause", "--db", str(run.db))
    assert (again.returncode, again.stdout) == (0, paused.stdout)

    # The training run goes on: a checkpoint is kept in the pause although it is deleted at once.
    shutil.copytree(checkpoints[1], watched / checkpoints[1].name)
    run.wait("SELECT state = 'ready' FROM checkpoints WHERE step = 20")
    shutil.rmtree(watched / checkpoints[1].name)
    assert (run.count(), run.query(STATE)) == (answered, [("paused",)])

    resumed = ctv("resume", "--db", str(run.db))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == f"resumed (pid {run.process.pid})\n"
    run.wait("SELECT count(*) = 2 FROM checkpoints WHERE state = 'done'")
    assert ctv("stop", "--db", str(run.db)).returncode == 0
    assert query(run.db, ANSWERS) == query(plain.db, ANSWERS)
    assert query(run.db, "SELECT max(attempt) FROM predictions") == [(1,)], "no batch was cut off"
    told = [text for (text,) in query(run.db, "SELECT message FROM events WHERE kind = 'engine'")]
    assert [text.partition(":")[0] for text in told] == ["pausing", "paused", "resumed"]
    late = ctv("resume", "--db", str(run.db))
    assert late.returncode == 3 and "none was paused" in late.stderr


@pytest.mark.slow
def test_a_pause_outlives_the_engine(tmp_path: Path, checkpoints: list[Path], suite: Any) -> None:
    settings = settings_for(
        tmp_path, suite, checkpoints=(str(checkpoints[0]),), drain=True, devices="cpu"
    )
    first = EngineRun(settings, forked=True, hold_after=1)
    pids = first.wait_until_held()
    waiting = ctv("pause", "--db", str(first.db), "--timeout", "0")
    assert waiting.returncode == 1
    assert "still finishes its batches and pauses after them" in waiting.stderr
    assert is_pause_asked(first.db)
    let_go_on(pids)
    first.wait("SELECT state = 'paused' FROM engine")
    answered = first.count()
    first.kill()
    second = EngineRun(settings, forked=True)
    second.wait(f"SELECT pid = {second.process.pid} AND state = 'paused' FROM engine")
    second.wait("SELECT count(*) FROM events WHERE message LIKE 'it starts paused, as was asked%'")
    assert (second.count(), second.query(WORKERS)) == (answered, [])
    assert ctv("stop", "--db", str(second.db)).returncode == 0, "it can be ended in the pause"
    assert second.finish() == 0
    resumed = ctv("resume", "--db", str(second.db))
    assert resumed.returncode == 0
    assert "no engine is running; the next one does not start paused" in resumed.stdout
    third = EngineRun(settings, forked=True)
    assert third.finish() == 0, third.output()
    assert third.query("SELECT count(*), count(DISTINCT item_id) FROM predictions") == [(48, 24)]


def test_a_new_database_does_not_inherit_the_pause_of_an_old_one(
    tmp_path: Path, checkpoints: list[Path], suite: Any
) -> None:
    settings = settings_for(tmp_path, suite, checkpoints=(str(checkpoints[0]),), drain=True)
    ask_pause(Path(settings.db))
    run = EngineRun(settings, forked=True)
    assert run.finish() == 0, run.output()
    assert not pause_path(run.db).exists()


@pytest.mark.slow
def test_static_shards_go_on_after_a_pause(
    tmp_path: Path, checkpoints: list[Path], suite: Any
) -> None:
    settings = settings_for(
        tmp_path, suite, checkpoints=(str(checkpoints[0]),), drain=True, schedule="static"
    )
    run = EngineRun(settings, forked=True, hold_after=1)
    assert pause(run, run.wait_until_held(2)).returncode == 0
    assert ctv("resume", "--db", str(run.db)).returncode == 0
    assert run.finish() == 0, run.output()
    assert run.query("SELECT count(*), sum(status = 'ok') FROM predictions") == [(48, 48)]


@pytest.mark.slow
def test_an_engine_that_is_to_resume_waits_for_a_free_gpu(
    driver: Driver,
    tmp_path: Path,
    checkpoints: list[Path],
    suite: Any,
) -> None:
    driver.set("gpus 2", *IDLE, "process * 4242 1000")
    settings = settings_for(tmp_path, suite, checkpoints=(str(checkpoints[0]),), devices="cpu")
    with pytest.MonkeyPatch.context() as patch:  # a database that was used before
        first = EngineRun(settings, forked=True)
        first.wait("SELECT state IN ('starting', 'scoring') FROM engine")
        assert ctv("stop", "--db", str(first.db)).returncode == 0
        for name, value in driver.environment().items():
            patch.setenv(name, value)
        ask_pause(first.db)
        run = EngineRun(
            settings_for(tmp_path, suite, checkpoints=settings.checkpoints, devices="auto")
        )
        run.wait(f"SELECT pid = {run.process.pid} AND state = 'paused' FROM engine")
    resumed = ctv("resume", "--db", str(run.db))
    assert resumed.returncode == 1
    assert "can't resume yet, and tries again: devices 'auto': none of the 2 GPUs" in resumed.stderr
    assert run.query(STATE) == [("paused",)]
    driver.set("gpus 2", *IDLE, "process 0 4242 1000")
    wait_until(
        lambda: run.query("SELECT count(*) FROM workers WHERE device = 'cuda:1'") != [(0,)],
        "a worker on the GPU that is free now",
    )
    assert run.query("SELECT count(*) FROM workers WHERE device = 'cuda:0'") == [(0,)]
    run.process.terminate()
    assert run.finish() in (0, 1)
