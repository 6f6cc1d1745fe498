"""A report of one run: everything is read at one instant, then drawn, then put in place."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ctv_engine.report.about import NoRunError, Run, about, read_about, read_runs
from ctv_engine.report.blocks import Section
from ctv_engine.report.correlation import correlation, read_tracked
from ctv_engine.report.evidence import read_weighed
from ctv_engine.report.health import health, read_health
from ctv_engine.report.latency import latency, read_costs
from ctv_engine.report.letters import letters, read_letters
from ctv_engine.report.looked_at import read_looked_at
from ctv_engine.report.page import FIGURES, Page, html_of, text_of
from ctv_engine.report.series import read_scores
from ctv_engine.report.snapshot import Asked, snapshot_of
from ctv_engine.report.timeline import read_times, timeline
from ctv_engine.report.trajectories import trajectories
from ctv_engine.report.wording import counted, instant, visible


def report_of(path: Path, run: str | None = None) -> Page:
    """Return the report of a run: the one of that name or id, else the file's newest.

    Raises:
        StoreError: a file that can't be read.
        NoRunError: no such run, or a run without any score.
    """
    with snapshot_of(path) as snapshot:
        runs = read_runs(snapshot)
        chosen = _chosen(runs, run, path)
        run_id = chosen.run_id
        scores = read_scores(snapshot, run_id)
        if not scores.asked.rows:
            raise NoRunError(
                f"{path}: run {chosen.name} has no score yet; its first evaluation has not begun or"
                " no item was answered (`ctv-tui status` says what its engine is doing)"
            )
        tracked = read_tracked(snapshot, run_id)
        weighed = read_weighed(snapshot, run_id, scores)
        at = read_looked_at(snapshot, run_id)
        costs = read_costs(snapshot, run_id, at)
        times = read_times(snapshot, run_id, at)
        told = read_letters(snapshot, run_id)
        wrong = read_health(snapshot, run_id)
        made_of = read_about(snapshot, run_id)
        as_of = snapshot.as_of
    sections: tuple[Section, ...] = (
        trajectories(scores, weighed),
        correlation(scores, tracked, weighed),
        latency(costs),
        timeline(times),
        letters(told),
        health(wrong),
        about(chosen, made_of, len(runs) - 1, as_of),
    )
    modes = ", ".join(f"{len(scores.complete(mode))} {mode}" for mode in scores.modes)
    lines = (
        f"as of {instant(as_of)}; run {chosen.state(as_of)}",
        f"complete evaluations: {modes}; {counted(len(scores.datasets), 'dataset')}",
        f"database {visible(path.resolve())}",
    )
    return Page(f"Validation report: {chosen.name}", lines, sections)


def files_of(page: Page, name: str) -> dict[str, bytes]:
    """Return a page's files by their path: ``NAME.html``, ``NAME.txt``, figures and rows."""
    files = {f"{name}.html": html_of(page).encode(), f"{name}.txt": text_of(page).encode()}
    for picture in page.pictures:
        files[f"{FIGURES}/{picture.name}.svg"] = picture.svg.encode()
        files[f"{FIGURES}/{picture.name}.png"] = picture.png
    for asked in page.asked:
        files[f"{FIGURES}/{asked.name}.csv"] = csv_of(asked)
    return files


def csv_of(asked: Asked) -> bytes:
    """Return what a query returned; what is missing is an empty field."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(asked.columns)
    rows.writerows(asked.rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _chosen(runs: list[Run], wanted: str | None, path: Path) -> Run:
    if wanted is None:
        return runs[-1]
    for run in reversed(runs):
        if wanted in (run.row["name"], str(run.run_id)):
            return run
    known = ", ".join(f"{run.name} (id {run.run_id})" for run in runs)
    raise NoRunError(f"{path}: no run {visible(wanted)!r}; runs in it: {known}")
