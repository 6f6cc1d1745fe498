"""The dashboard in a terminal of 160×45 (tmux), and what it costs: CPU time, memory, bytes."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

SIZE = (160, 45)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Terminal:
    """One dashboard in a tmux server of its own."""

    def __init__(self, db: Path, output: Path) -> None:
        self._server = f"ctv-bench-{uuid.uuid4().hex[:8]}"
        self.output = output
        command = f"exec {sys.executable} -m ctv_tui --db {db} --theme dark"
        size = ["-x", str(SIZE[0]), "-y", str(SIZE[1])]
        self._tmux("new-session", "-d", *size, f"COLORTERM=truecolor {command}")
        self.pid = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        self._tmux("pipe-pane", "-o", f"cat > {output}")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._server, "-f", "/dev/null", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout

    def shows(self, text: str, deadline_s: float = 60.0) -> None:
        """Wait until a text is on screen."""
        end = time.monotonic() + deadline_s
        while text not in self._tmux("capture-pane", "-p"):
            if time.monotonic() > end:
                raise TimeoutError(f"{text!r} not on screen:\n{self._tmux('capture-pane', '-p')}")
            time.sleep(0.1)

    def type(self, key: str) -> None:
        """Press a key."""
        self._tmux("send-keys", key)

    def cost(self, seconds: float) -> tuple[float, float]:
        """Return the share of a core and the bytes per second of the next ``seconds``."""
        began, cpu_s, size = time.monotonic(), self.cpu_s(), self.output.stat().st_size
        time.sleep(seconds)
        took = time.monotonic() - began
        written = self.output.stat().st_size - size
        return (self.cpu_s() - cpu_s) / took, written / took

    def cpu_s(self) -> float:
        """Return the CPU time of the dashboard so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_mib(self) -> float:
        """Return the resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise LookupError("VmRSS")

    def close(self) -> None:
        """End the dashboard and its server."""
        self._tmux("kill-server")


def first_paint_s(db: Path) -> float:
    """Return the wall time from the start of Python to the chart's title on a terminal."""
    began = time.monotonic()
    pid, master = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "45"}
        os.execv(sys.executable, [sys.executable, "-m", "ctv_tui", "--db", str(db)])
    seen = b""
    while b"macro mean" not in seen:
        ready, _, _ = select.select([master], [], [], 30.0)
        if not ready:
            raise TimeoutError("nothing was painted")
        seen += os.read(master, 65536)
    took = time.monotonic() - began
    os.kill(pid, signal.SIGTERM)
    while True:
        try:
            if not os.read(master, 65536):
                break
        except OSError:
            break
    os.waitpid(pid, 0)
    os.close(master)
    return took
