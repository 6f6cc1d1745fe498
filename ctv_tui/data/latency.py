"""Seconds per item and output lengths of one checkpoint, never of the whole table."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ctv_engine.store.rows import MACRO, Mode
from ctv_tui.data.scores import ROWS_PER_TICK
from ctv_tui.data.snapshot import Evaluation, Latency, LatencyReport, LengthBin
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
        self.n += row["n"]
        self.prefill_n += row["prefill_n"]
        self.prefill_s += row["prefill_s"] or 0.0
        self.decode_n += row["decode_n"]
        self.decode_s += row["decode_s"] or 0.0
        if row["output_tokens"] is not None:
            self.tokens_n += row["n"]
            self.tokens += row["n"] * row["output_tokens"]

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
    """What is known of one pair of evaluations."""

    modes: dict[int, Mode]
    step: int
    sums: dict[tuple[Mode, str], _Sums] = field(default_factory=lambda: defaultdict(_Sums))
    lengths: Counter[int] = field(default_factory=Counter)
    capped: int = 0

    def add(self, rows: Iterable[sqlite3.Row]) -> None:
        for row in rows:
            mode = self.modes[row["evaluation_id"]]
            self.sums[mode, row["dataset"]].add(row)
            self.sums[mode, MACRO].add(row)
            if mode == "open" and row["output_tokens"] is not None:
                self.lengths[row["output_tokens"]] += row["n"]
                self.capped += row["n"] * (row["capped"] or 0)


_VALUES = (
    "p.evaluation_id, i.dataset, p.output_tokens, p.finish_reason = 'length' AS capped,"
    " {count} AS n, {has}(p.prefill_s{absent}) AS prefill_n, {sum}(p.prefill_s) AS prefill_s,"
    " {has}(p.decode_s{absent}) AS decode_n, {sum}(p.decode_s) AS decode_s"
    " FROM predictions p JOIN items i ON i.id = p.item_id WHERE p.status = 'ok'"
)
_GROUPED = (
    "SELECT "
    + _VALUES.format(count="count(*)", has="count", absent="", sum="sum")
    + " AND p.evaluation_id IN (?, ?) AND p.id <= ? GROUP BY 1, 2, 3, 4"
)
# The plus keeps the planner on the row id, so that a tick reads what is new and nothing else.
_NEW = (
    "SELECT p.id, "
    + _VALUES.format(count="1", has="", absent=" IS NOT NULL", sum="")
    + " AND p.id > ? AND +p.evaluation_id IN (?, ?) ORDER BY p.id LIMIT ?"
)


class LatencyBook:
    """Follows the latest checkpoint that has closed and open results."""

    def __init__(self) -> None:
        self._cursor = 0
        self._book: _Book | None = None
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
            self._cursor = connection.execute("SELECT max(id) FROM predictions").fetchone()[0] or 0
            self._book.add(connection.execute(_GROUPED, (*ids, self._cursor)).fetchall())
            self.report = _report(self._book, work.datasets)
            return False
        rows = connection.execute(_NEW, (self._cursor, *ids, ROWS_PER_TICK)).fetchall()
        if rows:
            self._cursor = rows[-1]["id"]
            self._book.add(rows)
            self.report = _report(self._book, work.datasets)
        return len(rows) == ROWS_PER_TICK


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
    )


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
