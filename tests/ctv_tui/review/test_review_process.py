"""`ctv-tui suite review` as a process: killed after a key, left, and called wrongly."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import review_journal
from click.testing import CliRunner
from waiting import wait_until

from ctv_engine.construction.journal import Journal, State
from ctv_engine.suite import read_suite
from ctv_tui.cli import cli


class Reviewer:
    """The command in a pseudo-terminal of 100 × 30."""

    def __init__(self, directory: Path) -> None:
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ctv_tui", "suite", "review", str(directory)],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(inner)
        self.output = b""

    def has_shown(self, part: bytes) -> bool:
        while select.select([self._terminal], [], [], 0.05)[0]:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            self.output += data
        return part in self.output

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        os.close(self._terminal)


def states(directory: Path) -> dict[str, State]:
    journal = Journal(directory)
    try:
        return {draft.key: draft.state for draft in journal.drafts()}
    finally:
        journal.close()


def test_a_killed_review_has_lost_nothing(tmp_path: Path) -> None:
    review_journal.record(tmp_path / "mixed").close()
    reviewer = Reviewer(tmp_path / "mixed")
    try:
        wait_until(lambda: reviewer.has_shown(b"chart-0017"))
        reviewer.press(b"a")
        wait_until(lambda: reviewer.has_shown(b"3 left"))
        os.kill(reviewer.process.pid, signal.SIGKILL)
        assert reviewer.process.wait(20) == -signal.SIGKILL
    finally:
        reviewer.end()
    assert states(tmp_path / "mixed")["chart-0017"] is State.KEPT


def test_leaving_writes_the_suite_and_says_so(tmp_path: Path) -> None:
    review_journal.record(tmp_path / "mixed").close()
    reviewer = Reviewer(tmp_path / "mixed")
    try:
        wait_until(lambda: reviewer.has_shown(b"chart-0017"))
        reviewer.press(b"a")
        wait_until(lambda: reviewer.has_shown(b"3 left"))
        reviewer.press(b"q")
        wait_until(lambda: reviewer.has_shown(b"written: 2 items"))
        assert reviewer.process.wait(20) == 0
    finally:
        reviewer.end()
    assert b"2 kept, 0 dropped, 3 left" in reviewer.output
    assert {item.key for item in read_suite(tmp_path / "mixed").items} == {"chart-0017", "doc-0230"}


def test_what_cannot_be_reviewed_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "build.db").write_text("no database, but long enough for one" * 9)
    Journal(tmp_path / "empty", create=True).close()
    review_journal.record(tmp_path / "mixed").close()
    for name, said in {
        "absent": "no build.db",
        "text": "not a database",
        "empty": "no item to review",
        "mixed": "needs a terminal",
    }.items():
        done = CliRunner().invoke(cli, ["suite", "review", str(tmp_path / name)])
        assert done.exit_code == 2, done.output
        assert said in done.output and len(done.output.strip().splitlines()) == 1, done.output
