"""The balance of every evaluation: how long it took, and how much of that was waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctv_tui.data import words
from ctv_tui.data.balance import TOGETHER_SHARE
from ctv_tui.data.snapshot import Evaluation
from ctv_tui.widgets.lines import Line, centred, framed, joined, line, more_below
from ctv_tui.widgets.scrolled import Scrolled


class BalanceTable(Scrolled):
    """Idle fraction and makespan of every evaluation, newest first."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._evaluations: tuple[Evaluation, ...] = ()
        self._chosen: int | None = None

    def show(self, evaluations: tuple[Evaluation, ...], chosen: int | None = None) -> None:
        """Show those of ``evaluations`` that have begun, with a mark at the checkpoint chosen."""
        if evaluations is self._evaluations and chosen == self._chosen and self._lines:
            return
        moved = chosen != self._chosen
        self._evaluations, self._chosen = evaluations, chosen
        places = [n for n, e in enumerate(self._begun()) if e.checkpoint_id == chosen]
        if moved and places:
            self.show_row(places[-1], max(1, self.size.height - 3))
            self.show_row(places[0], max(1, self.size.height - 3))
        self.redraw()

    def _begun(self) -> list[Evaluation]:
        return [e for e in self._evaluations if e.started_at is not None][::-1]

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table."""
        begun = self._begun()
        first = self.clamped(len(begun), height - 3)
        together = ratios_together(begun)
        body = balance_rows(begun[first:], width - 2, height - 2, self._chosen, together)
        title = line(("balance of evaluations", "title"))
        more = more_below(len(begun) - first, height - 3)
        note = line(("+ closed and open together", "dim")) if together else ()
        rights = [joined([note, more], (" · ", "dim")), more]
        return framed(body, width, height, title=title, rights=rights)


def balance_rows(
    evaluations: Sequence[Evaluation],
    width: int,
    height: int,
    chosen: int | None = None,
    together: Mapping[int, float] | None = None,
) -> list[Line]:
    """Return the table's head and one row per evaluation.

    ``chosen`` is a checkpoint's id, ``together`` what :func:`ratios_together` found.
    """
    if not evaluations:
        return centred("no evaluation has begun", width, height)
    head = f" {'step':>9}  {'mode':<7}{'items':>13}{'makespan':>11}{'/ideal':>9}{'idle':>9}  "
    gauge = max(0, min(40, width - len(head) - 1))
    together = together or {}
    rows = [line((head + ("share of worker time that waited" if gauge >= 32 else ""), "dim"))]
    for e in evaluations[: height - 1]:
        items = f"{e.done + e.failed}/{e.planned}"
        ratio = f"{e.makespan_s / e.ideal_s:.3f}" if e.makespan_s and e.ideal_s else "–"
        if e.id in together:
            ratio = f"{together[e.id]:.3f}+"
        makespan = words.small_seconds(e.makespan_s) if e.makespan_s is not None else e.state
        share = e.idle_fraction or 0.0
        hatch = "╱" * (round(share * gauge) or (1 if share > 0.002 and gauge else 0))
        rows.append(
            line(
                ("▸" if e.checkpoint_id == chosen else " ", "strong"),
                f"{e.step:>9}  ",
                (f"{e.mode:<7}", e.mode),
                f"{items:>13}{makespan:>11}{ratio:>9}{words.per_cent(e.idle_fraction):>9}  ",
                (hatch, "wait"),
            )
        )
    return rows


def ratios_together(evaluations: Sequence[Evaluation]) -> dict[int, float]:
    """Return makespan/ideal of both, by id, for closed and open forms that were answered together.

    They share a stretch of time, in which each did a part of the work: only the sum of their
    ideals can be compared with it.
    """
    pairs: dict[int, list[Evaluation]] = {}
    for e in evaluations:
        if e.mode != "gold" and e.started_at and e.finished_at and e.makespan_s and e.ideal_s:
            pairs.setdefault(e.checkpoint_id, []).append(e)
    found: dict[int, float] = {}
    for pair in pairs.values():
        shared = min(e.finished_at or 0.0 for e in pair) - max(e.started_at or 0.0 for e in pair)
        shorter = min(e.makespan_s or 0.0 for e in pair)
        if len(pair) == 2 and shared > TOGETHER_SHARE * shorter:
            start = min(e.started_at or 0.0 for e in pair)
            end = max(e.finished_at or 0.0 for e in pair)
            ideal = sum(e.ideal_s or 0.0 for e in pair)
            found |= {e.id: max(1.0, (end - start) / ideal) for e in pair}
    return found
