"""A driver of a cluster that says very much before it takes in anything."""

from __future__ import annotations

from multiprocessing.connection import Connection

from ctv_engine.cluster.messages import (
    ClusterSettings,
    Connected,
    Quit,
    Readings,
    Said,
    SendUnit,
)
from ctv_engine.runtime.messages import UnitFailed
from ctv_engine.telemetry.poller import News

SAID = 200
LONG = "x" * 20_000
"""Both ways together hold less than this often."""


def run_driver(pipe: Connection, settings: ClusterSettings) -> None:
    """Once a command is there, talk, then answer every unit."""
    pipe.send(Connected("somewhere"))
    pipe.poll(None)
    for _ in range(SAID):
        pipe.send(Readings(0.0, news=(News("info", LONG),)))
    while not isinstance(command := pipe.recv(), Quit):
        if isinstance(command, SendUnit):
            failed = UnitFailed(command.unit.unit_id, "batch", "heard")
            pipe.send(Said(command.worker_id, failed))
