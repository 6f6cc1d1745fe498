"""The pool that a run's settings ask for, with its telemetry and its way back from a pause."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.devices import DeviceError
from ctv_engine.runtime.local_pool import LocalPool
from ctv_engine.runtime.pool import Pool
from ctv_engine.service.pause import Settle
from ctv_engine.service.placement import Placement, place, wait_for_place
from ctv_engine.settings import Settings
from ctv_engine.store.control import is_pause_asked
from ctv_engine.suite import Suite
from ctv_engine.telemetry.poller import News, Poller, Telemetry


class PoolError(RuntimeError):
    """A pool that can't be opened; the text is one line with the way out."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A pool at work. ``settle`` chooses its devices anew after a pause."""

    pool: Pool
    telemetry: Telemetry
    settle: Settle
    notes: Sequence[News] = ()


def open_pool(settings: Settings, suites: Sequence[Suite]) -> Opened:
    """Open the pool of a run.

    Raises:
        DeviceError: the devices can't be had.
        PoolError: Ray or its cluster can't be used.
    """
    if settings.pool == "local":
        return _local(settings)
    return _cluster(settings, suites)


def worker_settings(settings: Settings) -> WorkerSettings:
    """Return what a run's settings mean for a worker; its device is the pool's to say."""
    return WorkerSettings(
        device="",
        dtype=settings.dtype,
        processor=Path(settings.processor) if settings.processor else None,
        slots=settings.batch_size,
        batch_tokens=settings.batch_tokens,
        cache_directory=settings.cache_directory,
        cache_bytes=int(settings.cache_gb * 1e9),
    )


def _local(settings: Settings) -> Opened:
    devices = settings.devices
    poller = Poller(socket.gethostname())
    poller.start()
    pool = LocalPool((), worker_settings(settings))

    def take(placement: Placement) -> Sequence[News]:
        pool.move(placement.devices, placement.visible)
        return placement.notes

    def settle(since: float, hurry: bool) -> Sequence[News] | None:
        placement = place(devices, poller, since, hurry=hurry)
        return None if placement is None else take(placement)

    paused = is_pause_asked(Path(settings.db))
    notes = [] if paused else take(wait_for_place(devices, poller))
    return Opened(pool, poller, settle, notes)


def _cluster(settings: Settings, suites: Sequence[Suite]) -> Opened:
    if find_spec("ray") is None:
        raise PoolError("--pool ray needs Ray: pip install 'ctv-tui[engine,ray]'")
    from ctv_engine.cluster.messages import ClusterError, ClusterSettings
    from ctv_engine.cluster.ray_pool import RayPool

    worker = worker_settings(settings)
    if settings.cache_dir is None and worker.cache_directory is not None:
        # Every machine has a home of its own; each worker finds its cache there.
        worker = replace(worker, cache_directory=None, own_cache=True)
    try:
        pool = RayPool(
            ClusterSettings(
                address=settings.ray_address,
                worker=worker,
                cpu_workers=cpu_workers(settings.devices),
                files=settings.files,
                silence_s=settings.node_silence_s,
                suites={suite.directory: suite.digest for suite in suites},
            )
        )
    except ClusterError as error:
        raise PoolError(str(error)) from error
    return Opened(pool, pool, lambda since, hurry: ())


def cpu_workers(devices: str) -> int | None:
    """Return how many CPU workers each machine of a cluster gets; None: one for each of its GPUs.

    Raises:
        DeviceError: the text names single GPUs, which on a cluster are Ray's to give.
    """
    spec = devices.strip().lower()
    if spec in ("auto", "cuda"):
        return None
    found = re.fullmatch(r"cpu(?::([1-9]\d*))?", spec)
    if not found:
        raise DeviceError(
            f"devices {devices!r}: on a cluster use auto (a worker on every GPU that Ray has to"
            " give; `ray start --num-gpus N` says how many), cpu or cpu:4 (workers per machine)"
        )
    return int(found[1] or 1)
