"""What new scores say: correlations, evidence and ranking; imported series each for themselves."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import TypeVar

from ctv_engine.stats.evidence import Evidence
from ctv_engine.stats.ranking import Ranking, Scored
from ctv_engine.stats.track import ScoreRow, Tracker
from ctv_engine.store.evidence import write_evidence
from ctv_engine.store.imported import GoldSeries, Imported, as_gold
from ctv_engine.store.rows import CorrelationRow, EvidenceRow, Mode, RankRow
from ctv_engine.store.scopes import PREFIX
from ctv_engine.store.writer import Writer

OfScope = TypeVar("OfScope", CorrelationRow, EvidenceRow)


@dataclass(frozen=True, slots=True)
class Looked:
    """What is read of a run to compute it all from."""

    scores: list[ScoreRow]
    has_gold: bool
    changed: dict[Mode, Scored]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that are new or changed; a mode's ranking is there as a whole.

    With ``anew`` correlations and evidence are, too: what was written before is of other scores.
    """

    correlations: list[CorrelationRow]
    evidence: list[EvidenceRow]
    rankings: dict[Mode, list[RankRow]]
    anew: bool = False

    def write(self, writer: Writer, run_id: int) -> None:
        """Write it; what is written twice is the same."""
        if self.correlations or self.anew:
            writer.add_correlations(run_id, self.correlations, anew=self.anew)
        if self.evidence or self.rankings or self.anew:
            write_evidence(writer, run_id, self.evidence, self.rankings, anew=self.anew)


class Tracking:
    """Keeps what was computed of a run, so that a new score costs only what it changes."""

    def __init__(self, run_id: int, window: int) -> None:
        self._run_id, self._window = run_id, window
        self._of_series: dict[str, tuple[Tracker, Evidence]] = {}
        self._ranking = Ranking(run_id)
        self._anew = False

    def begin_anew(self) -> None:
        """Have the next look replace all correlations and evidence, as after scores were removed.

        Rankings are always whole, and what they are made of is kept.
        """
        self._of_series.clear()
        self._anew = True

    def read(self, connection: sqlite3.Connection) -> Looked:
        """Read all finished scores, and the items of evaluations that are new."""
        rows = connection.execute(
            "SELECT mode, dataset, step, metric, value FROM trajectory WHERE run_id = ?"
            " AND state = 'done' AND value IS NOT NULL"
            " AND (metric IN ('accuracy', 'score') OR metric LIKE ?)",
            (self._run_id, PREFIX + "%"),
        ).fetchall()
        ((gold_digest,),) = connection.execute(
            "SELECT gold_digest FROM runs WHERE id = ?", (self._run_id,)
        ).fetchall()
        return Looked(
            [(mode, dataset, step, metric, value) for mode, dataset, step, metric, value in rows],
            gold_digest is not None,
            self._ranking.read(connection),
        )

    def compute(self, looked: Looked) -> Found:
        """Return the rows that are new or changed."""
        own = [row for row in looked.scores if not row[3].startswith(PREFIX)]
        tracker, evidence = self._series("")
        correlations, measures = tracker.update(own), evidence.update(own)
        beside = {row[3] for row in looked.scores} - {row[3] for row in own}
        for metric in sorted(beside) if looked.has_gold else ():
            name = metric.removeprefix(PREFIX)
            scores = as_gold(looked.scores, name)
            tracker, evidence = self._series(name)
            correlations += [_beside(row, name) for row in tracker.update(scores)]
            measures += [
                _beside(row, name)
                for row in evidence.update(scores)
                if row.mode == "gold" or row.measure == "decision_accuracy"
            ]
        found = Found(correlations, measures, self._ranking.rank(looked.changed), self._anew)
        self._anew = False
        return found

    def _series(self, name: str) -> tuple[Tracker, Evidence]:
        return self._of_series.setdefault(name, (Tracker(self._window), Evidence()))


def track(writer: Writer, run_id: int, window: int, *, anew: bool = False) -> None:
    """Compute and write all of it at once; with ``anew`` see :meth:`Tracking.begin_anew`."""
    tracking = Tracking(run_id, window)
    if anew:
        tracking.begin_anew()
    tracking.compute(tracking.read(writer.connection)).write(writer, run_id)


def _beside(row: OfScope, name: str) -> OfScope:
    return replace(row, scope=f"{PREFIX}{name}:{row.scope}")


def words_of(series: GoldSeries, done: Imported) -> str:
    """Return what became of an imported series, as one sentence for events and the command."""
    kind = "the run's gold" if done.is_gold else "beside the run's own gold"
    text = f"gold series {series.name!r}: {_steps(len(done.known))} imported, {kind}"
    if done.unknown:
        shown = ", ".join(map(str, done.unknown[:5])) + (" …" if len(done.unknown) > 5 else "")
        text += f"; left out, as there is no checkpoint here: {_steps(len(done.unknown))} ({shown})"
    return text


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"
