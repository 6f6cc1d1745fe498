"""Follows the database file: polls for changes, survives whatever happens to the file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ctv_engine.store.reader import NewerSchemaError, StoreError, open_read_only
from ctv_engine.store.rows import SCHEMA_VERSION
from ctv_tui.data.items import Items
from ctv_tui.data.lanes import Timelines
from ctv_tui.data.latency import LatencyBook
from ctv_tui.data.machine import Machine
from ctv_tui.data.runs import OtherRuns
from ctv_tui.data.savings import Savings
from ctv_tui.data.scores import Events, Scores, Tracking
from ctv_tui.data.snapshot import Engine, Health, Snapshot, Source
from ctv_tui.data.tracks import Tracks
from ctv_tui.data.wishes import Wish, Wishes
from ctv_tui.data.work import Work, read_engine

POLL_S = 0.25
_STAT_EVERY_S = 1.0
_RETRY_EVERY_S = 0.5
_PATIENCE_S = 3.0
_YOUNG_S = 3.0


class _RunState:
    """Everything known about one run, updated in place inside one read transaction."""

    def __init__(self, run_id: int, compare: Sequence[Path] = ()) -> None:
        self.run_id = run_id
        self.work = Work(run_id)
        self.scores = Scores()
        self.tracking = Tracking(run_id)
        self.tracks = Tracks(run_id)
        self.events = Events(run_id)
        self.machine = Machine(run_id)
        self.timelines = Timelines()
        self.latency = LatencyBook()
        self.others = OtherRuns(compare)
        self.savings = Savings(run_id, compare)
        self.items = Items()

    def read(
        self, connection: sqlite3.Connection, now: float, wish: Wish, is_stale: Callable[[], bool]
    ) -> bool:
        """Fold in what is new and what ``wish`` asks for; return whether more is left to read."""
        changed = self.work.read(connection, now)
        self.items.read(connection, self.work, wish, is_stale)
        self.events.read(connection)
        more = any(
            [
                self.scores.read(connection, self.work, changed),
                self.tracking.read(connection),
                self.machine.read(connection),
                self.timelines.read(connection, self.work, self.machine, wish.checkpoint_id),
                self.latency.read(connection, self.work),
            ]
        )
        if more:
            return True
        self.tracks.read(connection, self.tracking.ranks)
        self.savings.read(connection, self.work, self.latency.report)
        return self.others.read(connection, self.run_id)


class Tail:
    """Reads a database incrementally. Owned by one thread; never raises for a bad file.

    ``wishes`` may be changed by any thread and name what is read besides what is always read.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        compare: Sequence[Path] = (),
        wishes: Wishes | None = None,
    ) -> None:
        self.path = Path(path)
        self._compare = tuple(compare)
        self._now = now
        self._wishes = wishes or Wishes()
        self._answered: Wish | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._state: _RunState | None = None
        self._engine: Engine | None = None
        self._version: int | None = None
        self._loading = False
        self._health: Health = "waiting"
        self._detail = ""
        self._archived = False
        self._replaced_at: float | None = None
        self._seen = False
        self._shown: tuple[object, ...] | None = None
        self._next_stat = self._next_open = float("-inf")
        self._monotonic = time.monotonic

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._version = None

    def poll(self) -> Snapshot | None:
        """Read what is new; return a snapshot if anything changed since the last call."""
        self._check_file()
        if self._connection is None:
            self._open()
        changed = self._connection is not None and self._read()
        health = (self._health, self._detail, self._archived, self._replaced_at)
        if not changed and health == self._shown:
            return None
        self._shown = health
        return self._snapshot()

    @property
    def loading(self) -> bool:
        """Whether the next call has more rows to read, so that it should come at once."""
        return self._loading and self._health == "ok"

    # --- the file -----------------------------------------------------------------------------

    def _check_file(self) -> None:
        """Once a second: is the file that is open still the one at the path?"""
        tick = self._monotonic()
        if self._connection is None or tick < self._next_stat:
            return
        self._next_stat = tick + _STAT_EVERY_S
        identity = _identity(self.path)
        if identity is None:
            self.close()
            self._become(
                "gone", f"{self.path} was removed; what is shown is the last that was read"
            )
        elif identity != self._identity:
            self.close()
            self._state = self._engine = None
            self._replaced_at = self._now()
        elif self._archived and Path(f"{self.path}-wal").exists():
            self.close()

    def _open(self) -> None:
        tick = self._monotonic()
        if tick < self._next_open:
            return
        self._next_open = tick + _RETRY_EVERY_S
        identity = _identity(self.path)
        if identity is None:
            health: Health = "gone" if self._seen else "waiting"
            if self._health != health:
                self._become(health, f"{self.path}: no such file")
            return
        try:
            self._connection = open_read_only(self.path)
        except NewerSchemaError as error:
            self._become("newer", str(error))
            return
        except StoreError as error:
            if not self._seen and _is_young(self.path):
                return
            locked = isinstance(error.__cause__, sqlite3.OperationalError)
            self._become("locked" if locked else "unreadable", str(error))
            return
        except (sqlite3.Error, OSError) as error:
            self._become("unreadable", f"{self.path}: {error}")
            return
        if self._seen and identity != self._identity:
            self._state = self._engine = None
            self._replaced_at = self._now()
        self._identity = identity
        self._next_stat = tick + _STAT_EVERY_S
        self._seen = True
        self._archived = self._is_immutable()
        self._become("ok", "")

    def _is_immutable(self) -> bool:
        """A WAL database that is read without its shared-memory file was opened as immutable."""
        assert self._connection is not None
        with suppress(sqlite3.Error):
            mode = self._connection.execute("PRAGMA journal_mode").fetchone()[0]
            return mode == "wal" and not Path(f"{self.path}-shm").exists()
        return False

    def _become(self, health: Health, detail: str) -> None:
        self._health, self._detail = health, detail

    # --- its content --------------------------------------------------------------------------

    def _read(self) -> bool:
        """Read inside one transaction if the file or the wish changed; return whether it did."""
        assert self._connection is not None
        wish = self._wishes.now
        due = wish != self._answered or (self._state is not None and self._state.items.is_due)
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            known = version == self._version and not due
            if known and not self._loading and self._health == "ok":
                return False
            schema = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if schema > SCHEMA_VERSION:
                self.close()
                return False
            self._connection.execute("BEGIN")
            try:
                self._read_rows(self._connection, wish)
            finally:
                self._connection.rollback()
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                self._become("locked", f"{self.path}: {error}")
            else:
                self._give_up(error)
            return False
        except sqlite3.DatabaseError as error:
            self._give_up(error)
            return False
        self._version, self._answered = version, wish
        self._become("ok", "")
        return True

    def _give_up(self, error: sqlite3.Error) -> None:
        """Let go of a file that can't be read; it's opened anew at the next call."""
        self.close()
        self._state = None
        self._become("unreadable", f"{self.path}: {error}")

    def _read_rows(self, connection: sqlite3.Connection, wish: Wish) -> None:
        self._engine, run_id = read_engine(connection)
        if run_id is None:
            self._state = None
            return
        if self._state is None or self._state.run_id != run_id:
            self._state = _RunState(run_id, self._compare)

        def is_stale() -> bool:
            return self._wishes.now is not wish

        self._loading = self._state.read(connection, self._now(), wish, is_stale)
        if self._state.events.told_of_import:
            # It may have taken rows away, which no cursor sees.
            self._state = _RunState(run_id, self._compare)
            self._loading = self._state.read(connection, self._now(), wish, is_stale)

    def _snapshot(self) -> Snapshot:
        source = Source(
            str(self.path), self._health, self._detail, self._archived, self._replaced_at
        )
        state = self._state
        if state is None:
            return Snapshot(source, self._now(), engine=self._engine)
        return Snapshot(
            source=source,
            read_at=self._now(),
            run=state.work.run,
            engine=self._engine,
            checkpoints=state.work.checkpoints,
            evaluations=state.work.evaluations,
            datasets=state.work.datasets,
            trajectories=state.scores.trajectories,
            imported=state.scores.imported,
            timelines=state.timelines.timelines,
            devices=state.machine.devices,
            hosts=state.machine.hosts,
            latency=state.latency.report,
            rolling=state.tracking.rolling,
            whole=state.tracking.whole,
            events=state.events.latest,
            loading=self._loading,
            other_runs=state.others.runs,
            savings=state.savings.savings,
            evidence=state.tracks.evidence,
            ranking=state.tracks.ranking,
            tracks=state.tracks.tracks,
            rolling_scopes=state.tracking.rolling_scopes,
            items=state.items.page,
            item=state.items.detail,
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_young(path: Path) -> bool:
    """Whether a file was made just now, so that its engine may not have finished its tables."""
    try:
        return abs(time.time() - path.stat().st_mtime) < _YOUNG_S
    except OSError:
        return True


def follow(
    path: Path,
    stop: threading.Event,
    *,
    poll_s: float = POLL_S,
    wishes: Wishes | None = None,
    compare: Sequence[Path] = (),
) -> Iterator[Snapshot]:
    """Yield a snapshot at the start and after every change, until ``stop`` is set.

    A change of ``wishes`` is answered at once; ``stop`` is noticed within ``poll_s``. ``compare``
    are more databases, whose runs can be laid over the one that is shown.
    """
    wishes = wishes or Wishes()
    tail = Tail(path, wishes=wishes, compare=compare)
    try:
        while not stop.is_set():
            snapshot = tail.poll()
            if snapshot is not None:
                yield snapshot
            if not tail.loading and not stop.is_set():
                wishes.wait(poll_s)
    finally:
        tail.close()


def read_snapshot(path: Path) -> Snapshot:
    """Return what the database holds now.

    Raises:
        StoreError: no such file, not ours, newer than we are, or locked for three seconds.
    """
    open_read_only(path).close()
    tail = Tail(path)
    deadline = time.monotonic() + _PATIENCE_S
    try:
        snapshot = tail.poll()
        while tail.loading or snapshot is None or snapshot.source.health != "ok":
            if time.monotonic() > deadline and not tail.loading:
                raise StoreError(tail._detail or f"{path}: can't be read")
            if not tail.loading:
                time.sleep(POLL_S)
            snapshot = tail.poll() or snapshot
    finally:
        tail.close()
    return snapshot
