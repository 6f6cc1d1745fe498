"""The checkpoints of a run from best to worst, as rows: one answer for all who ask."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctv_engine.stats.bootstrap import SINGLE_IMAGE, of_single_image
from ctv_engine.stats.choice import rank_by_windows
from ctv_engine.stats.interval import Z_95
from ctv_engine.store.answers import Answers, ItemScores
from ctv_engine.store.evidence import read_ranking
from ctv_engine.store.rows import MACRO, MODES, Mode, RankRow

RAW, SMOOTH = 1, 3
"""By the score itself, and by its mean over so many checkpoints."""
NO_ITEMS = "these scores are without items to compare checkpoints on"


@dataclass(frozen=True, slots=True)
class Scored:
    """All that a mode's ranking depends on; ``totals`` are (step, macro mean, stderr)."""

    items: ItemScores
    totals: tuple[tuple[int, float, float | None], ...]


class Ranking:
    """Ranks the modes of a run; a mode is ranked anew when its scores have changed.

    Reading and computing are apart, so that no read of the database lasts as long as a bootstrap.
    """

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._answers = {mode: Answers(run_id, mode) for mode in MODES}
        self._ranked: dict[Mode, Scored] = {}

    def read(self, connection: sqlite3.Connection) -> dict[Mode, Scored]:
        """Read what the modes that have changed are ranked by."""
        found = {
            mode: _scored(connection, self._run_id, mode, self._answers[mode]) for mode in MODES
        }
        return {
            mode: one
            for mode, one in found.items()
            if one != self._ranked.get(mode, Scored(ItemScores((), (), (), (), 0), ()))
        }

    def rank(self, changed: Mapping[Mode, Scored]) -> dict[Mode, list[RankRow]]:
        """Return all rows of each mode that has changed."""
        rows = {mode: rank_rows(mode, scored, (RAW, SMOOTH)) for mode, scored in changed.items()}
        self._ranked |= changed
        return rows


def ranking(
    connection: sqlite3.Connection, run_id: int, mode: Mode, window: int = RAW
) -> list[RankRow]:
    """Return a mode's checkpoints, best first: the engine's rows, else what it would have written.

    Raises:
        ValueError: the window is not a positive odd number.
    """
    rows = read_ranking(connection, run_id, mode, window)
    if rows:
        return rows
    scored = _scored(connection, run_id, mode, Answers(run_id, mode))
    return rank_rows(mode, scored, (window,))


def rank_rows(mode: Mode, scored: Scored, windows: Sequence[int]) -> list[RankRow]:
    """Return the rows of every window, best first.

    Scores without items, such as imported ones, are ranked by themselves (window 1 alone), and so
    are those with a dataset about a single image, of which no other draw can be made; nothing is
    known of which might be the best, unless there is but one.
    """
    known = scored.items
    single = of_single_image(known.images, known.datasets)
    if not known.datasets or single is not None:
        reason = NO_ITEMS if single is None else f"{SINGLE_IMAGE}: {single}"
        return _by_themselves(mode, scored, reason) if RAW in windows else []
    found = rank_by_windows(
        known.steps, known.scores, known.images, known.datasets, windows=windows
    )
    return [
        RankRow(
            mode=mode,
            window=window,
            step=one.step,
            rank=one.rank,
            value=one.score,
            low=one.low,
            high=one.high,
            may_be_best=int(one.may_be_best),
            change=one.change if window == RAW else None,
            change_low=one.change_low if window == RAW else None,
            change_high=one.change_high if window == RAW else None,
            n=len(known.datasets),
            left_out=known.left_out,
        )
        for window, ranked in found.items()
        for one in ranked
    ]


def _by_themselves(mode: Mode, scored: Scored, reason: str) -> list[RankRow]:
    values = [value for _, value, _ in scored.totals]
    rows = []
    for place, (step, value, stderr) in enumerate(scored.totals):
        half = None if stderr is None else Z_95 * stderr
        rows.append(
            RankRow(
                mode=mode,
                window=RAW,
                step=step,
                rank=1 + sum(other > value for other in values),
                value=value,
                low=None if half is None else value - half,
                high=None if half is None else value + half,
                may_be_best=1 if len(values) == 1 else None,
                change=value - values[place - 1] if place else None,
                change_low=None,
                change_high=None,
                n=len(scored.items.datasets),
                left_out=scored.items.left_out,
                reason=reason,
            )
        )
    return sorted(rows, key=lambda row: (row.rank, row.step))


def _scored(connection: sqlite3.Connection, run_id: int, mode: Mode, answers: Answers) -> Scored:
    totals = connection.execute(
        "SELECT step, value, stderr FROM trajectory WHERE run_id = ? AND mode = ?"
        " AND state = 'done' AND dataset = ? AND metric = ? AND abs(value) <= 1e300 ORDER BY step",
        (run_id, mode, MACRO, "accuracy" if mode == "closed" else "score"),
    ).fetchall()
    return Scored(answers.read(connection), tuple((s, v, e) for s, v, e in totals))
