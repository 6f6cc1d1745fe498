"""Scores, correlations and events, tailed by row id."""

from __future__ import annotations

import sqlite3
from collections import defaultdict, deque
from itertools import chain

from ctv_engine.store.rows import MACRO, MODES, Mode
from ctv_engine.store.scopes import PREFIX, scope_of
from ctv_tui.data.snapshot import Correlation, Evaluation, Event, Point, Trajectory
from ctv_tui.data.work import Work

_Key = tuple[Mode, str, str]
"""Mode, dataset, and the metric of an imported series, which is empty for the run's own scores."""

ROWS_PER_TICK = 5_000
EVENTS_KEPT = 200


class Scores:
    """Trajectories per mode and dataset; those of imported series apart, by scope.

    A changed score is a new row with a higher id that took the old one's place, so a row-id cursor
    sees it. A point that did not change is the same object in the next trajectory.
    """

    def __init__(self) -> None:
        self._cursor = 0
        self._rows: dict[_Key, dict[int, tuple[float | None, float | None, int]]] = defaultdict(
            dict
        )
        self._states: dict[int, bool] = {}
        self._points: dict[_Key, dict[int, Point]] = defaultdict(dict)
        self._built: dict[_Key, Trajectory] = {}
        self.trajectories: tuple[Trajectory, ...] = ()
        self.imported: tuple[Trajectory, ...] = ()

    def read(self, connection: sqlite3.Connection, work: Work, changed: bool) -> bool:
        """Fold in new rows; return whether more are left to read."""
        rows = connection.execute(
            "SELECT id, evaluation_id, dataset, metric, value, stderr, n FROM scores"
            " WHERE id > ? AND (metric IN ('accuracy', 'score') OR substr(metric, 1, ?) = ?)"
            " ORDER BY id LIMIT ?",
            (self._cursor, len(PREFIX), PREFIX, ROWS_PER_TICK),
        ).fetchall()
        dirty: set[_Key] = set()
        for row in rows:
            self._cursor = row["id"]
            evaluation = work.evaluation(row["evaluation_id"])
            if evaluation is None:
                continue
            series = row["metric"] if row["metric"].startswith(PREFIX) else ""
            own = "accuracy" if evaluation.mode == "closed" else "score"
            if not series and row["metric"] != own:
                continue
            key = (evaluation.mode, row["dataset"], series)
            self._rows[key][evaluation.id] = (row["value"], row["stderr"], row["n"])
            self._points[key].pop(evaluation.id, None)
            dirty.add(key)
        if changed or dirty:
            self._build(work.standing_evaluations(), dirty, work.datasets)
        return len(rows) == ROWS_PER_TICK

    def _build(
        self,
        standing: dict[int, Evaluation],
        dirty: set[_Key],
        datasets: tuple[str, ...],
    ) -> None:
        states = {key: e.state == "done" for key, e in standing.items()}
        stale = dirty if states == self._states else set(self._rows)
        self._states = states
        if not stale:
            return
        for about in stale:
            kept = self._points[about]
            for key, (value, stderr, n) in self._rows[about].items():
                known = kept.get(key)
                if key not in standing:
                    kept.pop(key, None)
                elif known is None or known.complete != states[key]:
                    kept[key] = Point(standing[key].step, value, stderr, n, states[key])
            points = sorted(kept.values(), key=lambda point: point.step)
            mode, dataset, series = about
            name = f"{series}:{scope_of(dataset)}" if series else dataset
            new = Trajectory(mode, name, tuple(points))
            if self._built.get(about) != new:
                self._built[about] = new
        others = sorted({dataset for _, dataset, series in self._built if not series})
        names = dict.fromkeys(chain([MACRO], datasets, others))
        self.trajectories = tuple(
            self._built[mode, dataset, ""]
            for dataset in names
            for mode in MODES
            if (mode, dataset, "") in self._built
        )
        self.imported = tuple(self._built[about] for about in sorted(self._built) if about[2])


class Tracking:
    """Pearson's r of both proxies with gold: rolling and over the whole run, per scope.

    ``ranks`` are Spearman's r over the whole run, by scope and proxy.
    """

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._cursor = 0
        self._rows: dict[tuple[str, Mode, int], dict[int, Correlation]] = defaultdict(dict)
        self._whole: dict[tuple[Mode, str], Correlation] = {}
        self._built: dict[str, tuple[Correlation, ...]] = {}
        self.rolling: tuple[Correlation, ...] = ()
        self.rolling_scopes: tuple[tuple[Correlation, ...], ...] = ()
        self.whole: tuple[Correlation, ...] = ()
        self._ranked_at: dict[tuple[str, Mode], int] = {}
        self.ranks: dict[tuple[str, Mode], float | None] = {}

    def read(self, connection: sqlite3.Connection) -> bool:
        """Fold in new rows; return whether more are left to read."""
        rows = connection.execute(
            "SELECT id, method, proxy, scope, window, step, r, low, high, n, reason"
            " FROM correlations WHERE id > ? AND run_id = ? AND (method = 'pearson'"
            " OR method = 'spearman' AND window = 0) ORDER BY id LIMIT ?",
            (self._cursor, self._run_id, ROWS_PER_TICK),
        ).fetchall()
        changed: set[str] = set()
        for row in rows:
            self._cursor = row["id"]
            new = Correlation(*tuple(row)[2:])
            if row["method"] == "spearman":
                if self._ranked_at.get((new.scope, new.proxy), new.step) <= new.step:
                    self._ranked_at[new.scope, new.proxy] = new.step
                    self.ranks[new.scope, new.proxy] = new.r
            elif new.window == 0:
                known = self._whole.get((new.proxy, new.scope))
                if known is None or known.step <= new.step:
                    self._whole[new.proxy, new.scope] = new
            else:
                self._rows[new.scope, new.proxy, new.window][new.step] = new
                changed.add(new.scope)
        if rows:
            for scope in sorted(changed):
                self._built[scope] = self._of(scope)
            self.rolling_scopes = tuple(self._built.values())
            self.rolling = self._built.get(MACRO, ())
            self.whole = tuple(
                sorted(self._whole.values(), key=lambda c: (c.scope != MACRO, c.scope, c.proxy))
            )
        return len(rows) == ROWS_PER_TICK

    def _of(self, scope: str) -> tuple[Correlation, ...]:
        """Return a scope's rows in each proxy's widest window, ordered by proxy and step."""
        widest: dict[Mode, int] = {}
        for of_scope, proxy, window in self._rows:
            if of_scope == scope:
                widest[proxy] = max(window, widest.get(proxy, 0))
        return tuple(
            self._rows[scope, proxy, widest[proxy]][step]
            for proxy in sorted(widest)
            for step in sorted(self._rows[scope, proxy, widest[proxy]])
        )


class Events:
    """The latest events; warnings and errors are kept apart, so chatter can't push them out."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._cursor: int | None = None
        self.told_of_import = False
        self._calm: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._loud: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.latest: tuple[Event, ...] = ()

    def read(self, connection: sqlite3.Connection) -> None:
        """Fold in new rows; ``told_of_import``: whether a gold series came in meanwhile."""
        began = self._cursor is not None
        if self._cursor is None:
            rows = [
                *self._last(connection, "e.level = 'info'"),
                *self._last(connection, "e.level <> 'info'"),
            ]
        else:
            rows = connection.execute(
                _EVENTS.format(where="e.id > ?", order="e.id"),
                (self._run_id, self._cursor, ROWS_PER_TICK),
            ).fetchall()
        self.told_of_import = began and any(row["kind"] == "gold" for row in rows)
        if not rows and self._cursor is not None:
            return
        for row in sorted(rows, key=lambda row: int(row["id"])):
            event = Event(*row)
            (self._calm if event.level == "info" else self._loud).append(event)
        self._cursor = max((row["id"] for row in rows), default=self._cursor or 0)
        self.latest = tuple(sorted([*self._calm, *self._loud], key=lambda event: event.id))

    def _last(self, connection: sqlite3.Connection, where: str) -> list[sqlite3.Row]:
        statement = _EVENTS.format(where=where, order="e.id DESC")
        return connection.execute(statement, (self._run_id, EVENTS_KEPT)).fetchall()


_EVENTS = (
    "SELECT e.id, e.at, e.level, e.kind, e.message, c.step FROM events e"
    " LEFT JOIN checkpoints c ON c.id = e.checkpoint_id"
    " WHERE coalesce(e.run_id, ?1) = ?1 AND {where} ORDER BY {order} LIMIT ?"
)
