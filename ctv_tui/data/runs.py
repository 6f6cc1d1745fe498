"""Other runs to lay over the one that is shown: of the same file, and of files named beside it."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ctv_engine.store.reader import StoreError, open_read_only
from ctv_engine.store.rows import MODES, Mode
from ctv_tui.data.snapshot import OtherRun, Point, Trajectory

RUNS_KEPT = 8
"""Only the newest other runs of a file are read."""


class OtherRuns:
    """Reads each other run once: only the run that is shown can still grow."""

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self._files = list(files)
        self._of_files: tuple[OtherRun, ...] = ()
        self._own: dict[int, OtherRun] = {}
        self.runs: tuple[OtherRun, ...] = ()

    def read(self, connection: sqlite3.Connection, run_id: int) -> bool:
        """Read one more run, if there is one; return whether more are left to read."""
        if self._files:
            self._of_files += _runs_of_file(self._files.pop(0))
            self.runs = (*self._own.values(), *self._of_files)
            return True
        rows = connection.execute(
            "SELECT id, name FROM runs WHERE id <> ? ORDER BY id DESC LIMIT ?", (run_id, RUNS_KEPT)
        ).fetchall()
        missing = [row for row in rows if row["id"] not in self._own]
        if missing:
            self._own[missing[0]["id"]] = _read_run(connection, missing[0], "")
            self.runs = (*self._own.values(), *self._of_files)
        return len(missing) > 1


def _runs_of_file(path: Path) -> tuple[OtherRun, ...]:
    try:
        with closing(open_read_only(path)) as connection:
            rows = connection.execute(
                "SELECT id, name FROM runs ORDER BY id DESC LIMIT ?", (RUNS_KEPT,)
            ).fetchall()
            return tuple(_read_run(connection, row, path.name) for row in rows)
    except (StoreError, sqlite3.Error, OSError) as error:
        return (OtherRun(path.name, "", trouble=str(error)),)


def _read_run(connection: sqlite3.Connection, run: sqlite3.Row, file: str) -> OtherRun:
    rows = connection.execute(
        "SELECT mode, dataset, step, value, stderr, n, state FROM trajectory WHERE run_id = ?"
        " AND metric = CASE mode WHEN 'closed' THEN 'accuracy' ELSE 'score' END ORDER BY step",
        (run["id"],),
    ).fetchall()
    points: dict[tuple[str, Mode], list[Point]] = defaultdict(list)
    for mode, dataset, step, value, stderr, n, state in rows:
        points[dataset, mode].append(Point(step, value, stderr, n, state == "done"))
    times = connection.execute(
        "SELECT step, coalesce(ready_at, found_at) FROM checkpoints WHERE run_id = ? ORDER BY id",
        (run["id"],),
    ).fetchall()
    return OtherRun(
        file=file,
        name=run["name"],
        trajectories=tuple(
            Trajectory(mode, dataset, tuple(points[dataset, mode]))
            for dataset in dict.fromkeys(dataset for dataset, _ in points)
            for mode in MODES
            if (dataset, mode) in points
        ),
        ready_at=tuple(dict(times).items()),
    )


def settings_of(connection: sqlite3.Connection, run_id: int) -> Mapping[str, Any]:
    """Return the settings that a run was started with; none if they can't be read."""
    row = connection.execute("SELECT config_json FROM runs WHERE id = ?", (run_id,)).fetchone()
    try:
        found = json.loads(row[0]) if row else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
