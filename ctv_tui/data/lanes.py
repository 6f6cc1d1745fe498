"""Time lines of the latest checkpoint: any number of spans in a bounded number of bins."""

from __future__ import annotations

import math
import sqlite3
from typing import get_args

from ctv_engine.store.rows import SpanKind
from ctv_tui.data.machine import Machine
from ctv_tui.data.scores import ROWS_PER_TICK
from ctv_tui.data.snapshot import Evaluation, Lane, Segment, Timeline
from ctv_tui.data.work import Work, looked_at

BINS = 256
"""A lane holds at most this many bins: more than a terminal has columns to show them."""

_WAITS = """
WITH share AS MATERIALIZED (
    SELECT w.id AS worker_id, coalesce(w.ended_at, :ended) AS left_at,
           coalesce((SELECT max(s.ended_at) FROM spans s
                     WHERE s.evaluation_id = :evaluation AND s.worker_id = w.id),
                    max(:began, w.ready_at)) AS last_end
    FROM workers w
    WHERE w.run_id = (SELECT run_id FROM checkpoints WHERE id = :checkpoint)
      AND w.ready_at < :ended AND (w.ended_at IS NULL OR w.ended_at > :began)
)
SELECT worker_id, max(0.0, min(:ended, left_at) - last_end - coalesce((
    SELECT sum(min(s.ended_at, :ended) - max(s.started_at, share.last_end)) FROM spans s
    WHERE s.worker_id = share.worker_id AND s.evaluation_id <> :evaluation
      AND s.started_at BETWEEN share.last_end - :longest AND :ended
      AND s.ended_at > share.last_end), 0.0)) AS wait_s
FROM share
"""
"""The waits of the view ``gpu_balance``, with the evaluation's extent as known values: the view
finds it anew for every span, which takes seconds for one evaluation of thousands of spans."""

_LONGEST_SPAN_S = 3600.0
_FIRST_BIN_S = 0.02
_BUSY_SHARE = 0.35
_KINDS: tuple[SpanKind, ...] = get_args(SpanKind)


class Binned:
    """The spans of one evaluation, per worker, in equal bins that double when they run out."""

    def __init__(self) -> None:
        self.first = math.inf
        self.end = -math.inf
        self.bin_s = _FIRST_BIN_S
        self._start = math.nan
        self.last_end: dict[int, float] = {}
        self.busy_s: dict[int, float] = {}
        self._segments: dict[int, tuple[Segment, ...]] = {}
        self._lanes: dict[int, list[list[float]]] = {}

    def add(self, worker_id: int, kind: SpanKind, start: float, end: float) -> None:
        """Add a span; one that ends before it starts counts as empty."""
        end = max(start, end)
        if math.isnan(self._start):
            self._start = start
        self.busy_s[worker_id] = self.busy_s.get(worker_id, 0.0) + end - start
        self._segments.pop(worker_id, None)
        if start < self.first:
            self._segments.clear()
        while start < self._start:
            self._widen_before()
        while end - self._start > BINS * self.bin_s:
            self._widen_after()
        self.first, self.end = min(self.first, start), max(self.end, end)
        self.last_end[worker_id] = max(self.last_end.get(worker_id, end), end)
        if worker_id not in self._lanes:
            self._lanes[worker_id] = [_nothing() for _ in range(BINS)]
        lane = self._lanes[worker_id]
        kind_index = _KINDS.index(kind)
        left = (start - self._start) / self.bin_s
        right = (end - self._start) / self.bin_s
        for index in range(int(left), min(BINS, math.ceil(right))):
            lane[index][kind_index] += min(right, index + 1) - max(left, index)

    def segments(self, worker_id: int) -> tuple[Segment, ...]:
        """Return a lane as stretches of the kind that filled most of each bin.

        Times are seconds since the first span of anybody.
        """
        if worker_id not in self._segments:
            self._segments[worker_id] = self._stretches(worker_id)
        return self._segments[worker_id]

    def _stretches(self, worker_id: int) -> tuple[Segment, ...]:
        before = self.first - self._start
        segments: list[Segment] = []
        open_kind: SpanKind | None = None
        since = 0
        for index, shares in enumerate([*self._lanes.get(worker_id, ()), _NOTHING]):
            most = max(shares)
            kind = _KINDS[shares.index(most)] if sum(shares) >= _BUSY_SHARE else None
            if kind == open_kind:
                continue
            if open_kind is not None:
                start_s = max(0.0, since * self.bin_s - before)
                segments.append(Segment(open_kind, start_s, index * self.bin_s - before))
            open_kind, since = kind, index
        return tuple(segments)

    def _widen_after(self) -> None:
        """Join bins in pairs; the freed half lies behind."""
        self._segments.clear()
        for worker_id, lane in self._lanes.items():
            joined = _joined(lane)
            self._lanes[worker_id] = joined + [_nothing() for _ in range(BINS - len(joined))]
        self.bin_s *= 2

    def _widen_before(self) -> None:
        """Join bins in pairs; the freed half lies in front, so the start moves back."""
        self._segments.clear()
        self._start -= BINS * self.bin_s
        for worker_id, lane in self._lanes.items():
            joined = _joined(lane)
            self._lanes[worker_id] = [_nothing() for _ in range(BINS - len(joined))] + joined
        self.bin_s *= 2


def _nothing() -> list[float]:
    return [0.0] * len(_KINDS)


_NOTHING = _nothing()


def _joined(lane: list[list[float]]) -> list[list[float]]:
    pairs = zip(lane[::2], lane[1::2], strict=True)
    return [[(a + b) / 2 for a, b in zip(one, two, strict=True)] for one, two in pairs]


class Timelines:
    """Closed and open evaluation of one checkpoint: the chosen one, or the latest begun."""

    def __init__(self) -> None:
        self._cursor: int | None = None
        self._binned: dict[int, Binned] = {}
        self._waits: dict[int, tuple[float | None, dict[int, float]]] = {}
        self._built_from: object = None
        self.timelines: tuple[Timeline, ...] = ()

    def read(
        self,
        connection: sqlite3.Connection,
        work: Work,
        machine: Machine,
        checkpoint_id: int | None = None,
    ) -> bool:
        """Fold in new spans; return whether more are left to read."""
        if self._cursor is None:
            self._cursor = connection.execute("SELECT max(id) FROM spans").fetchone()[0] or 0
        wanted = looked_at(work.evaluations, checkpoint_id)
        for evaluation in wanted:
            if evaluation.id not in self._binned:
                self._load(connection, evaluation.id)
                self._built_from = None
        for key in set(self._binned) - {evaluation.id for evaluation in wanted}:
            del self._binned[key]
            self._waits.pop(key, None)
        rows = connection.execute(
            "SELECT id, evaluation_id, worker_id, kind, started_at, ended_at FROM spans"
            " WHERE id > ? ORDER BY id LIMIT ?",
            (self._cursor, ROWS_PER_TICK),
        ).fetchall()
        for row in rows:
            self._cursor = row["id"]
            binned = self._binned.get(row["evaluation_id"])
            if binned is not None:
                binned.add(row["worker_id"], row["kind"], row["started_at"], row["ended_at"])
                self._built_from = None
        for evaluation in wanted:
            self._read_waits(connection, evaluation)
        built_from = (wanted, machine.workers)
        if built_from != self._built_from:
            self._built_from = built_from
            self.timelines = tuple(self._timeline(e, machine) for e in wanted)
        return len(rows) == ROWS_PER_TICK

    def _load(self, connection: sqlite3.Connection, evaluation_id: int) -> None:
        """Read what an evaluation already has, up to the cursor."""
        binned = self._binned[evaluation_id] = Binned()
        rows = connection.execute(
            "SELECT worker_id, kind, started_at, ended_at FROM spans"
            " WHERE evaluation_id = ? AND id <= ? ORDER BY started_at",
            (evaluation_id, self._cursor),
        ).fetchall()
        for row in rows:
            binned.add(*row)

    def _read_waits(self, connection: sqlite3.Connection, evaluation: Evaluation) -> None:
        """Read each worker's wait once, when the evaluation has ended."""
        if evaluation.state not in ("done", "failed"):
            self._waits.pop(evaluation.id, None)
            return
        known = self._waits.get(evaluation.id)
        if known is None or known[0] != evaluation.finished_at:
            binned = self._binned[evaluation.id]
            rows = connection.execute(
                _WAITS,
                {
                    "evaluation": evaluation.id,
                    "checkpoint": evaluation.checkpoint_id,
                    "began": binned.first,
                    "ended": binned.end,
                    "longest": _LONGEST_SPAN_S,
                },
            ).fetchall()
            waits = {row[0]: row[1] for row in rows} if binned.last_end else {}
            self._waits[evaluation.id] = (evaluation.finished_at, waits)

    def _timeline(self, evaluation: Evaluation, machine: Machine) -> Timeline:
        binned = self._binned[evaluation.id]
        waits = self._waits.get(evaluation.id, (None, {}))[1]
        lanes = []
        workers = set(binned.last_end) | set(waits) if binned.last_end else set()
        for worker_id in sorted(workers):
            worker = machine.workers.get(worker_id)
            last_end = binned.last_end.get(worker_id, binned.first)
            lanes.append(
                Lane(
                    worker_id=worker_id,
                    device=worker.device if worker else f"worker {worker_id}",
                    segments=binned.segments(worker_id),
                    last_end_s=last_end - binned.first,
                    wait_s=waits.get(worker_id),
                    busy_s=binned.busy_s.get(worker_id, 0.0),
                    host=worker.host if worker else "",
                )
            )
        return Timeline(
            step=evaluation.step,
            mode=evaluation.mode,
            state=evaluation.state,
            extent_s=max(0.0, binned.end - binned.first) if binned.last_end else 0.0,
            idle_fraction=evaluation.idle_fraction,
            makespan_s=evaluation.makespan_s,
            ideal_s=evaluation.ideal_s,
            lanes=tuple(lanes),
            began_at=binned.first if binned.last_end else 0.0,
            checkpoint_id=evaluation.checkpoint_id,
        )
