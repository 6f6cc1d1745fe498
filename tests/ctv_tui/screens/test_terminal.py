"""The dashboard in a real terminal: start, live change, leaving, signals, a lost terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import recorded_run
from waiting import wait_until

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.slow,
]

START = (
    "import os, sys; from pathlib import Path; from ctv_tui.app import run_dashboard;"
    " db = Path(sys.argv[1]); db.with_name('pid').write_text(str(os.getpid()));"
    " sys.exit(run_dashboard(db, wait_for_db='wait' in sys.argv))"
)

CRASH = (
    "import sys; from pathlib import Path; import ctv_tui.app as app;"
    " app.follow = lambda db, stop, **_: iter([1 / 0 for _ in 'x']);"
    " sys.exit(app.run_dashboard(Path(sys.argv[1])))"
)


class Terminal:
    """A tmux server of its own with one shell in it."""

    def __init__(self, width: int = 120, height: int = 40) -> None:
        self._server = f"ctv-{uuid.uuid4().hex[:8]}"
        size = ["-x", str(width), "-y", str(height)]
        self._tmux("new-session", "-d", *size, "env PS1='shell> ' bash --norc --noprofile")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._server, "-f", "/dev/null", *arguments]
        # Readline, which pytest loads, puts LINES and COLUMNS into the C environment only.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=dict(os.environ),
        )
        return done.stdout

    def text(self) -> str:
        return self._tmux("capture-pane", "-J", "-p")

    def shows(self, *parts: str, deadline_s: float = 20.0) -> None:
        try:
            wait_until(lambda: all(part in self.text() for part in parts), deadline_s)
        except AssertionError:
            pytest.fail(f"{parts} not shown within {deadline_s} s:\n{self.text()}")

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def start(self, db: Path, *extra: str, code: str = START) -> None:
        """Start the dashboard; its pid goes to a file beside the database."""
        words = " ".join(extra)
        self.type(f'{sys.executable} -c "{code}" {db} {words}; echo rc=$?', "Enter")

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def is_alternate(self) -> bool:
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    @property
    def takes_mouse(self) -> bool:
        return self._tmux("display-message", "-p", "#{mouse_any_flag}").strip() == "1"

    def kill(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    terminal.shows("shell>")
    yield terminal
    terminal.kill()


def pid_of(db: Path) -> int:
    return int(db.with_name("pid").read_text())


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_it_follows_a_live_run_resizes_and_gives_the_shell_back(
    terminal: Terminal, recorder: recorded_run.Recorder
) -> None:
    db = recorder.writer.path
    recorder.add_checkpoint(100)
    terminal.start(db)
    terminal.shows("waiting for a checkpoint", "qwen-sft-3")
    terminal.type("2")
    terminal.shows("waiting for the first checkpoint")
    assert terminal.is_alternate
    recorder.evaluate(100, "closed")
    (value,) = recorder.writer.query("SELECT value FROM scores WHERE dataset = 'macro'")[0][:1]
    terminal.shows(f"closed {value:.3f}", "ChartQA")
    recorder.add_checkpoint(200)
    recorder.evaluate(200, "closed")
    new = recorder.writer.query(
        "SELECT value FROM trajectory WHERE dataset = 'macro' AND step = 200"
    )[0][0]
    terminal.shows(f"closed {new:.3f}")
    terminal.resize(80, 24)
    terminal.shows("▸ macro mean")
    terminal.type("3")
    terminal.shows("time line")
    terminal.type("q")
    terminal.shows("rc=0", "database: ", "2 checkpoints done")
    assert not terminal.is_alternate and not terminal.takes_mouse


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_cleanly(
    terminal: Terminal, db: Path, number: signal.Signals, status: int
) -> None:
    terminal.start(db)
    terminal.shows("macro mean")
    subprocess.run(["kill", f"-{number.name[3:]}", str(pid_of(db))], check=True)
    terminal.shows(f"rc={status}", "shell>")
    assert not terminal.is_alternate and not terminal.takes_mouse


def test_a_lost_terminal_ends_it(terminal: Terminal, db: Path) -> None:
    terminal.type("trap '' HUP", "Enter")
    terminal.start(db)
    terminal.shows("macro mean")
    pid = pid_of(db)
    terminal.kill()
    wait_until(lambda: not is_alive(pid))


def test_a_missing_database_is_status_3_or_waited_for(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    terminal.start(path)
    terminal.shows("no such database", "rc=3")
    terminal.type("clear", "Enter")
    terminal.start(path, "wait")
    terminal.shows("waiting for the engine to create")
    recorder = recorded_run.Recorder(path)
    terminal.shows("waiting for a checkpoint")
    recorder.close()
    terminal.type("q")
    terminal.shows("rc=0")


def test_a_crash_is_status_1_with_its_reason_and_the_shell_comes_back(
    terminal: Terminal, db: Path
) -> None:
    terminal.start(db, code=CRASH)
    terminal.shows("ZeroDivisionError", "rc=1", "shell>")
    assert not terminal.is_alternate and not terminal.takes_mouse


def test_a_database_that_goes_and_one_that_takes_its_place(
    terminal: Terminal, db: Path, tmp_path: Path
) -> None:
    terminal.start(db)
    terminal.shows("qwen-sft-3")
    aside = tmp_path / "aside.db"
    db.rename(aside)
    terminal.shows("database gone", "qwen-sft-3")
    recorder = recorded_run.Recorder(tmp_path / "other.db", name="another-run")
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed")
    recorder.close()
    (tmp_path / "other.db").rename(db)
    terminal.shows("another-run", "database replaced, reopened")
    assert "qwen-sft-3" not in terminal.text()
    terminal.type("q")
    terminal.shows("rc=0", "another-run: ")


def test_every_option_of_looks_starts(terminal: Terminal, db: Path) -> None:
    command = f"{sys.executable} -m ctv_tui --db {db} --ascii --theme ansi --save-dir {db.parent}"
    terminal.type(f"{command}; echo rc=$?", "Enter")
    terminal.shows("+- macro mean")
    terminal.type("s")
    wait_until(lambda: list(db.parent.glob("ctv-tui-*-overview-*.svg")))
    terminal.type("q")
    terminal.shows("rc=0")


@pytest.mark.skipif(sys.platform == "darwin", reason="the folder for configuration is elsewhere")
def test_own_keys_and_what_is_wrong_with_them(terminal: Terminal, db: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "ctv-tui"
    folder.mkdir(parents=True)
    (folder / "keys.toml").write_text('quit = "x"\nquitt = "y"\n')
    terminal.start(db)
    terminal.shows("x quit")
    terminal.type("x")
    terminal.shows("rc=0", "keys.toml: there is no action 'quitt'")
