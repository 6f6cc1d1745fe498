"""The runs as a table: a row for each number, a column for each run."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

from ctv_engine.report.comparison.items import Paired
from ctv_engine.report.comparison.sides import Side, differing, wins
from ctv_engine.report.wording import (
    FEW,
    NONE,
    counted,
    instant,
    interval,
    number,
    score,
    seconds,
    signed,
    visible,
)
from ctv_engine.store.rows import MACRO, MODES, Mode

Row = tuple[str, list[str]]
PROXIES: tuple[Mode, Mode] = ("closed", "open")


def rows_of(sides: Sequence[Side]) -> list[Row]:
    """Return what is known of every run."""
    rows: list[Row] = [
        ("file", [side.file for side in sides]),
        ("state", [side.run.state(side.snapshot.as_of) for side in sides]),
    ]
    for mode in MODES:
        if not any(side.scores.of(mode) for side in sides):
            continue
        rows.append((f"{mode}, last", [_last(side, mode) for side in sides]))
        rows.append((f"{mode}, best", [_best(side, mode) for side in sides]))
        if mode == "closed":
            rows.append(("closed, best smoothed", [_smoothed(side) for side in sides]))
    for proxy in PROXIES:
        if any(side.scores.of("gold") for side in sides):
            rows.append((f"r of {proxy} with gold", [_r(side, proxy) for side in sides]))
            rows.append((f"{proxy} orders as gold", [_pairs(side, proxy) for side in sides]))
    for mode in MODES:
        if any(side.device_s(mode) is not None for side in sides):
            cells = [seconds(side.device_s(mode)) for side in sides]
            rows.append((f"device time, {mode}", cells))
    won = wins(sides)
    if won is not None:
        of = len(sides[0].scores.datasets)
        rows.append(("datasets won, closed", [f"{one} of {of}" for one in won]))
    return rows


def _last(side: Side, mode: Mode) -> str:
    points = side.scores.complete(mode)
    if not points:
        return NONE
    last = points[max(points)]
    return f"{score(last.value, last.stderr)} at {last.step}"


def _best(side: Side, mode: Mode) -> str:
    top = side.weighed.best(mode)
    if top is None:
        return NONE
    ends = interval(top.low, top.high, 3).replace("+", "")
    return f"{number(top.value)} {ends} at {top.step}".replace("  ", " ")


def _smoothed(side: Side) -> str:
    found = side.weighed.best_smoothed("closed")
    return NONE if found is None else f"{number(found[1])} at {found[0]}"


def _r(side: Side, proxy: Mode) -> str:
    for row in side.tracked.whole.dicts():
        if (row["scope"], row["proxy"], row["method"]) == (MACRO, proxy, "pearson"):
            if row["r"] is None:
                return f"{NONE} ({visible(row['reason'], 40)}, n={row['n']})"
            few = ", few" if row["n"] < FEW else ""
            ends = interval(row["low"], row["high"])
            return f"{signed(row['r'])} {ends} n={row['n']}{few}".replace("  ", " ")
    return NONE


def _pairs(side: Side, proxy: Mode) -> str:
    found = side.weighed.standing(proxy)
    if found is None or not found.pairs:
        return NONE
    few = ", few" if found.n < FEW else ""
    return f"{found.agreeing:,} of {found.pairs:,} pairs{few}"


def settings_rows(sides: Sequence[Side]) -> tuple[list[Row], list[Row]]:
    """Return the settings and the versions that are not the same in all runs."""
    settings = differing([side.run.settings for side in sides])
    versions = differing([side.run.versions for side in sides])
    return _shown(settings), _shown(versions)


def _shown(found: dict[str, list[object]]) -> list[Row]:
    return [
        (visible(name, 40), [NONE if one is None else _value(one) for one in values])
        for name, values in found.items()
    ]


def _value(value: object) -> str:
    return visible(value if isinstance(value, str) else json.dumps(value), 120)


def paired_sentence(one: Paired) -> str:
    """Return what a comparison on the same items says."""
    head = f"{one.second} against {one.first}, {one.mode}, {one.which}"
    if one.difference is None or one.steps is None:
        return f"{head}: not comparable; {one.reason}"
    found = one.difference
    steps = f"step {one.steps[0]}" if one.steps[0] == one.steps[1] else (
        f"steps {one.steps[1]} and {one.steps[0]}"
    )  # fmt: skip
    text = (
        f"{head} ({steps}): {signed(found.value, 3)} {interval(found.low, found.high, 3)},"
        f" p {p_value(found.p)}, {counted(found.n, 'item')}"
    )
    if one.mcnemar is not None:
        text += (
            f"; only {one.first} right {one.mcnemar.only_before}, only {one.second} right"
            f" {one.mcnemar.only_after}, McNemar p {p_value(one.mcnemar.p)}"
        )
    return text + ("" if found.low > 0 or found.high < 0 else "; may be chance")


def p_value(p: float) -> str:
    """Return a probability as ``0.031``, or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plain(heads: Sequence[str], rows: Sequence[Row]) -> str:
    """Return rows in aligned columns."""
    lines = [("", list(heads)), *rows]
    widths = [max(_width(name) for name, _ in lines)]
    widths += [max(_width(cells[n]) for _, cells in lines) for n in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell))
            for cell, width in zip([name, *cells], widths, strict=True)
        ).rstrip()
        for name, cells in lines
    )


def _width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def document(sides: Sequence[Side], paired: Sequence[Paired]) -> dict[str, Any]:
    """Return everything as one JSON object; what is missing is null."""
    won = wins(sides)
    return {
        "runs": [
            {
                "label": side.label,
                "file": str(side.snapshot.path.resolve()),
                "as_of": side.snapshot.as_of,
                "as_of_utc": instant(side.snapshot.as_of),
                "run_id": side.run.run_id,
                "name": side.run.row["name"],
                "suite_digest": side.run.row["suite_digest"],
                "gold_digest": side.run.row["gold_digest"],
                "scores": {mode: _score_document(side, mode) for mode in MODES},
                "correlation": [row for row in side.tracked.whole.dicts() if row["scope"] == MACRO],
                "device_s_per_evaluation": {mode: side.device_s(mode) for mode in MODES},
                "makespan_s_per_evaluation": {mode: side.makespan_s(mode) for mode in MODES},
                "datasets_won": None if won is None else won[place],
            }
            for place, side in enumerate(sides)
        ],
        "settings_that_differ": differing([side.run.settings for side in sides]),
        "versions_that_differ": differing([side.run.versions for side in sides]),
        "same_items": [
            {
                "first": one.first,
                "second": one.second,
                "mode": one.mode,
                "which": one.which,
                "steps": one.steps,
                "difference": None if one.difference is None else _fields(one.difference),
                "mcnemar": None if one.mcnemar is None else _fields(one.mcnemar),
                "reason": one.reason,
            }
            for one in paired
        ],
    }


def _score_document(side: Side, mode: Mode) -> dict[str, Any] | None:
    points = side.scores.complete(mode)
    top = side.weighed.best(mode)
    if top is None or not points:
        return None
    last = points[max(points)]
    smooth = side.weighed.best_smoothed(mode)
    return {
        "last": {"step": last.step, "value": last.value, "stderr": last.stderr, "n": last.n},
        "best": {"step": top.step, "value": top.value, "low": top.low, "high": top.high,
                 "may_be_best": None if top.tied is None else list(top.tied)},
        "best_smoothed": None if smooth is None else {"step": smooth[0], "value": smooth[1]},
    }  # fmt: skip


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}
