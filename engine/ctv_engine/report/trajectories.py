"""How every score moves over training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ctv_engine.report.blocks import Block, Cell, Fact, Grid, Picture, Section, Sentence
from ctv_engine.report.drawing import (
    COLOURS,
    DIM,
    LETTERS,
    LINES,
    MARKERS,
    PAPER,
    bare,
    rendered,
    score_limits,
    sheet,
    styled,
)
from ctv_engine.report.evidence import Best, Weighed
from ctv_engine.report.series import Point, Scores
from ctv_engine.report.wording import (
    counted,
    interval,
    number,
    score,
    signed,
    steps_in_words,
    visible,
)
from ctv_engine.store.rows import MACRO, MODES, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 12
COLUMNS = 3
MARKED = 40
"""A line of more points is drawn without a mark at each."""

WHAT = {
    "closed": "closed: share of items whose key has the most probable letter",
    "open": "open: score of the written answers",
    "gold": "gold: score on the gold suite",
}


def trajectories(scores: Scores, weighed: Weighed) -> Section:
    """Return curves of the macro mean and of each dataset, and the numbers behind them."""
    sentences = _sentences(scores, weighed)
    blocks: list[Block] = [Sentence(text) for text in sentences]
    if scores.untold:
        words = counted(scores.untold, "score")
        blocks.append(Sentence(f"{words} without a finite number: left out", "warning"))
    blocks.append(_macro_picture(scores))
    blocks += _dataset_pictures(scores)
    blocks += [_latest(scores), _numbers(scores, weighed)]
    return Section("trajectories", "Trajectories", tuple(blocks), tuple(sentences), _facts(weighed))


def _facts(weighed: Weighed) -> tuple[Fact, ...]:
    facts = []
    for mode in MODES:
        top = weighed.best(mode)
        if top is not None:
            small = _with_ends(top)
            if top.tied is not None:
                small += f"; {len(top.tied)} of {top.of} may be the best"
            facts.append(Fact(f"best checkpoint by {mode}", f"step {top.step}", small, mode))
    return tuple(facts)


def _with_ends(top: Best) -> str:
    ends = interval(top.low, top.high, 3).replace("+", "")
    return f"{number(top.value)} {ends}".rstrip()


def _sentences(scores: Scores, weighed: Weighed) -> list[str]:
    found: list[str] = []
    for mode in MODES:
        top = weighed.best(mode)
        if top is None:
            continue
        text = f"best checkpoint by {mode}: step {top.step} with {_with_ends(top)}"
        others = [step for step in top.tied or () if step != top.step]
        if top.tied is None:
            text += f"; {visible(top.reason or 'which others might be is not known')}"
        elif others:
            text += f"; of {top.of} it can't be told apart from {steps_in_words(others)}"
        elif top.of > 1:
            text += f", ahead of the other {top.of - 1} beyond noise"
        smooth = weighed.best_smoothed(mode) if mode == "closed" else None
        if smooth is not None:
            text += f"; smoothed over three checkpoints: step {smooth[0]} with {number(smooth[1])}"
        found.append(text)
    if not found:
        found.append("no evaluation has ended with a macro mean yet: there is no best checkpoint")
    if not scores.of("gold") and "gold" not in scores.modes:
        found.append(
            "this run has no gold scores: nothing says how far closed and open can be trusted"
        )
    return found


def _macro_picture(scores: Scores) -> Picture:
    gold = {point.step: point for point in scores.of("gold")}
    has_strip = bool(gold)
    with styled():
        figure = sheet(9.6, 4.9 if has_strip else 3.6)
        grid = figure.add_gridspec(
            2 if has_strip else 1, 1, height_ratios=[3.2, 1][: 1 + has_strip]
        )
        axes = figure.add_subplot(grid[0])
        _panel(axes, scores, MACRO, labelled=True)
        axes.set_ylabel("macro mean")
        axes.set_title("Macro mean over datasets, ± one standard error")
        if has_strip:
            strip = figure.add_subplot(grid[1], sharex=axes)
            for mode in ("closed", "open"):
                pairs = [
                    (p.step, p.value - gold[p.step].value)
                    for p in scores.of(mode)
                    if p.step in gold
                ]
                strip.plot(
                    [step for step, _ in pairs], [value for _, value in pairs], color=COLOURS[mode],
                    linestyle=LINES[mode], marker=MARKERS[mode], markersize=3, linewidth=1.4,
                )  # fmt: skip
            strip.axhline(0.0, color=DIM, linewidth=0.8)
            strip.set_ylabel("minus gold")
            strip.set_xlabel("step")
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel("step")
        svg, png = rendered(figure)
    return Picture(
        "trajectory-macro",
        "Macro mean of closed, open and gold by step",
        _macro_alt(scores),
        svg,
        png,
        (scores.asked,),
        "rows of the dataset macro as they are; the strip below is closed and open minus gold of"
        " the same step"
        if has_strip
        else "rows of the dataset macro as they are",
    )


def _macro_alt(scores: Scores) -> str:
    parts = []
    for mode in scores.modes:
        points = scores.of(mode)
        if points:
            first, last = points[0], points[-1]
            parts.append(
                f"{mode} goes from {number(first.value)} at step {first.step}"
                f" to {number(last.value)} at step {last.step}"
            )
    return "Line chart. " + ("; ".join(parts) + "." if parts else "No macro mean yet.")


def _dataset_pictures(scores: Scores) -> list[Picture]:
    pictures = []
    names = scores.datasets
    pages = math.ceil(len(names) / PANELS)
    for page in range(pages):
        chosen = names[page * PANELS : (page + 1) * PANELS]
        columns = min(COLUMNS, len(chosen))
        rows = math.ceil(len(chosen) / columns)
        with styled():
            figure = sheet(9.6, 0.6 + 2.25 * rows)
            grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
            for place, axes in enumerate(grid.flat):
                if place >= len(chosen):
                    axes.set_visible(False)
                    continue
                _panel(axes, scores, chosen[place], labelled=False)
                axes.set_title(visible(chosen[place], 34))
                if place + columns >= len(chosen):
                    axes.set_xlabel("step")
                    axes.tick_params(labelbottom=True)
            _shared_legend(figure, grid.flat[: len(chosen)])
            svg, png = rendered(figure)
        number_of = f"-{page + 1}" if pages > 1 else ""
        shown = ", ".join(visible(name, 40) for name in chosen)
        pictures.append(
            Picture(
                f"trajectories{number_of}",
                "Closed, open and gold of each dataset by step"
                + (f", part {page + 1} of {pages}" if pages > 1 else ""),
                f"Small line charts, one per dataset: {shown}. The numbers are in the table below.",
                svg,
                png,
                (scores.asked,),
                f"rows of each dataset as they are; of gold at most {MARKED} are marked",
            )
        )
    return pictures


_ORDER = "COGc"
"""Series in a legend, by the first letter of their label."""


def _shared_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label if label[0] == "c" else label.partition(":")[0], handle)
    labels = sorted(handles, key=lambda label: _ORDER.find(label[0]))
    if labels:
        figure.legend(
            [handles[label] for label in labels], labels, loc="outside lower center",
            ncols=len(labels), handlelength=3.2,
        )  # fmt: skip


def _panel(axes: Axes, scores: Scores, dataset: str, *, labelled: bool) -> None:
    shown: list[Point] = []
    soft = scores.gold_prob.get(dataset, ())
    if soft:
        axes.plot(
            [p.step for p in soft], [p.value for p in soft], color=COLOURS["closed"],
            linestyle=(0, (6, 2)), linewidth=0.9, alpha=0.6,
            label="closed: probability of the key among the options",
        )  # fmt: skip
        shown += soft
    for mode in ("gold", "closed", "open"):
        points = scores.of(mode, dataset)
        if points:
            _line(axes, mode, points)
            shown += points
    if not shown:
        bare(axes, "no score yet")
        return
    axes.set_ylim(*score_limits(_extent(shown)))
    if labelled:
        handles, labels = axes.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda n: _ORDER.find(labels[n][0]))
        axes.legend(
            [handles[n] for n in order], [labels[n] for n in order], loc="best", handlelength=3.2
        )


def _line(axes: Axes, mode: Mode, points: Sequence[Point]) -> None:
    colour = COLOURS[mode]
    steps = [p.step for p in points]
    marked = len(points) <= MARKED
    gold = mode == "gold"
    label = f"{LETTERS[mode]}  {WHAT[mode]}"
    style: dict[str, Any] = {"color": colour, "label": label}
    if gold:
        points = sparse(points)
        steps = [p.step for p in points]
        axes.errorbar(
            steps, [p.value for p in points], yerr=[p.stderr or 0.0 for p in points], fmt="none",
            ecolor=colour, elinewidth=1.0, zorder=4,
        )  # fmt: skip
        style |= {"linestyle": "none", "zorder": 5}
    else:
        banded = [p for p in points if p.stderr is not None]
        axes.fill_between(
            [p.step for p in banded],
            [p.value - (p.stderr or 0.0) for p in banded],
            [p.value + (p.stderr or 0.0) for p in banded],
            color=colour, alpha=0.16, linewidth=0,
        )  # fmt: skip
        style |= {"linestyle": LINES[mode], "linewidth": 1.8, "zorder": 3}
    whole = [n for n, p in enumerate(points) if p.complete]
    marks: dict[str, Any] = {
        "marker": MARKERS[mode],
        "markersize": 4.5 if gold else 3.6,
        "markevery": whole,
    }
    axes.plot(steps, [p.value for p in points], **style, **(marks if marked or gold else {}))
    partial = [p for p in points if not p.complete]
    if partial:
        axes.plot(
            [p.step for p in partial], [p.value for p in partial], linestyle="none",
            marker=MARKERS[mode], markersize=6, markerfacecolor=PAPER, markeredgecolor=colour,
            markeredgewidth=1.4, zorder=6, label=f"{LETTERS[mode]}  not complete yet",
        )  # fmt: skip


def sparse(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most ``MARKED`` points, evenly spread, the last one among them."""
    every = -(-len(points) // MARKED)
    return points[::-1][::every][::-1]


def _extent(points: Sequence[Point]) -> list[float]:
    return [p.value + sign * (p.stderr or 0.0) for p in points for sign in (-1, 1)]


def _latest(scores: Scores) -> Grid:
    """Return the last complete score of each dataset and its change since the first."""
    rows: list[tuple[Cell | str, ...]] = []
    for dataset in (MACRO, *scores.datasets):
        cells: list[Cell | str] = ["macro mean" if dataset == MACRO else visible(dataset, 60)]
        for mode in MODES:
            points = [p for p in scores.of(mode, dataset) if p.complete]
            if not points:
                cells.append(Cell("–", "", "dim"))
                continue
            last, first = points[-1], points[0]
            small = f"step {last.step}, n={last.n}"
            if len(points) > 1:
                small += f", {signed(last.value - first.value, 3)} since step {first.step}"
            cells.append(Cell(score(last.value, last.stderr), small, mode))
        rows.append(tuple(cells))
    return Grid(
        "Last complete score of each dataset, ± one standard error",
        ("dataset", "closed", "open", "gold"),
        tuple(rows),
        (scores.asked,),
        "rows with state done: the one with the largest step, and its difference from the first",
    )


def _numbers(scores: Scores, weighed: Weighed) -> Grid:
    """Return the macro mean of every checkpoint, and which of them may be the best."""
    tops = {mode: weighed.best(mode) for mode in MODES}
    tied = {mode: (top.tied or ()) if top is not None else () for mode, top in tops.items()}
    by_mode = {mode: {p.step: p for p in scores.of(mode)} for mode in MODES}
    soft = {p.step: p for p in scores.gold_prob.get(MACRO, ())}
    steps = sorted({step for points in by_mode.values() for step in points})
    rows: list[tuple[Cell | str, ...]] = []
    for step in steps:
        cells: list[Cell | str] = [Cell(str(step), "", "number")]
        for mode in MODES:
            point = by_mode[mode].get(step)
            if point is None:
                cells.append(Cell("–", "", "dim"))
                continue
            mark = "" if point.complete else ", not complete"
            mark += ", may be the best" if point.complete and step in tied[mode] else ""
            cells.append(Cell(score(point.value, point.stderr), f"n={point.n}{mark}", mode))
        cells.append(Cell(number(soft[step].value) if step in soft else "–", "", "number"))
        rows.append(tuple(cells))
    return Grid(
        f"Macro mean at each of {counted(len(steps), 'checkpoint')}",
        ("step", "closed", "open", "gold", "key's probability"),
        tuple(rows),
        (scores.asked, *weighed.asked[1:]),
        "rows of the dataset macro as they are; what may be the best can't be told apart from the"
        f" best on the same items (ctv_engine.stats.choice){weighed.how}",
        folded=len(steps) > 12,
    )
