"""``ctv-tui best``: which checkpoint is best, and which others might be?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import db_option, option

if TYPE_CHECKING:
    import sqlite3

    from ctv_engine.stats.agreement import Regret
    from ctv_engine.store.rows import Mode, RankRow


@click.command("best")
@db_option
@option(
    "--mode",
    env="MODE",
    default="closed",
    show_default=True,
    type=click.Choice(["closed", "open", "gold"]),
    help="The score to rank by.",
)
@option(
    "--smooth",
    env="SMOOTH",
    default=3,
    show_default=True,
    type=click.IntRange(min=1),
    help="Checkpoints averaged in the second ranking, an odd number.",
)
@option(
    "--top",
    env="TOP",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Rows to print; 0: all.",
)
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
def command(db: str, mode: Mode, smooth: int, top: int, as_json: bool) -> None:
    """Rank the checkpoints of the run that the dashboard shows by their macro mean.

    Intervals are 95 %, from a bootstrap over pictures, the same draws for all checkpoints. The set
    that can't be told apart from the best holds the truly best one with 95 % probability; where it
    is large, more items are needed to decide. Dashboard and report show the same. With gold, what
    the choice costs is printed, too.
    """
    from ctv_engine.store.reader import open_read_only
    from ctv_tui.cli.dashboard import check
    from ctv_tui.cli.engine_process import CommandError

    path = Path(db)
    check(path)
    if smooth % 2 == 0:
        raise CommandError(
            f"--smooth {smooth} is even; a centred mean takes 1, 3, 5, …", EXIT_USAGE
        )
    connection = open_read_only(path)
    connection.execute("BEGIN")  # one state of the database, whatever the engine writes meanwhile
    try:
        found = _rank(connection, mode, smooth)
    finally:
        connection.close()
    if found is None:
        raise CommandError(f"{path}: no {mode} evaluation is finished yet", EXIT_FAILED)
    click.echo(json.dumps(found.document()) if as_json else "\n".join(found.lines(top)))


@dataclass(frozen=True, slots=True)
class _Choice:
    run: str
    mode: Mode
    smooth: int
    items: int
    left_out: int
    raw: list[RankRow]
    smoothed: list[RankRow]
    gold: dict[int, float]
    regrets: dict[str, Regret]

    def document(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {
            "run": self.run,
            "mode": self.mode,
            "smooth": self.smooth,
            "items": self.items,
            "items_left_out": self.left_out,
            "ranking": [_ranked(one) for one in self.raw],
            "ranking_smoothed": [_ranked(one) for one in self.smoothed],
            "may_be_best": _steps(self.raw),
            "may_be_best_smoothed": _steps(self.smoothed),
            "gold": {str(step): value for step, value in sorted(self.gold.items())},
            "regret": {name: asdict(one) for name, one in self.regrets.items()},
        }

    def lines(self, top: int) -> list[str]:
        """Return the table and the sentences below it."""
        from ctv_tui.data.safe_text import safe

        smoothed = {one.step: one for one in self.smoothed}
        shown = self.raw[: top or None]
        head = f"{safe(self.run)}: {self.mode}, checkpoints: {len(self.raw)}, items: {self.items:,}"
        if self.left_out:
            head += f" ({self.left_out:,} left out: without a score at one checkpoint or more)"
        gold = "    gold" if self.gold else ""
        lines = [head, _row(" ", "step", f"{self.mode} [95 %]", f"mean of {self.smooth}", gold)]
        for one in shown:
            mark = "≈" if one.may_be_best else " "
            if self.gold:
                gold = f"  {self.gold[one.step]:>6.3f}" if one.step in self.gold else "       –"
            both = _interval(one), _interval(smoothed.get(one.step))
            lines.append(_row(mark, str(one.step), *both, gold))
        if len(shown) < len(self.raw):
            lines.append(f"  … {len(self.raw) - len(shown)} more: --top 0")
        lines.append(f"by {self.mode}: {_verdict(self.raw)}")
        if self.smoothed:
            lines.append(f"by its mean over {self.smooth}: {_verdict(self.smoothed)}")
        for name, lost in self.regrets.items():
            cost = f"{lost.regret:.3f} of gold" if lost.regret else "nothing"
            ranked = self.raw if name == self.mode else self.smoothed
            equal = sum(one.rank == 1 for one in ranked)
            earliest = f" (the earliest of {equal} with that score)" if equal > 1 else ""
            lines.append(
                f"gold's best is {lost.best}; {lost.chosen}, the best by {name}, costs {cost}"
                f"{earliest}"
            )
        if not self.regrets:
            lines.append("without gold's score of the choice, what it costs is not known")
        return lines


def _row(mark: str, step: str, score: str, smoothed: str, gold: str) -> str:
    return f"{mark} {step:>9}  {score:<22}  {smoothed:<22}{gold}".rstrip()


def _rank(connection: sqlite3.Connection, mode: Mode, smooth: int) -> _Choice | None:
    from ctv_engine.stats.agreement import regret
    from ctv_engine.stats.ranking import ranking
    from ctv_engine.store.answers import shown_run

    run_id = shown_run(connection)
    if run_id is None:
        return None
    raw, smoothed = (ranking(connection, run_id, mode, window) for window in (1, smooth))
    if not raw:
        return None
    gold = dict(
        connection.execute(
            "SELECT step, value FROM trajectory WHERE run_id = ? AND mode = 'gold'"
            " AND state = 'done' AND dataset = 'macro' AND metric = 'score'"
            " AND value IS NOT NULL",
            (run_id,),
        ).fetchall()
    )
    chosen: dict[str, int] = {mode: raw[0].step}
    if smoothed:
        chosen[f"its mean over {smooth}"] = smoothed[0].step
    name = connection.execute("SELECT name FROM runs WHERE id = ?", (run_id,)).fetchone()[0]
    return _Choice(
        run=name,
        mode=mode,
        smooth=smooth,
        items=raw[0].n,
        left_out=raw[0].left_out,
        raw=raw,
        smoothed=smoothed,
        gold=gold,
        regrets={by: regret(gold, step) for by, step in chosen.items() if step in gold},
    )


def _ranked(one: RankRow) -> dict[str, Any]:
    return {
        "step": one.step,
        "rank": one.rank,
        "score": one.value,
        "low": one.low,
        "high": one.high,
        "may_be_best": None if one.may_be_best is None else bool(one.may_be_best),
        "reason": one.reason,
    }


def _interval(one: RankRow | None) -> str:
    if one is None:
        return "–"
    return f"{one.value:.3f}" + ("" if one.low is None else f" [{one.low:.3f}, {one.high:.3f}]")


def _steps(ranked: list[RankRow]) -> list[int]:
    return sorted(one.step for one in ranked if one.may_be_best)


def _verdict(ranked: list[RankRow]) -> str:
    tied = _steps(ranked)
    if len(ranked) == 1:
        return f"{ranked[0].step} is the only one"
    best, equal = ranked[0].step, sum(one.rank == 1 for one in ranked)
    share = f"; {equal} share the highest score" if equal > 1 else ""
    if not tied:
        return f"{best} leads; {ranked[0].reason}{share}"
    if len(tied) == 1:
        return f"{best} is best"
    others = ", ".join(str(step) for step in tied if step != best)
    told = f"{best} leads, and can't be told apart from {others} ({len(tied)} of {len(ranked)})"
    return told + share
