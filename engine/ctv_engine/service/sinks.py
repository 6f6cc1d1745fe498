"""Scores for the trackers that a team has anyway: TensorBoard, Weights & Biases, trackio.

Written at the checkpoint's own training step, whenever an evaluation ends, by a thread: a tracker
that is slow or unreachable holds up nothing but itself.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ctv_engine.store.writer import Writer

KINDS = ("tensorboard", "wandb", "trackio")
STEP_AXIS = "ctv/step"
CLOSE_S = 60.0


class SinkError(Exception):
    """A tracker that can't be used; names it and the way out."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Values by name, of one training step."""

    step: int
    at: float
    values: Mapping[str, float]


class Sink(Protocol):
    """One tracker."""

    def write(self, logged: Logged) -> None:
        """Write values at their step, in any order of steps."""
        ...

    def close(self) -> None:
        """Write what is held back."""
        ...


class TensorBoard:
    """Event files in a folder, without TensorFlow and without torch."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._file = EventFileWriter(str(folder))

    def write(self, logged: Logged) -> None:
        """Add one event with all values."""
        values = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in logged.values.items()
        ]
        event = self._event(
            wall_time=logged.at, step=logged.step, summary=self._summary(value=values)
        )
        self._file.add_event(event)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class WandB:
    """A run at Weights & Biases, or offline as ``WANDB_MODE`` says; a restart goes on with it."""

    def __init__(self, project: str, name: str, run_id: str) -> None:
        import wandb

        settings = wandb.Settings(silent=True, console="off")
        self._run = wandb.init(
            project=project, name=name, id=run_id, resume="allow", settings=settings
        )
        # Its own steps may only rise, ours are the checkpoints': closed of 200 ends before gold of
        # 100.
        self._run.define_metric("ctv/*", step_metric=STEP_AXIS)

    def write(self, logged: Logged) -> None:
        """Log the values with their step as the axis."""
        self._run.log({**logged.values, STEP_AXIS: logged.step})

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class Trackio:
    """A run in trackio's local database."""

    def __init__(self, project: str, name: str) -> None:
        import trackio

        self._trackio = trackio
        self._trackio.init(project=project, name=name, resume="allow")

    def write(self, logged: Logged) -> None:
        """Log the values at their step."""
        self._trackio.log(dict(logged.values), step=logged.step)

    def close(self) -> None:
        """End the run."""
        self._trackio.finish()


def check_target(target: str) -> tuple[str, str]:
    """Return kind and place of ``tensorboard:DIR``, ``wandb:PROJECT`` or ``trackio:PROJECT``.

    Raises:
        SinkError: it is none of these.
    """
    kind, _, place = target.partition(":")
    if kind not in KINDS or not place:
        raise SinkError(
            f"--log-to {target}: write tensorboard:DIR, wandb:PROJECT or trackio:PROJECT"
        )
    return kind, place


def open_sink(target: str, name: str, database: str) -> Sink:
    """Open a tracker for the run of that name.

    Raises:
        SinkError: the target is unknown, its package is missing, or it refuses.
    """
    kind, place = check_target(target)
    try:
        if kind == "tensorboard":
            return TensorBoard(Path(place))
        if kind == "wandb":
            run_id = hashlib.sha256(f"{place}\0{database}\0{name}".encode()).hexdigest()[:16]
            return WandB(place, name, run_id)
        return Trackio(place, name)
    except ImportError as error:
        raise SinkError(f"--log-to {target}: pip install {kind} ({error})") from error
    except Exception as error:
        raise SinkError(f"--log-to {target}: {type(error).__name__}: {error}") from error


class Sinks:
    """All trackers of a run, in one thread."""

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        """Start the thread if there is any tracker; ``sinks`` are by the target's words."""
        self._sinks = dict(sinks)
        self._coming: queue.SimpleQueue[Logged | None] = queue.SimpleQueue()
        self._problems: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._failed: set[str] = set()
        self._thread: threading.Thread | None = None
        if self._sinks:
            self._thread = threading.Thread(target=self._work, name="sinks", daemon=True)
            self._thread.start()

    def log(self, values: Callable[[], Logged | None]) -> None:
        """Write what ``values`` returns; it is only called if there is a tracker."""
        if self._thread is not None:
            logged = values()
            if logged is not None:
                self._coming.put(logged)

    def problems(self) -> list[str]:
        """Return what went wrong since the last call, once for each tracker."""
        found = []
        while not self._problems.empty():
            found.append(self._problems.get())
        return found

    def close(self) -> None:
        """Write what is queued and close the trackers."""
        if self._thread is not None:
            self._coming.put(None)
            self._thread.join(CLOSE_S)

    def _work(self) -> None:
        while (logged := self._coming.get()) is not None:
            for target, sink in self._sinks.items():
                self._try(target, partial(sink.write, logged))
        for target, sink in self._sinks.items():
            self._try(target, sink.close)

    def _try(self, target: str, step: Callable[[], Any]) -> None:
        try:
            step()
        except Exception as error:
            if target not in self._failed:
                self._failed.add(target)
                self._problems.put(f"logging to {target} fails: {type(error).__name__}: {error}")


def logged_of(writer: Writer, evaluation_id: int) -> Logged | None:
    """Return the scores of a finished evaluation, and r of both proxies as it stands now."""
    rows: Sequence[tuple[Any, ...]] = writer.query(
        "SELECT c.run_id, c.step, e.mode, s.dataset, s.metric, s.value FROM scores s"
        " JOIN evaluations e ON e.id = s.evaluation_id JOIN checkpoints c ON c.id = e.checkpoint_id"
        " WHERE e.id = ? AND s.value IS NOT NULL"
        " AND s.metric = CASE e.mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END",
        evaluation_id,
    )
    if not rows:
        return None
    run_id, step = rows[0][:2]
    values = {
        f"ctv/{mode}" if dataset == "macro" else f"ctv/{mode}/{dataset}": value
        for _, _, mode, dataset, _, value in rows
    }
    for proxy, r in writer.query(
        "SELECT proxy, r FROM correlations WHERE run_id = ? AND scope = 'macro'"
        " AND method = 'pearson' AND window = 0 AND step = ? AND r IS NOT NULL",
        run_id,
        step,
    ):
        values[f"ctv/r/{proxy}"] = r
    return Logged(step, time.time(), values)
