"""What went wrong: failed and unscored items by reason, capped answers, checkpoints, events."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from ctv_engine.report.blocks import Block, Cell, Fact, Grid, Picture, Section, Sentence
from ctv_engine.report.drawing import COLOURS, INK, rendered, sheet, styled
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import counted, instant, per_cent, visible

REASONS = 50
EVENTS = 40


@dataclass(frozen=True, slots=True)
class Health:
    """Counts of items, of reasons, of checkpoints and of events."""

    items: Asked
    reasons: Asked
    checkpoints: Asked
    counted_events: Asked
    events: Asked


def read_health(snapshot: Snapshot, run_id: int) -> Health:
    """Count what did not go well."""
    items = snapshot.ask(
        "health",
        f"""
        SELECT c.step, e.mode, e.state, e.planned, count(p.id) AS answered,
               sum(p.status = 'failed') AS failed,
               sum(p.status = 'ok' AND iif(e.mode = 'closed', p.correct, p.score) IS NULL)
                   AS unscored,
               sum(p.status = 'ok' AND p.finish_reason = 'length') AS capped,
               sum(p.status = 'ok' AND p.finish_reason = 'repeat') AS repeating,
               sum(p.status = 'ok' AND trim(coalesce(p.answer, '')) = '') AS empty
        FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id AND c.run_id = {run_id}
        CROSS JOIN predictions p ON p.evaluation_id = e.id
        GROUP BY e.id ORDER BY c.step, e.id
        """,
    )
    reasons = snapshot.ask(
        "health-reasons",
        f"""
        SELECT e.mode, p.status, p.reason, count(*) AS items, min(c.step) AS first_step,
               max(c.step) AS last_step
        FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id AND c.run_id = {run_id}
        CROSS JOIN predictions p ON p.evaluation_id = e.id
        WHERE p.status = 'failed' OR iif(e.mode = 'closed', p.correct, p.score) IS NULL
        GROUP BY e.mode, p.status, p.reason
        ORDER BY items DESC, e.mode, p.reason LIMIT {REASONS}
        """,
    )
    checkpoints = snapshot.ask(
        "health-checkpoints",
        f"""
        SELECT state, reason, count(*) AS checkpoints, min(step) AS first_step,
               max(step) AS last_step
        FROM checkpoints WHERE run_id = {run_id}
        GROUP BY state, reason ORDER BY checkpoints DESC, state LIMIT {REASONS}
        """,
    )
    counted_events = snapshot.ask(
        "events",
        f"""
        SELECT level, kind, count(*) AS events, max(at) AS last_at FROM events
        WHERE coalesce(run_id, {run_id}) = {run_id} GROUP BY level, kind
        ORDER BY level, events DESC
        """,
    )
    events = snapshot.ask(
        "events-last",
        f"""
        SELECT at, level, kind, message FROM events
        WHERE coalesce(run_id, {run_id}) = {run_id} AND level <> 'info'
        ORDER BY id DESC LIMIT {EVENTS}
        """,
    )
    return Health(items, reasons, checkpoints, counted_events, events)


def health(found: Health) -> Section:
    """Return the counts, each with its reason."""
    sentences = _sentences(found)
    blocks: list[Block] = [Sentence(text, look) for text, look in sentences]
    if found.items.rows:
        blocks += [_picture(found), _modes(found)]
    if found.reasons.rows:
        blocks.append(_reasons(found))
    if found.checkpoints.rows:
        blocks.append(_checkpoints(found))
    if found.counted_events.rows:
        blocks.append(_events(found))
    if found.events.rows:
        blocks.append(_last_events(found))
    texts = tuple(text for text, _ in sentences)
    return Section("health", "Health", tuple(blocks), texts, _facts(found))


_ENDS = ("capped", "repeating")
"""Counted only where the reason why an answer ended is known, which closed answers have not."""


def _sums(found: Health) -> dict[str, dict[str, int]]:
    """Return the counts of each mode; what no row knows is not in it."""
    sums: dict[str, dict[str, int]] = defaultdict(dict)
    for row in found.items.dicts():
        for name in ("answered", "failed", "unscored", "empty", *_ENDS):
            if row[name] is not None:
                sums[row["mode"]][name] = sums[row["mode"]].get(name, 0) + row[name]
    return sums


def _share(own: dict[str, int], name: str) -> str:
    return per_cent(own[name] / own["answered"] if name in own and own["answered"] else None)


def _facts(found: Health) -> tuple[Fact, ...]:
    sums = _sums(found)
    total = sum(own["answered"] for own in sums.values())
    bad = sum(own["failed"] + own["unscored"] for own in sums.values())
    if not total:
        return ()
    look: Any = "warning" if bad else ""
    return (Fact("failed or unscored", f"{bad:,} of {total:,}", "answers of all modes", look),)


def _sentences(found: Health) -> list[tuple[str, Any]]:
    sums = _sums(found)
    if not sums:
        return [("no item has been answered yet", "dim")]
    total = sum(own["answered"] for own in sums.values())
    failed = sum(own["failed"] for own in sums.values())
    unscored = sum(own["unscored"] for own in sums.values())
    text = (
        f"{counted(total, 'answer')}: {failed:,} failed ({per_cent(failed / total)}),"
        f" {unscored:,} answered but not scored ({per_cent(unscored / total)})"
    )
    said: list[tuple[str, Any]] = [(text, "warning" if failed or unscored else "")]
    for mode in ("open", "gold"):
        if sums.get(mode, {}).get("answered"):
            own = sums[mode]
            said.append(
                (f"{mode}: {_share(own, 'capped')} of the answers cut at the limit,"
                 f" {_share(own, 'repeating')} ended for repeating themselves,"
                 f" {_share(own, 'empty')} empty", "")
            )  # fmt: skip
    levels: dict[str, int] = defaultdict(int)
    for row in found.counted_events.dicts():
        levels[row["level"]] += row["events"]
    said.append(
        (
            f"events: {counted(levels['error'], 'error')}, {counted(levels['warning'], 'warning')}",
            "",
        )
    )
    return said


def _picture(found: Health) -> Picture:
    rows = [row for row in found.items.dicts() if row["answered"]]
    with styled():
        figure = sheet(9.6, 2.6)
        left, right = figure.subplots(1, 2)
        for mode, line in (("open", ":"), ("gold", "--")):
            own = [row for row in rows if row["mode"] == mode and row["capped"] is not None]
            if own:
                left.plot(
                    [row["step"] for row in own], [row["capped"] / row["answered"] for row in own],
                    color=COLOURS[mode], linestyle=line, linewidth=1.6,
                    marker="o" if len(own) <= 40 else None, markersize=3, label=mode,
                )  # fmt: skip
        left.set_title("Answers cut at the limit")
        steps = sorted({row["step"] for row in rows})
        for name, line in (("failed", "-"), ("unscored", ":")):
            shares = []
            for step in steps:
                own = [row for row in rows if row["step"] == step]
                shares.append(sum(row[name] for row in own) / sum(row["answered"] for row in own))
            right.plot(
                steps, shares, color=INK, linestyle=line, linewidth=1.6,
                marker="s" if len(steps) <= 40 else None, markersize=3, label=name,
            )  # fmt: skip
        right.set_title("Items failed, and answered but unscored")
        for axes in (left, right):
            axes.set_xlabel("step")
            top = axes.get_ylim()[1]
            axes.set_ylim(-0.02 * max(top, 0.02), max(top, 0.02) * 1.15)
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="upper right", ncols=2)
        svg, png = rendered(figure)
    return Picture(
        "health",
        "Shares of capped, failed and unscored items by step",
        "Two line charts over the steps. " + ". ".join(text for text, _ in _sentences(found)) + ".",
        svg,
        png,
        (found.items,),
        "counts over answered",
    )


def _modes(found: Health) -> Grid:
    sums = _sums(found)
    rows: list[tuple[Cell | str, ...]] = []
    for mode in ("closed", "open", "gold"):
        own = sums.get(mode)
        if own is None:
            continue
        look: Any = mode
        cells: list[Cell | str] = [Cell(mode, "", look), Cell(f"{own['answered']:,}", "", "number")]
        for name in ("failed", "unscored", "capped", "repeating", "empty"):
            if name in own:
                cells.append(Cell(f"{own[name]:,}", _share(own, name), "number"))
            else:
                cells.append(Cell("–", "", "dim"))
        rows.append(tuple(cells))
    return Grid(
        "Items of all checkpoints",
        ("mode", "answered", "failed", "unscored", "cut at the limit", "repeating", "empty"),
        tuple(rows),
        (found.items,),
        "sums over the rows of a mode",
    )


def _reasons(found: Health) -> Grid:
    rows: list[tuple[Cell | str, ...]] = []
    for row in found.reasons.dicts():
        what = "failed" if row["status"] == "failed" else "unscored"
        rows.append(
            (
                row["mode"],
                what,
                Cell(f"{row['items']:,}", "", "number"),
                visible(row["reason"] or "no reason was stored", 300),
                _span(row),
            )
        )
    return Grid(
        f"Why items failed or were not scored (the {REASONS} most frequent reasons)",
        ("mode", "what", "items", "reason", "steps"),
        tuple(rows),
        (found.reasons,),
    )


def _checkpoints(found: Health) -> Grid:
    rows = tuple(
        (
            row["state"],
            Cell(f"{row['checkpoints']:,}", "", "number"),
            visible(row["reason"] or "", 300),
            _span(row),
        )
        for row in found.checkpoints.dicts()
    )
    heads = ("state", "checkpoints", "reason", "steps")
    return Grid("Checkpoints by state", heads, rows, (found.checkpoints,))


def _span(row: dict[str, Any]) -> str:
    first, last = row["first_step"], row["last_step"]
    return str(first) if first == last else f"{first} to {last}"


def _events(found: Health) -> Grid:
    rows = tuple(
        (
            row["level"],
            visible(row["kind"], 60),
            Cell(f"{row['events']:,}", "", "number"),
            instant(row["last_at"]),
        )
        for row in found.counted_events.dicts()
    )
    heads = ("level", "kind", "events", "last one")
    return Grid("Events by level and kind", heads, rows, (found.counted_events,))


def _last_events(found: Health) -> Grid:
    rows = tuple(
        (
            instant(row["at"]),
            Cell(row["level"], "", "warning"),
            visible(row["kind"], 60),
            visible(row["message"], 400),
        )
        for row in found.events.dicts()
    )
    return Grid(
        f"The last warnings and errors (at most {EVENTS}, newest first)",
        ("at", "level", "kind", "message"),
        rows,
        (found.events,),
        folded=len(rows) > 10,
    )
