"""Running the real engine in a process of its own, from a test."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from forked import ForkedEngine

from ctv_engine.settings import Settings

DEADLINE_S = 120.0


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of ``condition``; fail after the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {deadline_s:.0f} s: {what}")


def query(db: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Read from a database that may not be there yet."""
    if not db.exists():
        return []
    connection = sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def settings_for(place: Path, suite: Any, gold: Any = None, **values: Any) -> Settings:
    """Return settings of a quick run on one CPU worker, but for what ``values`` say."""
    base: dict[str, Any] = {
        "db": str(place / "run.db"),
        "suite": str(suite.directory),
        "gold": str(gold.directory) if gold else None,
        "devices": "cpu",
        "poll_s": 0.1,
        "quiet_s": 0.1,
        "cache_dir": str(place / "inputs"),
    }
    return Settings(**{**base, **values})


@dataclass
class EngineRun:
    """One engine process and its database."""

    settings: Settings
    forked: bool = False
    """Whether it starts at once, see :mod:`forked`."""
    hold_after: int | None = None
    """After how many units each device's first worker of a forked engine stops itself."""
    process: subprocess.Popen[str] | ForkedEngine = field(init=False)

    def __post_init__(self) -> None:
        if self.forked:
            self.process = ForkedEngine(self.settings.to_json(), self.hold_after)
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ctv_engine", self.settings.to_json()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def db(self) -> Path:
        return Path(self.settings.db)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return query(self.db, sql, *values)

    def count(self) -> int:
        rows = self.query("SELECT count(*) FROM predictions")
        return int(rows[0][0]) if rows else 0

    def wait(self, sql: str, *values: object) -> Any:
        """Wait until a query has a row whose first column is true; return that column."""

        def found() -> Any:
            if self.process.poll() is not None:
                rows = self.query(sql, *values)
                assert rows and rows[0][0], f"engine ended: {self.output()}"
            rows = self.query(sql, *values)
            return rows[0][0] if rows else None

        return wait_until(found, sql)

    def finish(self) -> int:
        return self.process.wait(DEADLINE_S)

    def output(self) -> str:
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return out

    def kill(self) -> None:
        """kill -9 of the engine; its workers notice by themselves."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)

    def wait_for_workers(self, rows: int, but: Collection[int] = ()) -> list[int]:
        """Wait until a worker is ready and ``rows`` predictions are stored; return worker pids.

        ``but`` are workers that were killed, whatever the database says of them yet.
        """

        def found() -> list[int]:
            assert self.process.poll() is None, f"engine ended: {self.output()}"
            ready = self.query("SELECT pid FROM workers WHERE state = 'ready' ORDER BY id")
            return [pid for (pid,) in ready if pid not in but] if self.count() >= rows else []

        pids: list[int] = wait_until(found, f"a worker and {rows} rows")
        return pids

    def wait_until_held(self, workers: int = 1) -> list[int]:
        """Wait until that many workers have stopped themselves; return their pids."""

        def held() -> list[int]:
            assert self.process.poll() is None, f"engine ended: {self.output()}"
            pids = [pid for (pid,) in self.query("SELECT pid FROM workers WHERE state = 'ready'")]
            stopped = [pid for pid in pids if is_stopped(pid)]
            return stopped if len(stopped) == workers else []

        pids: list[int] = wait_until(held, f"{workers} stopped workers")
        return pids


def is_stopped(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_STOPPED


def let_go_on(pids: Collection[int]) -> None:
    """Continue workers that were stopped."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


ANSWERS = """
SELECT c.step, e.mode, i.dataset, i.key, p.permutation, p.answer, p.score, p.correct,
       p.gold_logprob, p.gold_prob, p.option_mass, p.option_logprobs_json, p.prompt_tokens,
       p.output_tokens, p.finish_reason, p.batch_id, p.status, p.reason
FROM predictions p JOIN evaluations e ON e.id = p.evaluation_id
JOIN checkpoints c ON c.id = e.checkpoint_id JOIN items i ON i.id = p.item_id
ORDER BY 1, 2, 3, 4, 5
"""
"""Everything of a prediction that must not depend on who computed it and when."""
