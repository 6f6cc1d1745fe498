"""What the run was: settings, suites, versions, machines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ctv_engine.report.blocks import Block, Cell, Grid, Section
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import counted, instant, visible

DEAD_AFTER_S = 15.0
"""An engine that has not written its heartbeat for so long is dead, whatever it said last."""


class NoRunError(ValueError):
    """There is nothing to report; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run's own row, and how many others stand in the file."""

    asked: Asked
    run_id: int
    row: dict[str, Any]
    engine: dict[str, Any] | None
    others: tuple[Asked, ...]
    """The queries that tell the file's runs and what its engine does."""

    @property
    def name(self) -> str:
        """The run's name, fit to be shown."""
        return visible(self.row["name"], 80)

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with; none if they can't be read."""
        return object_of(self.row["config_json"])

    @property
    def versions(self) -> dict[str, Any]:
        """Versions of what the run was made with."""
        return object_of(self.row["versions_json"])

    def state(self, as_of: float) -> str:
        """Return whether the run goes on, in words."""
        engine = self.engine
        if self.row["finished_at"] is not None:
            return f"finished {instant(self.row['finished_at'])}"
        if engine is None or engine["run_id"] not in (None, self.run_id):
            return "not finished"
        if engine["state"] == "stopped":
            return f"not finished; its engine stopped {instant(engine['heartbeat_at'])}"
        if as_of - engine["heartbeat_at"] > DEAD_AFTER_S:
            return f"not finished; its engine is silent since {instant(engine['heartbeat_at'])}"
        return f"still being written: its engine is {visible(engine['state'])}"


def object_of(text: str) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_runs(snapshot: Snapshot) -> list[Run]:
    """Return the runs of the file, the oldest first.

    Raises:
        NoRunError: there is none.
    """
    engine = snapshot.ask("engine", "SELECT run_id, state, heartbeat_at, version FROM engine")
    ids = snapshot.ask("runs", "SELECT id, name FROM runs ORDER BY id")
    if not ids.rows:
        raise NoRunError(
            f"{snapshot.path}: no run in it yet; start one with `ctv-tui watch` or `ctv-tui eval`"
        )
    runs = []
    for run_id, _ in ids.rows:
        asked = snapshot.ask(
            "run",
            f"""
            SELECT name, checkpoint_dir, suite_digest, gold_digest, host, started_at, finished_at,
                   config_json, versions_json
            FROM runs WHERE id = {run_id}
            """,
        )
        told = engine.dicts()
        runs.append(Run(asked, run_id, asked.dicts()[0], told[0] if told else None, (ids, engine)))
    return runs


@dataclass(frozen=True, slots=True)
class About:
    """What a run was made of."""

    suites: Asked
    workers: Asked


def read_about(snapshot: Snapshot, run_id: int) -> About:
    """Read suites and workers."""
    suites = snapshot.ask(
        "suites",
        f"""
        SELECT iif(d.suite_digest = r.gold_digest, 'gold', 'paired') AS suite, d.suite_digest,
               d.name, d.open_metric, d.items
        FROM runs r JOIN datasets d ON d.suite_digest IN (r.suite_digest, r.gold_digest)
        WHERE r.id = {run_id} ORDER BY suite DESC, d.id
        """,
    )
    workers = snapshot.ask(
        "workers",
        f"""
        SELECT host, device, count(*) AS starts, min(started_at) AS first_at,
               sum(state = 'lost') AS lost
        FROM workers WHERE run_id = {run_id} GROUP BY host, device ORDER BY host, min(id)
        """,
    )
    return About(suites, workers)


def about(run: Run, found: About, others: int, as_of: float) -> Section:
    """Return what a reader needs to make the run again."""
    row = run.row
    facts: list[tuple[str, str]] = [
        ("run", f"{run.name} (id {run.run_id}; {counted(others, 'other run')} in this file)"),
        ("checkpoints", visible(row["checkpoint_dir"])),
        ("started", f"{instant(row['started_at'])} on {visible(row['host'])}"),
        ("state", run.state(as_of)),
        ("suite digest", visible(row["suite_digest"])),
        ("gold digest", visible(row["gold_digest"]) if row["gold_digest"] else "no gold suite"),
    ]
    blocks: list[Block] = [
        _pairs("The run", facts, (run.asked, *run.others)),
        _pairs("Settings", _told(run.settings), (run.asked,), "column config_json"),
        _pairs("Versions", _told(run.versions), (run.asked,), "column versions_json"),
        _suites(found),
        _workers(found),
    ]
    return Section("about", "Settings, suites and versions", tuple(blocks))


def _told(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (visible(name), visible(value if isinstance(value, str) else json.dumps(value), 300))
        for name, value in sorted(values.items())
    ] or [("–", "nothing that can be read")]


def _pairs(
    caption: str, facts: list[tuple[str, str]], asked: tuple[Asked, ...], computed: str = ""
) -> Grid:
    rows = tuple((name, Cell(value)) for name, value in facts)
    return Grid(caption, ("what", "value"), rows, asked, computed)


def _suites(found: About) -> Grid:
    rows = tuple(
        (
            row["suite"],
            visible(row["name"], 60),
            visible(row["open_metric"], 40),
            Cell(f"{row['items']:,}", "", "number"),
        )
        for row in found.suites.dicts()
    )
    heads = ("suite", "dataset", "open metric", "items")
    return Grid("Datasets", heads, rows, (found.suites,), folded=len(rows) > 24)


def _workers(found: About) -> Grid:
    rows = tuple(
        (
            visible(row["host"], 60),
            visible(row["device"], 60),
            Cell(str(row["starts"]), "", "number"),
            Cell(str(row["lost"]), "", "number"),
        )
        for row in found.workers.dicts()
    )
    heads = ("host", "device", "starts", "lost")
    return Grid("Workers", heads, rows, (found.workers,), folded=len(rows) > 16)
