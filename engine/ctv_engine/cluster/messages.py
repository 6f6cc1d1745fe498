"""What the coordinator and the driver of its cluster say to each other, pickled over a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import FromWorker, Unit
from ctv_engine.store.rows import GpuRow, NodeRow, SampleRow
from ctv_engine.telemetry.poller import News

Files = Literal["auto", "shared", "ship"]


class ClusterError(RuntimeError):
    """Why a cluster can't be used, and the way out."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What a driver is started with.

    ``address`` is the head's, or None for the cluster of this machine. ``cpu_workers`` per machine
    compute on its CPU; None: workers compute on GPUs, one each. ``suites`` are the digests of the
    suites that are asked, by directory. ``silence_s`` is how long a machine may say nothing.
    """

    address: str | None
    worker: WorkerSettings
    cpu_workers: int | None
    files: Files
    silence_s: float
    suites: Mapping[Path, str] = field(default_factory=dict)


# --- to the driver --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker on ``HOST/DEVICE``."""

    worker_id: int
    place: str


@dataclass(frozen=True, slots=True)
class SendUnit:
    """Hand a unit to a worker, once what it needs is on the worker's machine."""

    worker_id: int
    unit: Unit


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End a worker now."""

    worker_id: int


@dataclass(frozen=True, slots=True)
class WatchWorker:
    """Read a worker's device on its machine from now on. ``process``: its process instead."""

    worker_id: int
    name: str
    pid: int | None
    process: bool


@dataclass(frozen=True, slots=True)
class ForgetWorker:
    """Stop reading a worker's process."""

    worker_id: int


@dataclass(frozen=True, slots=True)
class Quit:
    """End, and every worker with it."""


ToDriver = StartWorker | SendUnit | KillWorker | WatchWorker | ForgetWorker | Quit

# --- from the driver ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """The cluster is there, and has places for workers."""

    address: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The cluster can't be used; the driver ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """A worker said something."""

    worker_id: int
    message: FromWorker


@dataclass(frozen=True, slots=True)
class Places:
    """Where workers can be started from now on."""

    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readings:
    """What a machine's devices say; ``at`` is its own clock in epoch seconds."""

    at: float
    census: tuple[GpuRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    news: tuple[News, ...] = ()


FromDriver = Connected | Refused | Said | Places | Readings | NodeRow | News
