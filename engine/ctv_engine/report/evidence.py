"""The engine's rows on how far scores can be relied on and which checkpoint is best.

Where a file has none, since an older version wrote it, they are computed by the engine's functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ctv_engine.report.series import Scores
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.stats.evidence import Evidence
from ctv_engine.stats.ranking import RAW, SMOOTH, ranking
from ctv_engine.store.evidence import EVIDENCE_COLUMNS, RANKING_COLUMNS, has_evidence
from ctv_engine.store.rows import MACRO, MODES, EvidenceMeasure, EvidenceRow, Mode, RankRow

COMPUTED = "; this file holds none of the engine's rows of {}: computed from {} with {}"


@dataclass(frozen=True, slots=True)
class Best:
    """The best checkpoint by a mode, and those that can't be told apart from it.

    ``tied`` holds the best step itself; it is None where that is not known, with ``reason``.
    ``of`` is how many checkpoints have a complete score.
    """

    step: int
    value: float
    low: float | None
    high: float | None
    tied: tuple[int, ...] | None
    of: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a proxy orders checkpoints, of the ``n`` that have both scores."""

    proxy: Mode
    agreeing: int
    pairs: int
    share: float | None
    ends: tuple[float, float] | None
    n: int


@dataclass(frozen=True, slots=True)
class Weighed:
    """All rows of a run. ``asked`` is what was read; ``how`` tells what was computed instead."""

    asked: tuple[Asked, ...]
    how: str
    measures: Mapping[tuple[Mode, str, EvidenceMeasure], EvidenceRow]
    rankings: Mapping[tuple[Mode, int], tuple[RankRow, ...]]

    def measure(self, mode: Mode, scope: str, measure: EvidenceMeasure) -> EvidenceRow | None:
        """Return a row, or None where the mode has no complete score in that scope."""
        return self.measures.get((mode, scope, measure))

    def standing(self, proxy: Mode, scope: str = MACRO) -> Standing | None:
        """Return how a proxy orders checkpoints; None if no checkpoint has both scores."""
        row = self.measure(proxy, scope, "decision_accuracy")
        if row is None or not row.n:
            return None
        pairs = row.pairs or 0
        ends = None if row.low is None or row.high is None else (row.low, row.high)
        return Standing(proxy, round((row.value or 0.0) * pairs), pairs, row.value, ends, row.n)

    def best(self, mode: Mode) -> Best | None:
        """Return the best checkpoint by a mode; None where none has a complete score."""
        rows = self.rankings.get((mode, RAW), ())
        if not rows:
            return None
        top = rows[0]
        tied = tuple(sorted(row.step for row in rows if row.may_be_best))
        return Best(top.step, top.value, top.low, top.high, tied or None, len(rows), top.reason)

    def best_smoothed(self, mode: Mode) -> tuple[int, float] | None:
        """Return step and value of the best mean of three neighbours; of fewer there is none."""
        rows = self.rankings.get((mode, SMOOTH), ())
        return (rows[0].step, rows[0].value) if len(rows) >= SMOOTH else None


def read_weighed(snapshot: Snapshot, run_id: int, scores: Scores) -> Weighed:
    """Read a run's rows; what is not there is computed from its scores and predictions."""
    asked: list[Asked] = []
    how = ""
    measures: list[EvidenceRow] = []
    rankings: dict[tuple[Mode, int], tuple[RankRow, ...]] = {}
    if snapshot.read(has_evidence):
        asked = [
            snapshot.ask(
                "evidence",
                f"""
                SELECT {EVIDENCE_COLUMNS}
                FROM evidence WHERE run_id = {run_id} ORDER BY scope, mode, measure
                """,
            ),
            snapshot.ask(
                "ranking",
                f"""
                SELECT {RANKING_COLUMNS}
                FROM ranking WHERE run_id = {run_id} ORDER BY mode, window, rank, step
                """,
            ),
        ]
        measures = [EvidenceRow(*row) for row in asked[0].rows]
        for one in (RankRow(*row) for row in asked[1].rows):
            if one.step in scores.complete(one.mode):
                key = one.mode, one.window
                rankings[key] = (*rankings.get(key, ()), one)
    if not measures:
        measures = Evidence().update(scores.finished)
        how += COMPUTED.format("evidence", "the scores", "ctv_engine.stats.evidence")
    missing = [mode for mode in MODES if scores.complete(mode) and (mode, RAW) not in rankings]
    for mode in missing:
        for window in (RAW, SMOOTH):
            found = snapshot.read(lambda c, m=mode, w=window: ranking(c, run_id, m, w))  # type: ignore[misc]
            rankings[mode, window] = tuple(found)
    if missing:
        how += COMPUTED.format("ranking", "the predictions", "ctv_engine.stats.ranking")
    by_key = {(row.mode, row.scope, row.measure): row for row in measures}
    return Weighed(tuple(asked), how, by_key, rankings)
