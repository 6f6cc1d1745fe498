"""A gold standard that a team has from elsewhere: a series of scores by training step.

Where a run has no gold suite, an imported series is its gold: an evaluation of mode ``gold`` and
schedule ``imported`` per checkpoint, with no items. Where it has one, the series stands beside it,
as metric ``imported:NAME`` of the gold evaluations, and nothing mixes the two.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ctv_engine.store.rows import MACRO, POOLED
from ctv_engine.store.scopes import PREFIX
from ctv_engine.store.writer import Writer

SCHEDULE = "imported"


class SeriesError(Exception):
    """A file of scores that can't be used; names the row and the way out."""


@dataclass(frozen=True, slots=True)
class GoldPoint:
    """One score, 0 … 1; ``dataset`` ``macro`` is the total."""

    step: int
    dataset: str
    score: float
    stderr: float | None = None


@dataclass(frozen=True, slots=True)
class GoldSeries:
    """All points of one source."""

    name: str
    points: tuple[GoldPoint, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a series: steps that have a checkpoint here, and those that have none."""

    known: tuple[int, ...]
    unknown: tuple[int, ...]
    is_gold: bool


def read_series(path: Path, name: str, scale: float = 1.0) -> GoldSeries:
    """Read a CSV or JSON file with ``step``, ``score`` and, if any, ``dataset`` and ``stderr``.

    Scores are divided by ``scale``: 100 for percentages. Without a dataset a score is the total;
    where there are only datasets, the total is their mean at the steps that have all of them.

    Raises:
        SeriesError: the file can't be read, or a row is not usable; names it.
    """
    rows = _rows(path)
    if not rows:
        raise SeriesError(f"{path}: no scores; it takes rows with step and score")
    points: dict[tuple[int, str], GoldPoint] = {}
    for number, row in enumerate(rows, start=1):
        point = _point(row, scale, f"{path} row {number}")
        place = (point.step, point.dataset)
        if place in points:
            raise SeriesError(
                f"{path} row {number}: step {point.step} of {point.dataset} was there before;"
                " leave one of them"
            )
        points[place] = point
    if not any(dataset == MACRO for _, dataset in points):
        points |= {(one.step, MACRO): one for one in _means(points.values())}
    return GoldSeries(name, tuple(points[place] for place in sorted(points)))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SeriesError(f"{path}: can't be read ({error})") from error
    if path.suffix.lower() == ".json":
        try:
            read = json.loads(text)
        except ValueError as error:
            raise SeriesError(f"{path}: not JSON ({error})") from error
        if not isinstance(read, list) or not all(isinstance(row, dict) for row in read):
            raise SeriesError(f"{path}: a list of objects with step and score is needed")
        return read
    table = csv.DictReader(text.splitlines())
    fields = [field.strip().lower() for field in table.fieldnames or ()]
    missing = [name for name in ("step", "score") if name not in fields]
    if missing:
        found = ", ".join(fields) or "nothing"
        raise SeriesError(f"{path}: the first line names no {missing[0]} (it has {found})")
    table.fieldnames = fields
    return list(table)


def _point(row: dict[Any, Any], scale: float, where: str) -> GoldPoint:
    if None in row:
        raise SeriesError(
            f"{where}: more values than the first line names; numbers take a decimal point"
        )
    step = _number(row.get("step"), "step", where)
    if step < 0 or step != int(step):
        raise SeriesError(f"{where}: step {row.get('step')!r} is no whole number")
    score = _number(row.get("score"), "score", where) / scale
    if not 0.0 <= score <= 1.0:
        way_out = "; are they per cent? --scale 100" if scale == 1.0 and score <= 100 else ""
        raise SeriesError(f"{where}: score {row.get('score')} is not between 0 and 1{way_out}")
    given = row.get("stderr")
    stderr = None if given in (None, "") else _number(given, "stderr", where) / scale
    if stderr is not None and stderr < 0:
        raise SeriesError(f"{where}: stderr {given} is negative")
    dataset = row.get("dataset") or MACRO
    if not isinstance(dataset, str) or dataset.strip() == POOLED:
        raise SeriesError(
            f"{where}: dataset {dataset!r} can't be one's name; leave it out for the total"
        )
    return GoldPoint(int(step), dataset.strip() or MACRO, score, stderr)


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        raise SeriesError(f"{where}: {name} {value!r} is no number") from None
    if not math.isfinite(number):
        raise SeriesError(f"{where}: {name} {value!r} is no number")
    return number


def _means(points: Iterable[GoldPoint]) -> list[GoldPoint]:
    by_step: dict[int, list[float]] = {}
    names = set()
    for one in points:
        by_step.setdefault(one.step, []).append(one.score)
        names.add(one.dataset)
    return [
        GoldPoint(step, MACRO, math.fsum(scores) / len(scores))
        for step, scores in by_step.items()
        if len(scores) == len(names)
    ]


def write_series(writer: Writer, run_id: int, series: GoldSeries) -> Imported:
    """Write a series in place of an earlier one of its name. One transaction.

    A series none of whose steps has a checkpoint changes nothing. A gold evaluation that the engine
    made keeps its own scores; the series stands beside them.
    """
    ((gold_digest,),) = writer.query("SELECT gold_digest FROM runs WHERE id = ?", run_id)
    # The one that the view trajectory takes of a step, or any evaluation of it would hide the rest.
    newest = dict(
        writer.query(
            "SELECT step, coalesce(max(iif(EXISTS (SELECT 1 FROM evaluations e"
            " WHERE e.checkpoint_id = c.id AND e.schedule <> ?), id, NULL)), max(id))"
            " FROM checkpoints c WHERE run_id = ? GROUP BY step",
            SCHEDULE,
            run_id,
        )
    )
    metric, is_gold, now = PREFIX + series.name, gold_digest is None, time.time()
    steps = sorted({point.step for point in series.points})
    known = tuple(step for step in steps if step in newest)
    unknown = tuple(step for step in steps if step not in newest)
    if not known:
        return Imported(known, unknown, is_gold)
    with writer.transaction() as connection:
        connection.execute(
            "DELETE FROM scores WHERE metric = ? AND evaluation_id IN (SELECT e.id FROM evaluations"
            " e JOIN checkpoints c ON c.id = e.checkpoint_id WHERE c.run_id = ?)",
            (metric, run_id),
        )
        if is_gold:
            connection.execute(
                "DELETE FROM scores WHERE metric = 'score' AND evaluation_id IN (SELECT e.id FROM"
                " evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
                " WHERE c.run_id = ? AND e.schedule = ?)",
                (run_id, SCHEDULE),
            )
        for point in series.points:
            checkpoint = newest.get(point.step)
            if checkpoint is None:
                continue
            connection.execute(
                "INSERT INTO evaluations (checkpoint_id, mode, schedule, state, planned,"
                " started_at, finished_at) VALUES (?, 'gold', ?, 'done', 0, ?, ?)"
                " ON CONFLICT (checkpoint_id, mode) DO NOTHING",
                (checkpoint, SCHEDULE, now, now),
            )
            for name in (metric, "score") if is_gold else (metric,):
                connection.execute(
                    "INSERT OR REPLACE INTO scores (evaluation_id, dataset, metric, value, stderr,"
                    " n) SELECT id, ?, ?, ?, ?, 0 FROM evaluations WHERE checkpoint_id = ?"
                    " AND mode = 'gold'",
                    (point.dataset, name, point.score, point.stderr, checkpoint),
                )
        connection.execute(
            "DELETE FROM evaluations WHERE schedule = ? AND NOT EXISTS (SELECT 1 FROM scores s"
            " WHERE s.evaluation_id = evaluations.id) AND checkpoint_id IN"
            " (SELECT id FROM checkpoints WHERE run_id = ?)",
            (SCHEDULE, run_id),
        )
    return Imported(known, unknown, is_gold)


# --- to an engine that is running -----------------------------------------------------------------


def inbox(database: Path) -> Path:
    """Return the folder in which a running engine looks for series."""
    return database.with_name(database.name + ".gold")


def hand_over(database: Path, series: GoldSeries) -> Path:
    """Put a series where the engine of ``database`` will find it; it takes the file away."""
    place = inbox(database)
    place.mkdir(exist_ok=True)
    new = place / f".{series.name}.new"
    new.write_text(json.dumps(asdict(series)), encoding="utf-8")
    return new.replace(place / f"{series.name}.json")


def handed_over(database: Path) -> list[tuple[Path, GoldSeries]]:
    """Return what waits, with the files to remove once it is written."""
    found = []
    for path in sorted(inbox(database).glob("*.json")):
        try:
            read = json.loads(path.read_bytes())
            points = tuple(GoldPoint(**point) for point in read["points"])
            found.append((path, GoldSeries(read["name"], points)))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found


def as_gold(
    scores: Sequence[tuple[str, str, int, str, float]], name: str
) -> list[tuple[str, str, int, str, float]]:
    """Return (mode, dataset, step, metric, value) rows with a series in the place of gold."""
    metric = PREFIX + name
    return [
        (mode, dataset, step, "score" if found == metric else found, value)
        for mode, dataset, step, found, value in scores
        if mode != "gold" or found == metric
    ]
