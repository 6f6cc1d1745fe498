"""How far series can be relied on and which checkpoint is best: rows that the engine wrote."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ctv_engine.store.evidence import EVIDENCE_COLUMNS, RANKING_COLUMNS, has_evidence
from ctv_engine.store.rows import EvidenceRow, Mode, RankRow

_RAW = 1
"""The window of the ranking by the scores themselves."""


@dataclass(frozen=True, slots=True)
class Track:
    """How one series follows gold in one scope, and how steady it is by itself.

    ``n`` checkpoints have complete scores of both. ``agreeing`` of ``pairs`` checkpoint pairs,
    those that gold tells apart, are ordered as gold orders them. ``noise`` is the standard
    deviation of the change from one checkpoint to the next, ``monotonicity`` Spearman's
    coefficient with the step. None: not defined. Of gold itself there are only these last two.
    """

    mode: Mode
    scope: str
    n: int
    spearman: float | None
    agreeing: int
    pairs: int
    decision_accuracy: float | None
    noise: float | None
    monotonicity: float | None


class Tracks:
    """Reads the rows of a run anew when the engine has written one."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._newest: tuple[int, int] | None = None
        self._ranks: dict[tuple[str, Mode], float | None] | None = None
        self.evidence: tuple[EvidenceRow, ...] = ()
        self.ranking: tuple[RankRow, ...] = ()
        self.tracks: tuple[Track, ...] = ()

    def read(
        self, connection: sqlite3.Connection, ranks: dict[tuple[str, Mode], float | None]
    ) -> None:
        """Bring everything up to date; ``ranks`` are Spearman's r by scope and proxy."""
        newest = self._newest_rows(connection)
        if newest == self._newest and ranks == self._ranks:
            return
        if newest != self._newest and newest is not None:
            self.evidence = tuple(
                EvidenceRow(*row)
                for row in connection.execute(
                    f"SELECT {EVIDENCE_COLUMNS} FROM evidence WHERE run_id = ?", (self._run_id,)
                )
            )
            self.ranking = tuple(
                RankRow(*row)
                for row in connection.execute(
                    f"SELECT {RANKING_COLUMNS} FROM ranking WHERE run_id = ? AND window = ?"
                    " ORDER BY mode, rank, step",
                    (self._run_id, _RAW),
                )
            )
        self._newest, self._ranks = newest, dict(ranks)
        self.tracks = tracks_of(self.evidence, ranks)

    def _newest_rows(self, connection: sqlite3.Connection) -> tuple[int, int] | None:
        if self._newest is None and not has_evidence(connection):
            return None
        row = connection.execute(
            "SELECT coalesce((SELECT max(id) FROM evidence), 0),"
            " coalesce((SELECT max(id) FROM ranking), 0)"
        ).fetchone()
        return row[0], row[1]


def tracks_of(
    evidence: tuple[EvidenceRow, ...], ranks: dict[tuple[str, Mode], float | None]
) -> tuple[Track, ...]:
    """Return a track for every scope and mode that has a row or a rank."""
    rows = {(row.scope, row.mode, row.measure): row for row in evidence}
    tracks = []
    for scope, mode in dict.fromkeys([*((row.scope, row.mode) for row in evidence), *ranks]):
        pairs = rows.get((scope, mode, "decision_accuracy"))
        noise = rows.get((scope, mode, "step_noise"))
        rise = rows.get((scope, mode, "monotonicity"))
        told = pairs.pairs or 0 if pairs else 0
        share = pairs.value if pairs else None
        tracks.append(
            Track(
                mode=mode,
                scope=scope,
                n=pairs.n if pairs else 0,
                spearman=ranks.get((scope, mode)),
                agreeing=round((share or 0.0) * told),
                pairs=told,
                decision_accuracy=share,
                noise=noise.value if noise else None,
                monotonicity=rise.value if rise else None,
            )
        )
    return tuple(tracks)
