"""The coordinator's loop: pool, watcher, telemetry and writer around one schedule."""

from __future__ import annotations

import os
import queue
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ctv_engine.checkpoints.watch import Sighting, Watcher
from ctv_engine.llm.providers import ProviderError
from ctv_engine.runtime.devices import DeviceError
from ctv_engine.runtime.pool import Pool
from ctv_engine.service.crew import Crew
from ctv_engine.service.judge import start_judge
from ctv_engine.service.ledger import Ledger
from ctv_engine.service.opening import PoolError, open_pool
from ctv_engine.service.outbox import Outbox
from ctv_engine.service.pause import Pause, Settle
from ctv_engine.service.sinks import SinkError
from ctv_engine.service.translate import version_of
from ctv_engine.settings import Settings
from ctv_engine.store.control import ask_resume
from ctv_engine.store.lock import EngineLock, EngineRunningError
from ctv_engine.store.nodes import end_nodes, put_node
from ctv_engine.store.reader import StoreError
from ctv_engine.store.rows import EngineState, EventLevel, GpuRow
from ctv_engine.store.writer import Writer
from ctv_engine.suite import SuiteError, read_suite
from ctv_engine.telemetry.poller import Telemetry

RECEIVE_TIMEOUT_S = 0.2
TICK_S = 1.0
FOLD_S = 60.0
READ_LATE_S = 5.0
"""By then every reading of a minute is there."""
STOP_GRACE_S = 30.0
DISK_RETRY_S = 5.0
DRAIN_ABANDON_S = 5.0

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_LOCKED = 0, 1, 2, 3


@dataclass
class Requests:
    """What was asked of the engine from outside, by signals.

    ``stop``: finish the batches under way, persist them and end. ``drain``: score all that is
    there, then end. A pause is asked for by a file, see :mod:`ctv_engine.store.control`.
    """

    stop: bool = False
    drain: bool = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as stop, SIGUSR1 as drain; outlive the terminal."""

        def ask(name: str) -> Callable[..., None]:
            return lambda *_: setattr(self, name, True)

        signal.signal(signal.SIGTERM, ask("stop"))
        signal.signal(signal.SIGINT, ask("stop"))
        signal.signal(signal.SIGUSR1, ask("drain"))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Engine:
    """One run of the coordinator, from resume to the last row."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        pool: Pool,
        poller: Telemetry,
        requests: Requests,
        settle: Settle = lambda since, hurry: (),
    ) -> None:
        """Put the parts together; ``settle`` chooses the pool's devices anew after a pause."""
        self._settings = settings
        self._ledger = ledger
        self._scheduler = ledger.evaluations.scheduler
        self._writer = ledger.writer
        self._poller = poller
        self._host = socket.gethostname()
        self._outbox = Outbox()
        self._crew = Crew(pool, ledger, poller, self._host, self._outbox.soon)
        self._pause = Pause(
            Path(settings.db),
            self._crew,
            settle,
            lambda *event: self._outbox.soon(ledger.event, *event),
        )
        self._version = version_of("ctv-tui") or "unknown"
        self._sightings: deque[Sighting] = deque()
        self._seen: queue.SimpleQueue[list[Sighting]] = queue.SimpleQueue()
        self._blocked_at: float | None = None
        self._requests = requests
        self._stopping_since = 0.0
        self._polls_when_draining: int | None = None
        self._polls = 0
        self._watcher_settled = False
        self._ticked_at = 0.0
        self._folded_at = time.time()
        self._last_state: EngineState = "starting"
        self._gpus: tuple[GpuRow, ...] = ()
        self._watcher = Watcher(
            root=Path(settings.checkpoint_dir) if settings.checkpoint_dir else None,
            pins=settings.pins,
            quiet_s=settings.quiet_s,
            abandon_s=settings.abandon_s,
            fixed=tuple(Path(path) for path in settings.checkpoints),
            base=Path(settings.base) if settings.base else None,
        )
        self._watch_ends = threading.Event()
        self._watch_fault: str | None = None

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> int:
        """Run until stopped or drained; return the exit status."""
        self._beat()
        end_nodes(self._writer, self._ledger.run_id)
        settled, steps = self._ledger.resume()
        self._watcher.assume_settled(settled, steps)
        if self._poller.unavailable:
            text = f"{self._poller.unavailable}: CPU workers are shown by their processes"
            level: EventLevel = "info" if self._poller.absent else "warning"
            self._ledger.event(level, "telemetry", text)
        watch = threading.Thread(target=self._watch, name="watch", daemon=True)
        watch.start()
        self._pause.begin()
        try:
            return self._loop()
        finally:
            self._watch_ends.set()
            self._crew.end_all()
            self._poller.stop()
            end_nodes(self._writer, self._ledger.run_id)
            self._ledger.close()
            if self._requests.drain and not self._requests.stop:
                self._writer.finish_run(self._ledger.run_id)
            self._last_state = "stopped"
            self._beat()

    def _loop(self) -> int:
        while True:
            self._crew.listen(RECEIVE_TIMEOUT_S)
            try:
                self._work()
            except sqlite3.OperationalError as error:
                self._blocked(error)
            if self._requests.stop and self._stopped():
                return EXIT_OK
            if self._drained():
                return EXIT_OK
            if not self._pause.resting and self._crew.hopeless and not self._outbox:
                self._ledger.event("error", "worker", "no usable device is left; the engine ends")
                return EXIT_FAILED

    def _work(self) -> None:
        """One pass over everything that writes; an error leaves the rest for the next pass."""
        if self._blocked_at is not None and time.time() - self._blocked_at < DISK_RETRY_S:
            return
        self._outbox.flush()
        while not self._seen.empty():
            self._sightings.extend(self._seen.get())
        while self._sightings:
            self._ledger.see(self._sightings[0])
            self._sightings.popleft()
        if self._blocked_at is not None:
            self._blocked_at = None
            self._ledger.event("warning", "disk", "the database can be written to again")
        self._crew.replace_overdue()
        if not self._requests.stop:
            self._pause.step(settled=not self._outbox)
            if self._pause.working:
                self._crew.replenish()
                self._crew.feed()
        self._outbox.flush()
        self._ledger.follow_up.write()
        self._tick()

    def _blocked(self, error: sqlite3.OperationalError) -> None:
        """Keep every result in memory and hand out nothing new until the disk takes it."""
        if self._blocked_at is None:
            print(
                f"error: {self._writer.path} can't be written ({error}); results are kept in"
                f" memory and tried again every {DISK_RETRY_S:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        self._blocked_at = time.time()

    # --- watching -----------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._watch_ends.is_set():
            if self._requests.drain:
                self._watcher.abandon_s = min(self._watcher.abandon_s, DRAIN_ABANDON_S)
            sightings = self._poll()
            if sightings:
                self._seen.put(sightings)
            self._watcher_settled = not self._watcher.unsettled
            self._polls += 1
            self._watch_ends.wait(self._settings.poll_s)

    def _poll(self) -> list[Sighting]:
        """Look once; an unknown fault is told once and must not end the watch."""
        try:
            sightings = self._watcher.poll()
        except Exception as error:
            fault = f"watching failed, and goes on: {error!r}"
            if fault == self._watch_fault:
                return []
            self._watch_fault = fault
            return [Sighting("unreachable", self._settings.watched, 0, time.time(), fault)]
        self._watch_fault = None
        return sightings

    def _drained(self) -> bool:
        """Whether everything that was there when draining began has been dealt with."""
        if not self._requests.drain or self._requests.stop:
            return False
        if self._polls_when_draining is None:
            self._polls_when_draining = self._polls
        looked = self._polls >= self._polls_when_draining + 2 and self._watcher_settled
        waiting = self._outbox or self._sightings or not self._seen.empty()
        if not looked or waiting or not self._scheduler.idle:
            return False
        self._ledger.finalise()
        self._ledger.follow_up.judge()
        return self._scheduler.idle and not self._ledger.follow_up.busy

    def _stopped(self) -> bool:
        if not self._stopping_since:
            self._stopping_since = time.time()
        late = time.time() - self._stopping_since > STOP_GRACE_S
        return late or not (self._crew.busy or self._outbox)

    # --- every second -------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.time()
        if now - self._ticked_at < TICK_S and self._state() == self._last_state:
            return
        self._ticked_at = now
        self._take_readings()
        self._ledger.evaluations.sweep()
        self._ledger.evaluations.refresh_scores()
        self._ledger.follow_up.look_round()
        self._beat()
        if now - self._folded_at >= FOLD_S:
            self._folded_at = now
            self._writer.fold_samples(now - READ_LATE_S)

    def _take_readings(self) -> None:
        gpus = self._poller.census
        if gpus != self._gpus:
            self._writer.add_gpus(gpus)
            self._gpus = gpus
        self._writer.add_samples(self._poller.drain())
        for news in self._poller.news():
            self._ledger.event(news.level, news.kind, news.text)
        for node in self._poller.nodes():
            put_node(self._writer, self._ledger.run_id, node)

    def _state(self) -> EngineState:
        if self._requests.stop:
            return "stopping"
        if self._pause.resting:
            return "paused"
        if not self._crew.ready:
            return "starting"
        return "idle" if self._scheduler.idle else "scoring"

    def _beat(self) -> None:
        if self._last_state != "stopped":
            self._last_state = self._state()
        self._writer.beat(
            run_id=self._ledger.run_id,
            pid=os.getpid(),
            host=self._host,
            state=self._last_state,
            version=self._version,
        )


def run_engine(settings: Settings) -> int:
    """Run a coordinator in this process until it ends; return its exit status.

    0: stopped or drained; 1: no device is left; 2: bad settings, suite or database; 3: another
    engine has the database. Every refusal is one line on standard error.
    """
    requests = Requests(drain=settings.drain)
    requests.listen()
    db = Path(settings.db)
    try:
        suite = read_suite(Path(settings.suite))
        gold = read_suite(Path(settings.gold)) if settings.gold else None
        with EngineLock(db, socket.gethostname()):
            if not db.exists():
                ask_resume(db)  # that pause was another database's
            writer = Writer(db)
            opened = open_pool(settings, [suite, gold] if gold else [suite])
            ledger = Ledger(
                writer, settings, suite, gold, socket.gethostname(), start_judge(settings)
            )
            for note in opened.notes:
                ledger.event(note.level, "devices", note.text)
            engine = Engine(
                settings, ledger, opened.pool, opened.telemetry, requests, opened.settle
            )
            try:
                return engine.run()
            finally:
                writer.close()
    except EngineRunningError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_LOCKED
    except (
        SuiteError,
        StoreError,
        DeviceError,
        PoolError,
        ProviderError,
        SinkError,
        OSError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
