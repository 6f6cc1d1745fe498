"""Charts of how a proxy follows gold: its rolling correlation, and proxy against gold."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.store.rows import MACRO, Mode
from ctv_tui.data import Snapshot, words
from ctv_tui.data.curves import is_known
from ctv_tui.data.snapshot import FEW, Correlation, Point
from ctv_tui.data.text import scope_name
from ctv_tui.theme import Role
from ctv_tui.widgets.axes import Range, score_label, score_range
from ctv_tui.widgets.chart import Chart, ChartData
from ctv_tui.widgets.lines import Line, centred, line
from ctv_tui.widgets.plot import plot
from ctv_tui.widgets.raster import LABEL_WIDTH
from ctv_tui.widgets.series import Dot, Series, Shape

PROXIES: tuple[Mode, ...] = ("closed", "open")
_BANDS: dict[Mode, Role] = {"closed": "closed-band", "open": "open-band"}
_SCATTER: tuple[tuple[Mode, Shape, Shape], ...] = (
    ("open", "crosses", "last cross"),
    ("closed", "discs", "last disc"),
)
_R: Range = (-1.0, 1.0)
_NONE_BOTH = "no checkpoint has a complete score of both"


class PlotextChart(Chart):
    """A chart that plotext draws, with n or a legend in a row under it."""

    def body(self, data: ChartData, width: int, height: int) -> list[Line]:
        """Return what stands in the frame."""
        if not data.has_points:
            return centred(data.empty, width, height)
        foot = counts_row(data.counts, data.x, width) if data.counts else data.foot
        rows = plot(data.series, data.x, data.y, width, height - 1, x_label=data.x_label)
        return [*rows, foot]


def counts_row(counts: Sequence[tuple[float, int]], x: Range, width: int) -> Line:
    """Return n under every point that there is room for, the last one first."""
    columns = width - LABEL_WIDTH - 1
    cells = [" "] * columns
    for at, count in reversed(counts):
        text = str(count)
        middle = round((at - x[0]) * (columns - 1) / ((x[1] - x[0]) or 1.0))
        start = min(max(0, middle - len(text) // 2), columns - len(text))
        around = cells[max(0, start - 1) : start + len(text) + 1]
        if 0 <= middle < columns and all(cell == " " for cell in around):
            cells[start : start + len(text)] = text
    return line(("n".rjust(LABEL_WIDTH) + " ", "dim"), ("".join(cells), "dim"))


def _of_whom(scope: str) -> str:
    return "" if scope == MACRO else f" · {scope_name(scope)}"


def rolling_chart(snapshot: Snapshot, scope: str, proxy: Mode, steps: Range) -> ChartData:
    """Return a proxy's rolling r with its interval as a band; hollow where n is small."""
    found = [c for c in snapshot.rolling_of(scope) if c.proxy == proxy]
    known = scope != MACRO and snapshot.rolling
    edges = tuple(Dot(float(c.step), c.high, low=c.low) for c in found)
    dots = tuple(Dot(float(c.step), c.r, hollow=c.n < FEW) for c in found)
    rights: tuple[Line, ...] = ()
    if found:
        last = found[-1]
        now = line((f"{words.signed(last.r)} n={last.n}", proxy))
        rights = (line((f"last {last.window} checkpoints: ", "dim"), *now), now)
    return ChartData(
        title=line((f"r of {proxy} with gold", "title"), _of_whom(scope)),
        rights=rights,
        series=(Series(_BANDS[proxy], "band", edges), Series(proxy, "solid", dots)),
        x=steps,
        y=_R,
        empty=empty_sentence(snapshot, found or (None if known else ())),
        counts=tuple((float(c.step), c.n) for c in found),
    )


def scatter_chart(snapshot: Snapshot, scope: str, before: tuple[Range, Range] | None) -> ChartData:
    """Return both proxies against gold, a point a checkpoint, the last one marked.

    ``before`` are the ranges of the last time, kept as long as everything fits.
    """
    golds = {name: complete(points) for name, points in snapshot.golds(scope).items()}
    series: list[Series] = []
    xs: list[float] = []
    ys: list[float] = []
    steps: list[int] = []
    for proxy, shape, last_shape in _SCATTER:
        both = [
            (step, Dot(gold[step], value))
            for dataset, gold in golds.items()
            for step, value in complete(snapshot.points(proxy, dataset)).items()
            if step in gold
        ]
        last_step = max((step for step, _ in both), default=None)
        steps += [step for step, _ in both]
        xs += [dot.x for _, dot in both]
        ys += [dot.y for _, dot in both if dot.y is not None]
        before_it = tuple(dot for step, dot in both if step != last_step)
        at_it = tuple(dot for step, dot in both if step == last_step)
        series += [Series(proxy, shape, before_it), Series(proxy, last_shape, at_it)]
    last = line((f"  ◉ ⊗ step {max(steps)}", "dim")) if steps else ()
    legend = line("  ", ("● closed", "closed"), ("  × open", "open"), *last)
    return ChartData(
        title=line(("proxy against gold", "title"), _of_whom(scope)),
        rights=(line((f"n={len(set(steps))}", "dim")),) if xs else (),
        series=tuple(series),
        x=score_range(xs, before[0] if before else None),
        y=score_range(ys, before[1] if before else None),
        empty=_NONE_BOTH if any(golds.values()) else empty_sentence(snapshot),
        x_label=score_label,
        foot=legend,
    )


def complete(points: Sequence[Point]) -> dict[int, float]:
    """Return the complete scores by step."""
    return {p.step: p.value for p in points if p.complete and is_known(p) and p.value is not None}


def empty_sentence(snapshot: Snapshot, found: Sequence[Correlation] | None = ()) -> str:
    """Return why there is nothing to draw."""
    if found is None:
        return "the engine has written no rolling r of this dataset"
    if found and found[-1].reason:
        return f"no r yet: {found[-1].reason}"
    if snapshot.run is not None and snapshot.run.gold_digest is None:
        return "this run has no gold suite (--gold DIR): nothing to correlate with"
    return "waiting for checkpoints that have a gold score…"
