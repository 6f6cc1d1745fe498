"""The runs that are compared, each read at one instant from its own file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ctv_engine.report.about import NoRunError, Run, read_runs
from ctv_engine.report.correlation import Tracked, read_tracked
from ctv_engine.report.evidence import Weighed, read_weighed
from ctv_engine.report.series import Scores, read_scores
from ctv_engine.report.snapshot import Asked, Snapshot, snapshot_of
from ctv_engine.report.wording import visible
from ctv_engine.store.rows import Mode

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
IGNORED = frozenset({"db"})
"""Settings that differ between any two runs and say nothing about either."""


@dataclass(frozen=True, slots=True)
class Side:
    """A run under its letter. ``evaluations`` are the complete ones, by mode and step."""

    label: str
    snapshot: Snapshot
    run: Run
    scores: Scores
    tracked: Tracked
    weighed: Weighed
    costs: Asked
    evaluations: Mapping[tuple[Mode, int], int]

    @property
    def name(self) -> str:
        """The letter and the run's name."""
        return f"{self.label}: {self.run.name}"

    @property
    def file(self) -> str:
        """The file, fit to be shown."""
        return visible(self.snapshot.path)

    def device_s(self, mode: Mode) -> float | None:
        """Return the mean device seconds of an evaluation."""
        return next((row["device_s"] for row in self.costs.dicts() if row["mode"] == mode), None)

    def makespan_s(self, mode: Mode) -> float | None:
        """Return the mean seconds from an evaluation's begin to its end."""
        return next((row["makespan_s"] for row in self.costs.dicts() if row["mode"] == mode), None)


def read_sides(paths: Sequence[Path], stack: ExitStack) -> list[Side]:
    """Return the newest run of each file; of a single file all of its runs.

    The files stay open, in one read transaction each, until ``stack`` is closed.

    Raises:
        StoreError: a file that can't be read.
        NoRunError: fewer than two runs, more than there are letters, or one without any score.
    """
    files = list({path.resolve(): path for path in paths}.values())
    chosen: list[tuple[Path, int | None]] = [(path, None) for path in files]
    if len(files) == 1:
        with snapshot_of(files[0]) as snapshot:
            chosen = [(files[0], run.run_id) for run in read_runs(snapshot)]
    if len(chosen) < 2:
        raise NoRunError(
            f"{files[0]}: a single run, and nothing to compare it with; name a second database"
        )
    if len(chosen) > len(LABELS):
        raise NoRunError(f"{len(chosen)} runs: at most {len(LABELS)} can be compared at once")
    return [
        _read(stack.enter_context(snapshot_of(path, label)), label, run_id)
        for label, (path, run_id) in zip(LABELS, chosen, strict=False)
    ]


def _read(snapshot: Snapshot, label: str, run_id: int | None) -> Side:
    runs = read_runs(snapshot)
    run = runs[-1] if run_id is None else next(one for one in runs if one.run_id == run_id)
    scores = read_scores(snapshot, run.run_id)
    if not scores.asked.rows:
        raise NoRunError(f"{snapshot.path}: run {run.name} has no score yet")
    evaluations = snapshot.ask(
        "evaluations",
        f"""
        SELECT DISTINCT mode, step, evaluation_id FROM trajectory
        WHERE run_id = {run.run_id} AND state = 'done' ORDER BY mode, step
        """,
    )
    costs = snapshot.ask(
        "costs",
        f"""
        SELECT e.mode, count(*) AS evaluations, avg(e.makespan_s) AS makespan_s,
               avg((SELECT sum(p.prefill_s + coalesce(p.decode_s, 0.0)) FROM predictions p
                    WHERE p.evaluation_id = e.id AND p.status = 'ok')) AS device_s
        FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id
        WHERE c.run_id = {run.run_id} AND e.state = 'done' GROUP BY e.mode ORDER BY e.mode
        """,
    )
    return Side(
        label,
        snapshot,
        run,
        scores,
        read_tracked(snapshot, run.run_id),
        read_weighed(snapshot, run.run_id, scores),
        costs,
        {(mode, step): key for mode, step, key in evaluations.rows},
    )


def differing(tables: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Return what is not the same in all tables, with each one's value; None where it is absent."""
    names = sorted({name for table in tables for name in table} - IGNORED)
    found = {name: [table.get(name) for table in tables] for name in names}
    return {name: row for name, row in found.items() if any(one != row[0] for one in row)}


def same_suite(one: Side, other: Side, mode: Mode) -> bool:
    """Whether two runs were asked the same items in a mode."""
    column = "gold_digest" if mode == "gold" else "suite_digest"
    return one.run.row[column] is not None and one.run.row[column] == other.run.row[column]


def wins(sides: Sequence[Side]) -> list[int] | None:
    """Return on how many datasets each run's best closed checkpoint is ahead of all others'.

    A tie is nobody's. None where the runs were not asked the same items.
    """
    if not all(same_suite(sides[0], side, "closed") for side in sides):
        return None
    tops = [side.weighed.best("closed") for side in sides]
    if any(top is None for top in tops):
        return None
    won = [0] * len(sides)
    for dataset in sides[0].scores.datasets:
        points = [
            side.scores.complete("closed", dataset).get(top.step) if top else None
            for side, top in zip(sides, tops, strict=True)
        ]
        values = [point.value for point in points if point is not None]
        if len(values) == len(sides) and values.count(max(values)) == 1:
            won[values.index(max(values))] += 1
    return won
