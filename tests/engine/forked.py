"""Engines and workers that start at once: forked from one process that has imported torch.

Importing torch and transformers is five of the six seconds that a small run takes. Here one
process of a test session has done it, and engines and their workers are forked from it, each a
process of its own. Nothing else has happened in that process, so there is nothing for a fork to
break. What differs from an engine of the command line: a worker's parent is that process, so
that it learns of its engine's death from its pipe alone.
"""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from typing import IO, Any

PRELOADED = ["ctv_engine.models.transformers_adapter", "transformers.models.llava.modeling_llava"]
REAL_CONTEXT = multiprocessing.get_context


def get_context(method: str | None = None) -> Any:
    """Stand in for the function of :mod:`multiprocessing`: processes are forked, not spawned."""
    if method != "spawn":
        return REAL_CONTEXT(method)
    context = REAL_CONTEXT("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class ForkedEngine:
    """``python -m ctv_engine SETTINGS`` with the calls of a ``Popen`` that tests use."""

    def __init__(self, settings: str, hold_after: int | None = None) -> None:
        """``hold_after``: each device's first worker stops itself after that many units."""
        self._output: IO[str] = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115
        self._process = get_context("spawn").Process(
            target=_run, args=(settings, self._output.name, dict(os.environ), hold_after)
        )
        self._process.start()
        atexit.register(self._process.kill)  # a failed test's engine would be waited for

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    @property
    def returncode(self) -> int | None:
        status: int | None = self._process.exitcode
        return status

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        assert self.returncode is not None, f"the engine has not ended within {timeout:.0f} s"
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, None]:
        self.wait(timeout)
        return Path(self._output.name).read_text(), None

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Holding:
    """A context whose worker processes stop themselves, see :class:`ForkedEngine`.

    What a test does to a run that is under way it then does to one that can't have ended by then.
    """

    def __init__(self, hold_after: int) -> None:
        self._context = get_context("spawn")
        self._hold_after = hold_after
        self._held: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, *, target: Any, args: tuple[Any, ...], name: str, **rest: Any) -> Any:
        if name not in self._held:
            target, args = _hold, (self._hold_after, target, *args)
        self._held.add(name)
        return self._context.Process(target=target, args=args, name=name, **rest)


def _hold(after: int, target: Any, *args: Any) -> None:
    from ctv_engine.runtime.answering import Worker

    answer = Worker.run
    begun = itertools.count()

    def run(self: Worker, unit: Any, send: Any) -> Any:
        if unit.task != "measure" and next(begun) == after:
            os.kill(os.getpid(), signal.SIGSTOP)
        return answer(self, unit, send)

    Worker.run = run  # type: ignore[method-assign]
    target(*args)


def _run(
    settings: str, output: str, environment: dict[str, str], hold_after: int | None = None
) -> None:
    """The engine's whole life; its workers are forked from where it was."""
    from ctv_engine.__main__ import main

    os.environ.clear()
    os.environ.update(environment)
    with Path(output).open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # As its documentation has it, a child uses its parent's server; its code starts another.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
    context = get_context if hold_after is None else lambda _: Holding(hold_after)
    multiprocessing.get_context = context  # type: ignore[assignment]
    sys.argv = ["ctv_engine", settings]
    sys.exit(main())
