"""Seconds per item and output lengths of one checkpoint, never of the whole table."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ctv_engine.store.rows import MACRO, Mode
from ctv_tui.data.scores import ROWS_PER_TICK
from ctv_tui.data.snapshot import (
    Evaluation,
    Latency,
    LatencyReport,
    LengthBin,
    Percentiles,
    WorkCounts,
)
from ctv_tui.data.work import Work


@dataclass(slots=True)
class _Sums:
    """Running sums of one mode on one dataset. A missing time counts no item."""

    n: int = 0
    prefill_n: int = 0
    prefill_s: float = 0.0
    decode_n: int = 0
    decode_s: float = 0.0
    tokens_n: int = 0
    tokens: int = 0

    def add(self, row: sqlite3.Row) -> None:
        self.n += 1
        if row["prefill_s"] is not None:
            self.prefill_n += 1
            self.prefill_s += row["prefill_s"]
        if row["decode_s"] is not None:
            self.decode_n += 1
            self.decode_s += row["decode_s"]
        if row["output_tokens"] is not None:
            self.tokens_n += 1
            self.tokens += row["output_tokens"]

    def latency(self, dataset: str, mode: Mode) -> Latency:
        return Latency(
            dataset=dataset,
            mode=mode,
            n=self.n,
            prefill_s=self.prefill_s / self.prefill_n if self.prefill_n else None,
            decode_s=self.decode_s / self.decode_n if self.decode_n else None,
            output_tokens=self.tokens / self.tokens_n if self.tokens_n else None,
        )


@dataclass(slots=True)
class _Book:
    """What is known of one pair of evaluations. ``seconds`` are those of every item, by mode."""

    modes: dict[int, Mode]
    step: int
    sums: dict[tuple[Mode, str], _Sums] = field(default_factory=lambda: defaultdict(_Sums))
    seconds: dict[Mode, list[float]] = field(default_factory=lambda: defaultdict(list))
    lengths: Counter[int] = field(default_factory=Counter)
    capped: int = 0
    limit: int | None = None
    work: tuple[WorkCounts, ...] = ()

    def add(self, rows: Iterable[sqlite3.Row]) -> None:
        for row in rows:
            mode = self.modes[row["evaluation_id"]]
            self.sums[mode, row["dataset"]].add(row)
            self.sums[mode, MACRO].add(row)
            if row["prefill_s"] is not None:
                self.seconds[mode].append(row["prefill_s"] + (row["decode_s"] or 0.0))
            tokens = row["output_tokens"]
            if mode == "open" and tokens is not None:
                self.lengths[tokens] += 1
                if row["capped"]:
                    self.capped += 1
                    self.limit = max(tokens, self.limit or 0)


# The plus keeps the planner on the row id, so that a tick reads what is new and nothing else.
_NEW = (
    "SELECT p.id, p.evaluation_id, i.dataset, p.output_tokens,"
    " p.finish_reason = 'length' AS capped, p.prefill_s, p.decode_s"
    " FROM predictions p JOIN items i ON i.id = p.item_id"
    " WHERE p.status = 'ok' AND p.id > ? AND +p.evaluation_id IN (?, ?) ORDER BY p.id LIMIT ?"
)
_WORK = (
    "SELECT mode, forwards, prompt_tokens, processed_tokens, shared_tokens, row_steps,"
    " images_decoded, images_reused, padding_share FROM work WHERE evaluation_id IN (?, ?)"
)


class LatencyBook:
    """Follows the latest checkpoint that has closed and open results."""

    def __init__(self) -> None:
        self._cursor = 0
        self._book: _Book | None = None
        self._counts_work: bool | None = None
        self.report: LatencyReport | None = None

    def read(self, connection: sqlite3.Connection, work: Work) -> bool:
        """Fold in new predictions; return whether more are left to read."""
        pair = _latest_pair(work.evaluations)
        if pair is None:
            self._book = self.report = None
            return False
        ids = (pair[0].id, pair[1].id)
        if self._book is None or set(self._book.modes) != set(ids):
            self._book = _Book({e.id: e.mode for e in pair}, pair[0].step)
            first = connection.execute(
                "SELECT min(id) FROM predictions WHERE evaluation_id IN (?, ?)", ids
            ).fetchone()[0]
            self._cursor = (first or 1) - 1
        rows = connection.execute(_NEW, (self._cursor, *ids, ROWS_PER_TICK)).fetchall()
        more = len(rows) == ROWS_PER_TICK
        self._book.add(rows)
        if more:
            self._cursor = rows[-1]["id"]
        else:
            newest = connection.execute("SELECT max(id) FROM predictions").fetchone()[0]
            self._cursor = newest or 0
        counts = self._read_work(connection, ids)
        built = self.report is not None and self.report.step == self._book.step
        if (rows and not more) or not built or counts != self._book.work:
            self._book.work = counts
            self.report = _report(self._book, work.datasets)
        return more

    def _read_work(
        self, connection: sqlite3.Connection, ids: tuple[int, int]
    ) -> tuple[WorkCounts, ...]:
        """Read the counts of work; a file from before they were kept has none."""
        if self._counts_work is None:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'work'").fetchone()
            self._counts_work = found is not None
        if not self._counts_work:
            return ()
        assert self._book is not None
        rows = connection.execute(_WORK, ids).fetchall()
        return tuple(
            WorkCounts(*(*row, self._written(row["mode"])))
            for row in sorted(rows, key=lambda row: str(row["mode"]))
            if row["forwards"] or row["images_decoded"] or row["images_reused"]
        )

    def _written(self, mode: Mode) -> int | None:
        """Return the tokens written so far; the view's own sum would read every row again."""
        assert self._book is not None
        sums = self._book.sums.get((mode, MACRO))
        return sums.tokens if sums is not None and sums.tokens_n else None


def _latest_pair(
    evaluations: tuple[Evaluation, ...],
) -> tuple[Evaluation, Evaluation] | None:
    by_checkpoint: dict[int, dict[Mode, Evaluation]] = defaultdict(dict)
    for evaluation in evaluations:
        if evaluation.done:
            by_checkpoint[evaluation.checkpoint_id][evaluation.mode] = evaluation
    both = [modes for modes in by_checkpoint.values() if "closed" in modes and "open" in modes]
    if not both:
        return None
    latest = max(both, key=lambda modes: (modes["open"].step, modes["open"].checkpoint_id))
    return latest["closed"], latest["open"]


def _report(book: _Book, datasets: tuple[str, ...]) -> LatencyReport:
    names = dict.fromkeys([*datasets, *(dataset for _, dataset in book.sums)])
    names.pop(MACRO, None)
    modes: tuple[Mode, ...] = ("closed", "open")
    answers = sum(book.lengths.values())
    return LatencyReport(
        step=book.step,
        rows=tuple(
            book.sums[mode, dataset].latency(dataset, mode)
            for dataset in (MACRO, *names)
            for mode in modes
            if (mode, dataset) in book.sums
        ),
        lengths=_bins(book.lengths),
        capped=book.capped / answers if answers else None,
        percentiles=tuple(
            _percentiles(mode, book.seconds[mode]) for mode in modes if book.seconds.get(mode)
        ),
        work=book.work,
        limit=book.limit,
    )


def _percentiles(mode: Mode, seconds: list[float]) -> Percentiles:
    """Return the nearest ranks: the smallest value that so large a share does not exceed.

    The list is sorted in place: at the next call only what was added is out of order.
    """
    seconds.sort()
    count = len(seconds)
    p50, p95, p99 = (seconds[math.ceil(share * count / 100) - 1] for share in (50, 95, 99))
    return Percentiles(mode, count, p50, p95, p99)


def _bins(lengths: Counter[int]) -> tuple[LengthBin, ...]:
    """Count lengths in bins whose width doubles: 0 (if any), 1, 2, 3–4, 5–8, 9–16 and so on."""
    if not lengths:
        return ()
    bins = [LengthBin(0, 0, lengths[0])] if lengths[0] else []
    low, high, longest = 1, 1, max(lengths)
    while low <= max(longest, 1):
        count = sum(lengths[length] for length in lengths if low <= length <= high)
        bins.append(LengthBin(low, high, count))
        low, high = high + 1, high * 2
    return tuple(bins)
