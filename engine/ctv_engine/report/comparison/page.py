"""Runs side by side as a page, and their curves laid over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctv_engine.report.blocks import Block, Cell, Fact, Grid, Picture, Section, Sentence
from ctv_engine.report.comparison.items import Paired, compare_items
from ctv_engine.report.comparison.sides import Side, read_sides, wins
from ctv_engine.report.comparison.table import (
    Row,
    document,
    p_value,
    paired_sentence,
    plain,
    rows_of,
    settings_rows,
)
from ctv_engine.report.drawing import (
    PAPER,
    RUN_COLOURS,
    RUN_LINES,
    bare,
    rendered,
    score_limits,
    sheet,
    styled,
)
from ctv_engine.report.page import Page
from ctv_engine.report.snapshot import Asked
from ctv_engine.report.trajectories import COLUMNS, MARKED, PANELS
from ctv_engine.report.wording import counted, instant, interval, number, signed, visible
from ctv_engine.store.rows import MACRO, MODES, Mode

MARKS = "osD^vPX*"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was read of the runs, and how they differ on the same items."""

    sides: tuple[Side, ...]
    paired: tuple[Paired, ...]


def comparison_of(paths: Sequence[Path]) -> Comparison:
    """Read and compare runs.

    Raises:
        StoreError: a file that can't be read.
        NoRunError: fewer than two runs, or one without any score.
    """
    with ExitStack() as stack:
        sides = read_sides(paths, stack)
        return Comparison(tuple(sides), tuple(compare_items(sides)))


def json_of(found: Comparison) -> dict[str, Any]:
    """Return the comparison as one JSON object."""
    return document(found.sides, found.paired)


def text_of_comparison(found: Comparison) -> str:
    """Return the comparison as text."""
    heads = [side.name for side in found.sides]
    settings, versions = settings_rows(found.sides)
    parts = [plain(heads, rows_of(found.sides))]
    letters = [side.label for side in found.sides]
    for what, rows in (("settings", settings), ("versions", versions)):
        said = plain(letters, rows) if rows else "  none"
        parts.append(f"{what} that differ\n{said}")
    said = "\n".join(f"  {paired_sentence(one)}" for one in found.paired)
    parts.append(f"on the same items\n{said or '  no mode that both have'}")
    return "\n\n".join(parts) + "\n"


def page_of(found: Comparison) -> Page:
    """Return the comparison as a page."""
    sides = found.sides
    names = " and ".join(side.run.name for side in sides[:2])
    more = f" and {counted(len(sides) - 2, 'more run')}" if len(sides) > 2 else ""
    lines = tuple(
        f"{side.name}, as of {instant(side.snapshot.as_of)}, {side.file}" for side in sides
    )
    return Page(f"Comparison: {names}{more}", lines, (_runs(found), _curves(sides), _items(found)))


def _runs(found: Comparison) -> Section:
    sides = found.sides
    settings, versions = settings_rows(sides)
    every = tuple(
        asked
        for side in sides
        for asked in (
            side.scores.asked,
            side.tracked.whole,
            *side.weighed.asked,
            side.costs,
            *side.run.others,
        )
    )
    own = tuple(side.run.asked for side in sides)
    blocks: list[Block] = [
        _grid("What came out", rows_of(sides), sides, every,
              "last and best of complete macro means; best: 95 % interval; smoothed: mean of three"
              " neighbouring checkpoints; device time: mean seconds of prefill and decode of an"
              " evaluation; datasets won: at each run's best closed checkpoint, ties are nobody's"
              + "".join(sorted({side.weighed.how for side in sides}))),
    ]  # fmt: skip
    for what, rows in (("Settings", settings), ("Versions", versions)):
        if rows:
            blocks.append(_grid(f"{what} that differ", rows, sides, own, "columns of runs"))
        else:
            blocks.append(Sentence(f"{what} are the same in all runs", "dim"))
    facts = []
    won = wins(sides)
    for place, side in enumerate(sides[:8]):
        top = side.weighed.best("closed")
        if top is not None:
            small = f"best closed, step {top.step}"
            small += f" {interval(top.low, top.high, 3)}".replace("+", "")
            if won is not None:
                small += f"; ahead on {counted(won[place], 'dataset')}"
            facts.append(Fact(side.name, number(top.value), small))
    return Section("runs", "Runs", tuple(blocks), (), tuple(facts))


def _grid(
    caption: str, rows: Sequence[Row], sides: Sequence[Side], asked: tuple[Asked, ...], how: str
) -> Grid:
    heads = ("", *(side.name for side in sides))
    return Grid(caption, heads, tuple((name, *cells) for name, cells in rows), asked, how)


def _curves(sides: Sequence[Side]) -> Section:
    asked = tuple(side.scores.asked for side in sides)
    modes = [mode for mode in MODES if any(side.scores.of(mode) for side in sides)]
    pictures: list[Block] = [
        _panels(
            "macro",
            "Macro means of all runs, ± one standard error",
            [(mode, MACRO, f"{mode}, macro mean") for mode in modes],
            sides,
            asked,
        )
    ]
    datasets = sorted({name for side in sides for name in side.scores.datasets})
    pages = math.ceil(len(datasets) / PANELS)
    for page in range(pages):
        chosen = datasets[page * PANELS : (page + 1) * PANELS]
        part = f"-{page + 1}" if pages > 1 else ""
        wanted: list[tuple[Mode, str, str]] = [
            ("closed", name, visible(name, 34)) for name in chosen
        ]
        title = "Closed score of each dataset" + (f", part {page + 1} of {pages}" if part else "")
        pictures.append(_panels(f"datasets{part}", title, wanted, sides, asked))
    return Section("curves", "Trajectories", tuple(pictures))


def _panels(
    name: str,
    title: str,
    wanted: Sequence[tuple[Mode, str, str]],
    sides: Sequence[Side],
    asked: tuple[Asked, ...],
) -> Picture:
    columns = max(1, min(COLUMNS, len(wanted)))
    rows = max(1, math.ceil(len(wanted) / columns))
    with styled():
        figure = sheet(9.6, 0.6 + (3.0 if rows == 1 else 2.25) * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place < len(wanted):
                _panel(axes, sides, *wanted[place])
            else:
                axes.set_visible(False)
        handles: dict[str, Any] = {}
        for axes in grid.flat:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        labels = sorted(handles)
        figure.legend(
            [handles[label] for label in labels], labels, loc="outside lower center",
            ncols=min(4, max(1, len(labels))), handlelength=3.2,
        )  # fmt: skip
        svg, png = rendered(figure)
    shown = ", ".join(side.name for side in sides)
    alt = f"Line charts of {', '.join(panel for *_, panel in wanted)}, one line per run: {shown}."
    return Picture(f"compare-{name}", title, alt, svg, png, asked, "rows as they are")


def _panel(axes: Any, sides: Sequence[Side], mode: Mode, dataset: str, title: str) -> None:
    axes.set_title(title)
    extent: list[float] = []
    for place, side in enumerate(sides):
        points = side.scores.of(mode, dataset)
        if not points:
            continue
        colour = RUN_COLOURS[place % len(RUN_COLOURS)]
        steps, values = [p.step for p in points], [p.value for p in points]
        errors = [p.stderr or 0.0 for p in points]
        low = [v - e for v, e in zip(values, errors, strict=True)]
        high = [v + e for v, e in zip(values, errors, strict=True)]
        axes.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(
            steps, values, color=colour, linestyle=RUN_LINES[place % len(RUN_LINES)], linewidth=1.6,
            marker=MARKS[place % len(MARKS)] if len(points) <= MARKED else None, markersize=3.4,
            markevery=[n for n, p in enumerate(points) if p.complete], label=visible(side.name, 40),
        )  # fmt: skip
        partial = [p for p in points if not p.complete]
        axes.plot(
            [p.step for p in partial], [p.value for p in partial], linestyle="none",
            marker=MARKS[place % len(MARKS)], markersize=6, markerfacecolor=PAPER,
            markeredgecolor=colour,
        )  # fmt: skip
        extent += low + high
    if not extent:
        bare(axes, "no score")
        return
    axes.set_ylim(*score_limits(extent))
    axes.set_xlabel("step")


def _items(found: Comparison) -> Section:
    sentences = [paired_sentence(one) for one in found.paired]
    blocks: list[Block] = []
    if len(found.sides) > 2:
        text = f"each run against {found.sides[0].name}; intervals and p are not corrected for the"
        blocks.append(Sentence(f"{text} number of comparisons", "dim"))
    if any(side.run.versions.get("questions") != found.sides[0].run.versions.get("questions")
           for side in found.sides):  # fmt: skip
        text = "the wording of the questions differs between versions (row questions of Versions)"
        blocks.append(Sentence(text, "warning"))
    if not found.paired:
        sentences = ["no mode that both runs have"]
        blocks.append(Sentence(sentences[0], "dim"))
    for one in found.paired:
        if one.difference is None:
            blocks.append(Sentence(paired_sentence(one), "warning"))
    rows = [_row(one) for one in found.paired if one.difference is not None]
    if rows:
        asked = {one.name: one for pair in found.paired for one in pair.asked}
        blocks.append(
            Grid(
                "Score of the second run less that of the first, on the items that both answered",
                ("runs", "mode", "which checkpoints", "steps", "difference", "p", "items",
                 "only first right", "only second right", "McNemar p"),
                tuple(rows),
                tuple(asked.values()),
                "difference of macro means with a 95 % interval, paired bootstrap over images"
                " within each dataset (ctv_engine.stats.comparison); McNemar's exact test on right"
                " and wrong takes items as independent. Best against best was chosen on these very"
                " items and flatters both",
            )
        )  # fmt: skip
    return Section("items", "On the same items", tuple(blocks), tuple(sentences))


def _steps(steps: tuple[int, int]) -> str:
    return str(steps[0]) if steps[0] == steps[1] else f"{steps[1]}\u00a0/\u00a0{steps[0]}"


def _row(one: Paired) -> tuple[Cell | str, ...]:
    assert one.difference is not None and one.steps is not None
    found, told = one.difference, one.mcnemar
    ends = interval(found.low, found.high, 3)
    chance = "" if found.low > 0 or found.high < 0 else ", may be chance"
    look: Any = one.mode
    tail = ("–", "–", "–") if told is None else (
        f"{told.only_before:,}", f"{told.only_after:,}", p_value(told.p)
    )  # fmt: skip
    return (
        f"{one.second}\u00a0−\u00a0{one.first}",
        Cell(one.mode, "", look),
        one.which,
        _steps(one.steps),
        Cell(signed(found.value, 3), ends + chance, "number"),
        p_value(found.p).replace(" ", "\u00a0"),
        f"{found.n:,}",
        *tail,
    )
