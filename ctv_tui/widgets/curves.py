"""From a snapshot to the charts of trajectories: which series, on which axis, how smooth."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from ctv_engine.store.rows import MACRO, MODES, Mode
from ctv_tui.data import Snapshot, safe, words
from ctv_tui.data.curves import (
    TimeAxis,
    differences,
    ready_times,
    smoothed,
    time_axis,
)
from ctv_tui.data.snapshot import OtherRun, Point
from ctv_tui.theme import Role
from ctv_tui.widgets.axes import (
    Range,
    difference_range,
    score_range,
    step_label,
    step_range,
    time_label,
    time_unit_s,
)
from ctv_tui.widgets.chart import ChartData
from ctv_tui.widgets.large_chart import LargeData
from ctv_tui.widgets.lines import Line, joined, line
from ctv_tui.widgets.readout import (
    at_step,
    instant,
    latest_values,
    to_gold,
    values_of,
    waiting_sentence,
)
from ctv_tui.widgets.series import Dot, Series, Shape, has_points

Axis = Literal["step", "time"]

DRAWN: tuple[Mode, ...] = ("open", "closed", "gold")
"""In drawing order: closed follows gold closely, so gold's sparse diamonds come last."""

_SHAPES: dict[Mode, Shape] = {"open": "dotted", "closed": "solid", "gold": "diamonds"}
_BANDS: dict[Mode, Role] = {"open": "open-band", "closed": "closed-band"}
_OTHER: dict[Mode, tuple[Shape, Role]] = {
    "open": ("dotted", "open-band"),
    "closed": ("dashed", "closed-band"),
    "gold": ("plus", "gold"),
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """How a person wants to see the trajectories. ``span`` 0 is not smoothed."""

    axis: Axis = "step"
    span: int = 0
    hidden: frozenset[Mode] = frozenset()
    zoom: Range | None = None
    others: tuple[OtherRun, ...] = ()

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The series that are shown, in reading order."""
        return tuple(mode for mode in MODES if mode not in self.hidden)


def name_of(dataset: str) -> str:
    """Return how a dataset is called on screen."""
    return "macro mean" if dataset == MACRO else safe(dataset)


def run_name(run: OtherRun) -> str:
    """Return how another run is called on screen."""
    if run.trouble:
        return f"{safe(run.file)}: can't be read"
    return f"{safe(run.name)} in {safe(run.file)}" if run.file else safe(run.name)


class Curves:
    """Makes chart data; what has not changed since the last time is the same object again."""

    def __init__(self) -> None:
        self._ranges: dict[str, Range] = {}
        self._strips: dict[str, Range] = {}
        self._x: dict[Axis, Range] = {}
        self._unit_s = 1.0
        self._kept: dict[Hashable, tuple[tuple[object, ...], object]] = {}
        self._by_step: dict[Hashable, tuple[tuple[Point, ...], tuple[Dot, ...]]] = {}
        self._times: tuple[TimeAxis, ...] = ()
        self._view = View()
        self._snapshot: Snapshot | None = None

    @property
    def x(self) -> Range:
        """The range of the x axis, in steps or in the unit of the time axis."""
        return self._view.zoom or self.whole_x

    @property
    def whole_x(self) -> Range:
        """The range of the x axis without zoom."""
        return self._x.get(self._view.axis, (0.0, 1.0))

    @property
    def went_back_s(self) -> float:
        """By how much the clock went back between two checkpoints of a run that is shown."""
        return max((axis.went_back_s for axis in self._times), default=0.0)

    def prepare(self, snapshot: Snapshot, view: View) -> None:
        """Take a snapshot and fix the x axis for all charts of it."""
        if view.others != self._view.others:
            self._ranges.clear()
            self._x.clear()
        self._snapshot, self._view = snapshot, view
        if view.axis == "step":
            steps = [p.step for t in snapshot.trajectories for p in t.points]
            steps += [p.step for run in view.others for t in run.trajectories for p in t.points]
            self._x["step"] = step_range(steps, self._x.get("step"))
            self._times = ()
            return
        own = self._keep("times", (snapshot.checkpoints,), partial(_axis_of, snapshot))
        others = [
            self._keep(("times", number), (run,), partial(_axis_of_other, run))
            for number, run in enumerate(view.others)
        ]
        self._times = (own, *others)
        longest = max((s for axis in self._times for s in axis.since_first_s.values()), default=0.0)
        unit_s = time_unit_s(longest)
        before = self._x.get("time") if unit_s == self._unit_s else None
        self._unit_s = unit_s
        self._x["time"] = step_range([0.0, longest / unit_s], before)

    def x_of(self, step: int, run: int = 0) -> float | None:
        """Return where a step is on the x axis; None if its time is not known."""
        if self._view.axis == "step":
            return float(step)
        since_s = self._times[run].since_first_s.get(step)
        return None if since_s is None else since_s / self._unit_s

    def chart(self, dataset: str, *, long: bool = False) -> ChartData:
        """Return a chart of one dataset; ``long`` spells the latest values out."""
        snapshot, view = self._the_snapshot, self._view
        by_mode = {mode: snapshot.points(mode, dataset) for mode in view.modes}
        runs = range(1, len(view.others) + 1)
        overlaid = [one for run in runs for one in self._series(dataset, run)]
        series = (*overlaid, *self._series(dataset))
        rights = (
            (latest_values(by_mode, long=True), latest_values(by_mode))
            if long
            else (latest_values(by_mode),)
        )
        return ChartData(
            title=line((name_of(dataset), "title")),
            rights=rights,
            series=series,
            x=self.x,
            y=self._y(dataset),
            empty="" if any(map(has_points, series)) else waiting_sentence(snapshot, dataset),
            x_label=step_label if view.axis == "step" else time_label(self._unit_s),
        )

    def large(self, dataset: str, cursor: int | None) -> LargeData:
        """Return a dataset's large chart with the values at the step under the cursor."""
        small, view = self.chart(dataset, long=True), self._view
        strip = self._strip(dataset)
        values = [d.y for one in strip for d in one.dots if d.y is not None]
        self._strips[dataset] = difference_range(values, self._strips.get(dataset))
        shown = [mode for mode in DRAWN if mode in view.modes and mode in _BANDS]
        bands = [self._band(dataset, mode) for mode in shown]
        return LargeData(
            title=small.title,
            rights=small.rights,
            series=(*bands, *small.series),
            x=small.x,
            y=small.y,
            empty=small.empty,
            x_label=small.x_label,
            cursor=None if cursor is None else self.x_of(cursor),
            strip=strip,
            strip_y=self._strips[dataset],
            readout=() if cursor is None else self._readout(dataset, cursor),
        )

    def steps(self, dataset: str) -> list[int]:
        """Return the steps at which the cursor can be: those with any score that is shown."""
        found = {
            point.step
            for mode in self._view.modes
            for point in self._the_snapshot.points(mode, dataset)
            if self.x_of(point.step) is not None
        }
        return sorted(found)

    # --- parts --------------------------------------------------------------------------------

    @property
    def _the_snapshot(self) -> Snapshot:
        assert self._snapshot is not None
        return self._snapshot

    def _keep(self, key: Hashable, made_from: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return what was made from the very same objects before, or make it anew."""
        kept = self._kept.get(key)
        if kept is not None and len(kept[0]) == len(made_from):
            same = zip(kept[0], made_from, strict=True)
            if all(one is two or (isinstance(one, float) and one == two) for one, two in same):
                return kept[1]  # type: ignore[return-value]
        made = make()
        self._kept[key] = (made_from, made)
        return made

    def _placed(self, run: int) -> tuple[object, ...]:
        """Return what a point's place on the x axis depends on."""
        return (self._times[run], self._unit_s) if self._times else ()

    def _dots_by_step(self, points: Sequence[Point], key: Hashable) -> tuple[Dot, ...]:
        """Return a dot a point; those of points that were there the last time are the same ones."""
        before, dots = self._by_step.get(key, ((), ()))
        same = max(0, min(len(before), len(points)) - 1)
        if before[:same] != tuple(points[:same]):
            same = 0
        made = [Dot(float(p.step), p.value, not p.complete) for p in points[same:]]
        found = (*dots[:same], *made)
        if key is not None:
            self._by_step[key] = (tuple(points), found)
        return found

    def _dots(self, points: Sequence[Point], run: int, key: Hashable = None) -> tuple[Dot, ...]:
        if not self._times:
            return self._dots_by_step(points, key)
        since_s, unit_s = self._times[run].since_first_s, self._unit_s
        return tuple(
            [
                Dot(since_s[p.step] / unit_s, p.value, not p.complete)
                for p in points
                if p.step in since_s
            ]
        )

    def _made(self, points: tuple[Point, ...], dataset: str, mode: Mode, run: int) -> Series:
        view, dots = self._view, self._dots(points, run, (dataset, mode, run))
        shape, role = (_SHAPES[mode], mode) if run == 0 else _OTHER[mode]
        if not view.span or shape in ("diamonds", "plus"):
            return Series(role, shape, dots)
        placed = [point for point in points if self.x_of(point.step, run) is not None]
        means = smoothed(placed, view.span)
        through = tuple(d._replace(y=mean) for d, mean in zip(dots, means, strict=True))
        return Series(role, shape, dots, through)

    def _series(self, dataset: str, run: int = 0) -> list[Series]:
        """Return the series of the run that is shown (0) or of one that is laid over it."""
        source = self._view.others[run - 1] if run else self._the_snapshot
        made = []
        for mode in DRAWN:
            if mode in self._view.modes:
                points = source.points(mode, dataset)
                made_from = (points, float(self._view.span), *self._placed(run))
                make = partial(self._made, points, dataset, mode, run)
                made.append(self._keep((dataset, mode, run), made_from, make))
        return made

    def _band(self, dataset: str, mode: Mode) -> Series:
        points = self._the_snapshot.points(mode, dataset)
        edges = []
        for point in points:
            x = self.x_of(point.step)
            if x is not None and point.value is not None and point.stderr is not None:
                high, low = point.value + point.stderr, point.value - point.stderr
                edges.append(Dot(x, high, low=low))
        return Series(_BANDS[mode], "band", tuple(edges))

    def _strip(self, dataset: str) -> tuple[Series, ...]:
        gold = self._the_snapshot.points("gold", dataset)
        if not gold:
            return ()
        made = []
        for mode in ("open", "closed"):
            if mode in self._view.modes:
                between = differences(self._the_snapshot.points(mode, dataset), gold)
                made.append(Series(mode, _SHAPES[mode], self._dots(between, 0)))
        return tuple(one for one in made if one.dots)

    def _y(self, dataset: str) -> Range:
        sources: list[Snapshot | OtherRun] = [self._the_snapshot, *self._view.others]
        values = [
            point.value
            for source in sources
            for mode in MODES
            for point in source.points(mode, dataset)
            if point.value is not None
        ]
        self._ranges[dataset] = score_range(values, self._ranges.get(dataset))
        return self._ranges[dataset]

    def _readout(self, dataset: str, step: int) -> tuple[tuple[Line, ...], ...]:
        """Return the rows under the cursor, each in a long and in a short form."""
        snapshot, view = self._the_snapshot, self._view
        at = ready_times(snapshot.checkpoints).get(step)
        head = line((f" step {step}", "strong"), (f" · {instant(at)}" if at else "", "dim"))
        rows: list[tuple[Line, ...]] = [(head, head[:1])]
        gold = at_step(snapshot.points("gold", dataset), step)
        for mode in view.modes:
            here = at_step(snapshot.points(mode, dataset), step)
            between = differences([here], [gold]) if mode != "gold" and here and gold else ()
            against = to_gold(between[0]) if between else ()
            letter = line(f" {mode[0].upper()} ", (f"{mode:<7}", mode))
            rows.append(
                (
                    (*letter, *values_of(here), *against),
                    line((f" {mode[0].upper()} ", mode), *values_of(here, short=True), *against),
                    line((f" {mode[0].upper()} ", mode), *values_of(here, short=True)),
                )
            )
        for number, run in enumerate(view.others, 1):
            parts = []
            for mode in view.modes:
                here = at_step(run.points(mode, dataset), step)
                parts.append(line((f"{mode[0].upper()} {words.score(here)}", mode)))
            name = line((f"   {run_name(run)}  ", "dim"))
            short = line((f" {number} ", "dim"))
            rows.append(((*name, *joined(parts, "  ")), (*short, *joined(parts, "  "))))
        return tuple(rows)


def _axis_of(snapshot: Snapshot) -> TimeAxis:
    return time_axis(ready_times(snapshot.checkpoints))


def _axis_of_other(run: OtherRun) -> TimeAxis:
    return time_axis(dict(run.ready_at))


def zoomed(span: Range, whole: Range, at: float, factor: float) -> Range | None:
    """Return a range ``factor`` times as wide around ``at``; None when that is all of it."""
    width = (span[1] - span[0]) * factor
    full = whole[1] - whole[0]
    if width >= full * 0.999:
        return None
    width = max(width, full / 256)
    low = min(max(at - width / 2, whole[0]), whole[1] - width)
    return low, low + width


def followed(span: Range, at: float) -> Range:
    """Return a zoomed range moved as little as needed to have ``at`` in it."""
    if span[0] <= at <= span[1]:
        return span
    by = at - span[1] if at > span[1] else at - span[0]
    return span[0] + by, span[1] + by
