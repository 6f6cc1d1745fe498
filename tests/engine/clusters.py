"""A cluster on this machine, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "0123456789abcdef" * 2
GPUS = 4
AHEAD_S = 100.0
"""So much the clock of ``node3`` is ahead."""
ENVIRONMENT = {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"}
"""Other tests run at the same time: with Ray's niceness of 15 workers would wait for their end."""


@dataclass
class FakeCluster:
    """See :mod:`fake_cluster`. ``nodes`` are arguments of machines beside the head."""

    nodes: list[dict[str, Any]]
    head: dict[str, Any] = field(default_factory=lambda: {"node_name": "head", "num_gpus": GPUS})

    def __post_init__(self) -> None:
        script = Path(__file__).with_name("cluster") / "fake_cluster.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(self.head), json.dumps(self.nodes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=ENVIRONMENT | os.environ | {"RAY_AUTH_TOKEN": TOKEN},
        )
        self.address = self._line()
        assert self.address, "the cluster did not start"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, command: str) -> None:
        """Give a command and wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self._line() == "done"

    def end(self) -> None:
        """Kill everything."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def beginning_with(code: str, place: Path) -> str:
    """Return a PYTHONPATH with which every Python process first runs ``code``."""
    place.mkdir()
    (place / "sitecustomize.py").write_text(code)
    return os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])


def machines(*names: str, gpus: int = GPUS) -> list[dict[str, Any]]:
    return [{"node_name": name, "num_gpus": gpus} for name in names]
