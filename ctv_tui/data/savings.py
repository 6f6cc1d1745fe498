"""By how much closed is cheaper than open, measured twice.

Both are 1 − C / O per item of one and the same checkpoint, where C is the mean of ``prefill_s``
over the closed predictions of the run that is shown and O the mean of ``prefill_s + decode_s`` over
open predictions that ended well:

- **own**: O is of this engine's own open mode: the run's own open evaluation of the latest
  checkpoint that has both, or another run's of the same checkpoint, kind of device and suite that
  needs less. Both modes are batched, so this is what closed really saves here.
- **baseline**: O is of a run with ``--batch-size 1 --no-pairing``: one item at a time, eagerly, as
  most evaluation scripts do, of the latest checkpoint that has both. Without such a run, in this
  file or in one named with ``--compare``, there is no number.

With pairing, closed and open form of an item share a prefill, each is booked its part of it, and C
is less than what closed alone would take; a note says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctv_engine.store.reader import StoreError, open_read_only
from ctv_tui.data.runs import settings_of
from ctv_tui.data.snapshot import LatencyReport, Saving
from ctv_tui.data.work import Work

PAIRED = "closed shares its prefill with open"
_OPEN = (
    "SELECT e.id, c.step, c.path, c.digest, r.id AS run_id, r.name FROM evaluations e"
    " JOIN checkpoints c ON c.id = e.checkpoint_id JOIN runs r ON r.id = c.run_id"
    " WHERE e.mode = 'open' AND e.state = 'done' AND r.suite_digest = ? ORDER BY e.id"
)
_CLOSED = (
    "SELECT e.id, c.step, c.path, c.digest FROM evaluations e"
    " JOIN checkpoints c ON c.id = e.checkpoint_id"
    " WHERE e.mode = 'closed' AND e.state = 'done' AND c.run_id = ? ORDER BY c.step, c.id"
)
_COST = (
    "SELECT avg(prefill_s + coalesce(decode_s, 0.0)) FROM predictions"
    " WHERE evaluation_id = ? AND status = 'ok' AND prefill_s IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class _OpenRun:
    """A finished open evaluation, of any run, that may be compared with."""

    step: int
    path: str
    digest: str | None
    run: str
    is_baseline: bool
    seconds: float
    notes: tuple[str, ...]

    def is_of(self, checkpoint: sqlite3.Row) -> bool:
        if self.digest is not None and checkpoint["digest"] is not None:
            return bool(self.digest == checkpoint["digest"])
        return bool(self.path == checkpoint["path"] and self.step == checkpoint["step"])


class Savings:
    """Looks for open evaluations to compare with whenever one more has ended."""

    def __init__(self, run_id: int, files: Sequence[Path] = ()) -> None:
        self._run_id = run_id
        self._files = tuple(files)
        self._looked_at: tuple[object, ...] | None = None
        self._found: tuple[_OpenRun, ...] = ()
        self._baseline = Saving("baseline")
        self._paired = False
        self.savings: tuple[Saving, ...] = ()

    def read(
        self, connection: sqlite3.Connection, work: Work, report: LatencyReport | None
    ) -> None:
        """Bring both savings up to date."""
        ended = connection.execute(
            "SELECT count(*), max(finished_at) FROM evaluations WHERE state = 'done'"
        ).fetchone()
        key = tuple(ended)
        if work.run is not None and key != self._looked_at:
            self._looked_at = key
            settings = settings_of(connection, self._run_id)
            self._paired = bool(settings.get("pairing", False))
            self._found = tuple(self._look(connection, work.run.suite_digest))
            self._baseline = self._against_baseline(connection)
        new = (self._against_own(connection, report), self._baseline)
        if new != self.savings:
            self.savings = new

    def _look(self, connection: sqlite3.Connection, suite_digest: str) -> Iterator[_OpenRun]:
        """Yield what can be compared with: other runs of this file, and the files named beside it.

        This run's own evaluations are among them only if it is itself a baseline.
        """
        kinds = _machines(connection, self._run_id)
        closed = connection.execute(_CLOSED, (self._run_id,)).fetchall()
        for path in self._files:
            with (
                suppress(StoreError, sqlite3.Error, OSError),
                closing(open_read_only(path)) as other,
            ):
                yield from _open_runs(other, suite_digest, kinds, closed, path.name, None)
        yield from _open_runs(connection, suite_digest, kinds, closed, "", self._run_id)

    def _against_own(self, connection: sqlite3.Connection, report: LatencyReport | None) -> Saving:
        if report is None or report.saving is None:
            return Saving("own")
        closed, opened = report.row("closed"), report.row("open")
        assert closed is not None and opened is not None
        notes = (PAIRED,) if self._paired else ()
        open_s, run = opened.total_s, ""
        checkpoint = connection.execute(
            "SELECT step, path, digest FROM checkpoints WHERE run_id = ? AND step = ?"
            " ORDER BY id DESC",
            (self._run_id, report.step),
        ).fetchone()
        for other in self._found:
            if checkpoint is None or other.is_baseline or not other.is_of(checkpoint):
                continue
            if open_s is not None and other.run and other.seconds < open_s:
                open_s, run = other.seconds, other.run
                notes = (*((PAIRED,) if self._paired else ()), *other.notes)
        return _saving("own", closed.total_s, open_s, report.step, run, notes)

    def _against_baseline(self, connection: sqlite3.Connection) -> Saving:
        baselines = [one for one in self._found if one.is_baseline]
        for closed in reversed(connection.execute(_CLOSED, (self._run_id,)).fetchall()):
            of_this = [one for one in baselines if one.is_of(closed)]
            if of_this:
                closed_s = _cost(connection, closed["id"])
                one = of_this[-1]
                notes = (*((PAIRED,) if self._paired else ()), *one.notes)
                return _saving("baseline", closed_s, one.seconds, closed["step"], one.run, notes)
        return Saving("baseline")


def _saving(
    against: Literal["baseline", "own"],
    closed_s: float | None,
    open_s: float | None,
    step: int,
    run: str,
    notes: tuple[str, ...],
) -> Saving:
    if closed_s is None or not open_s:
        return Saving(against)
    return Saving(against, 1.0 - closed_s / open_s, closed_s, open_s, step, run, notes)


def _open_runs(
    connection: sqlite3.Connection,
    suite_digest: str,
    kinds: tuple[frozenset[str], frozenset[str]],
    closed: Sequence[sqlite3.Row],
    file: str,
    own_run: int | None,
) -> Iterator[_OpenRun]:
    for row in connection.execute(_OPEN, (suite_digest,)).fetchall():
        settings = settings_of(connection, row["run_id"])
        is_baseline = settings.get("batch_size") == 1 and settings.get("pairing") is False
        if row["run_id"] == own_run and not is_baseline:
            continue
        one = _OpenRun(row["step"], row["path"], row["digest"], "", is_baseline, 0.0, ())
        if not any(one.is_of(checkpoint) for checkpoint in closed):
            continue
        devices, hosts = _machines(connection, row["run_id"])
        seconds = _cost(connection, row["id"])
        if seconds is None or devices != kinds[0]:
            continue
        name = "" if row["run_id"] == own_run else row["name"]
        yield _OpenRun(
            step=row["step"],
            path=row["path"],
            digest=row["digest"],
            run=f"{name} in {file}" if file else name,
            is_baseline=is_baseline,
            seconds=seconds,
            notes=() if hosts & kinds[1] else (f"measured on {', '.join(sorted(hosts))}",),
        )


def _cost(connection: sqlite3.Connection, evaluation_id: int) -> float | None:
    """Return the mean seconds per item of an evaluation."""
    found = connection.execute(_COST, (evaluation_id,)).fetchone()[0]
    return None if found is None else float(found)


def _machines(connection: sqlite3.Connection, run_id: int) -> tuple[frozenset[str], frozenset[str]]:
    """Return the kinds of device (``cpu``, ``cuda``) and the hosts that a run used."""
    rows = connection.execute(
        "SELECT DISTINCT device, host FROM workers WHERE run_id = ?", (run_id,)
    ).fetchall()
    return frozenset(row[0].partition(":")[0] for row in rows), frozenset(row[1] for row in rows)
