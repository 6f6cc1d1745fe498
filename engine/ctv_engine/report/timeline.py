"""Who waited for whom: the spans of every worker in both evaluations of a checkpoint."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctv_engine.report.blocks import Block, Cell, Fact, Grid, Picture, Section, Sentence
from ctv_engine.report.drawing import (
    DECODE,
    INK,
    INPUT,
    LOAD,
    PAPER,
    PREFILL,
    SCORE,
    rendered,
    sheet,
    styled,
)
from ctv_engine.report.looked_at import LookedAt
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import number, per_cent, seconds, visible

KINDS = {"load": LOAD, "input": INPUT, "prefill": PREFILL, "decode": DECODE, "score": SCORE}
LANES = 64
TOGETHER_SHARE = 0.25
"""Evaluations that share more of the shorter one's time than this were answered together."""
_PIXELS = 1500
"""Gaps that are a smaller part of the axis than one of so many are not drawn."""


@dataclass(frozen=True, slots=True)
class Times:
    """The spans of a checkpoint, who waited, and the idle fraction of every evaluation."""

    at: LookedAt | None
    spans: Asked | None
    balance: Asked | None
    every: Asked


def read_times(snapshot: Snapshot, run_id: int, at: LookedAt | None) -> Times:
    """Read where the workers' time went."""
    every = snapshot.ask(
        "balance",
        f"""
        SELECT c.step, e.mode, e.makespan_s, e.ideal_s, e.idle_fraction, e.schedule
        FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id
        WHERE c.run_id = {run_id} AND e.state = 'done' ORDER BY c.step, e.mode
        """,
    )
    if at is None:
        return Times(None, None, None, every)
    spans = snapshot.ask(
        "timeline",
        f"""
        SELECT e.mode, w.id AS worker_id, w.device, s.kind, s.batch_id, s.started_at, s.ended_at
        FROM spans s JOIN evaluations e ON e.id = s.evaluation_id
        JOIN workers w ON w.id = s.worker_id
        WHERE s.evaluation_id IN ({at.ids}) ORDER BY w.id, s.started_at
        """,
    )
    balance = snapshot.ask(
        "timeline-wait",
        f"""
        SELECT mode, worker_id, device, host, began, ended, busy_s, last_end, wait_s
        FROM gpu_balance WHERE evaluation_id IN ({at.ids}) ORDER BY worker_id, mode
        """,
    )
    return Times(at, spans, balance, every)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of time in which one evaluation ran, or both together. Epoch seconds.

    ``busy_s``, ``last_end`` and ``wait_s`` are by worker.
    """

    modes: tuple[str, ...]
    began: float
    ended: float
    busy_s: dict[int, float]
    last_end: dict[int, float]
    wait_s: dict[int, float]

    @property
    def idle(self) -> float | None:
        """Wait over busy and wait."""
        waited, worked = math.fsum(self.wait_s.values()), math.fsum(self.busy_s.values())
        return waited / (waited + worked) if waited + worked > 0 else None

    @property
    def imbalance(self) -> float | None:
        """The busiest worker's seconds over the mean worker's."""
        worked = math.fsum(self.busy_s.values())
        return max(self.busy_s.values()) * len(self.busy_s) / worked if worked > 0 else None


def parts_of(balance: Asked) -> list[Part]:
    """Return the parts in the order of time; evaluations that were answered together are one."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in balance.dicts():
        if row["ended"] is not None and row["ended"] > row["began"]:
            rows[row["mode"]].append(row)
    alone = [_part((mode,), own) for mode, own in rows.items()]
    alone.sort(key=lambda part: part.began)
    if len(alone) == 2:
        one, two = alone
        shared = min(one.ended, two.ended) - max(one.began, two.began)
        if shared > TOGETHER_SHARE * min(one.ended - one.began, two.ended - two.began):
            return [_joined(one, two)]
    return alone


def _part(modes: tuple[str, ...], rows: Sequence[dict[str, Any]]) -> Part:
    return Part(
        modes,
        min(row["began"] for row in rows),
        max(row["ended"] for row in rows),
        {row["worker_id"]: row["busy_s"] for row in rows},
        {row["worker_id"]: row["last_end"] for row in rows},
        {row["worker_id"]: row["wait_s"] for row in rows},
    )


def _joined(one: Part, two: Part) -> Part:
    """Join two evaluations: wait is the time from a worker's last span of either to the end."""
    workers = sorted({*one.busy_s, *two.busy_s})
    ended = max(one.ended, two.ended)
    last = {
        worker: max(part.last_end.get(worker, -math.inf) for part in (one, two))
        for worker in workers
    }
    return Part(
        ("closed", "open"),
        min(one.began, two.began),
        ended,
        {w: one.busy_s.get(w, 0.0) + two.busy_s.get(w, 0.0) for w in workers},
        last,
        {w: max(0.0, ended - last[w]) for w in workers},
    )


def timeline(times: Times) -> Section:
    """Return the time lines and what waiting cost at every checkpoint."""
    sentences = _sentences(times)
    blocks: list[Block] = []
    if times.at is not None and times.balance is not None and times.spans is not None:
        parts = parts_of(times.balance)
        if parts:
            sentences = [*_of_parts(times.at, parts), *sentences]
            blocks = [_picture(times, parts), _table(times, parts)]
        else:
            sentences.insert(0, f"no spans were recorded at {times.at.name}: no time line")
    shown = [Sentence(text) for text in sentences]
    return Section(
        "timeline",
        "Who waited for whom?",
        (*shown, *blocks),
        tuple(sentences),
        _facts(times),
    )


def _facts(times: Times) -> tuple[Fact, ...]:
    rows = [row for row in times.every.dicts() if row["idle_fraction"] is not None]
    said = [
        (mode, math.fsum(own) / len(own))
        for mode in ("closed", "open")
        if (own := [row["idle_fraction"] for row in rows if row["mode"] == mode])
    ]
    if not said:
        return ()
    value = " / ".join(per_cent(share) for _, share in said)
    modes = " and ".join(mode for mode, _ in said)
    return (Fact("workers waited", value, f"of the time of {modes}, mean of all evaluations"),)


def _of_parts(at: LookedAt, parts: Sequence[Part]) -> list[str]:
    found = []
    for part in parts:
        text = f"{' and '.join(part.modes)} of {at.name}"
        if len(part.modes) > 1:
            text += ", answered together"
        text += f": {seconds(part.ended - part.began)}, idle {per_cent(part.idle)}"
        if part.imbalance is not None and len(part.busy_s) > 1:
            text += f", busiest worker {number(part.imbalance, 2)} times the mean"
        found.append(text)
    return found


def _sentences(times: Times) -> list[str]:
    found = []
    for mode in ("closed", "open", "gold"):
        own = [row for row in times.every.dicts() if row["mode"] == mode]
        idle = [row["idle_fraction"] for row in own if row["idle_fraction"] is not None]
        spans = [row["makespan_s"] for row in own if row["makespan_s"] is not None]
        if idle and spans:
            found.append(
                f"{mode}, mean of {len(own)} evaluations: {seconds(math.fsum(spans) / len(spans))},"
                f" idle {per_cent(math.fsum(idle) / len(idle))}"
            )
    return found or ["no evaluation has ended yet: nothing is known about balance"]


def _names(balance: Asked) -> dict[int, str]:
    """Return every worker's device, with its machine where there are several."""
    rows = balance.dicts()
    several = len({row["host"] for row in rows}) > 1
    return {
        row["worker_id"]: f"{row['host']} {row['device']}" if several else row["device"]
        for row in rows
    }


def _picture(times: Times, parts: Sequence[Part]) -> Picture:
    assert times.spans is not None and times.balance is not None and times.at is not None
    devices = _names(times.balance)
    workers = sorted(devices)[:LANES]
    lanes = {worker: place for place, worker in enumerate(workers)}
    spans = [row for row in times.spans.dicts() if row["worker_id"] in lanes]
    with styled():
        figure = sheet(9.6, 1.5 + max(0.2, 0.3 - 0.002 * len(workers)) * len(workers))
        widths = [part.ended - part.began for part in parts]
        least = 0.25 * max(widths)
        grid = figure.subplots(
            1, len(parts), sharey=True, squeeze=False,
            width_ratios=[max(width, least) for width in widths],
        )[0]  # fmt: skip
        for axes, part in zip(grid, parts, strict=True):
            _draw(axes, part, [row for row in spans if row["mode"] in part.modes], lanes)
            title = " and ".join(part.modes)
            axes.set_title(
                f"{title}: {seconds(part.ended - part.began)}, idle {per_cent(part.idle)}"
            )
            axes.set_xlabel("seconds since it began")
        grid[0].set_yticks(range(len(workers)), [visible(devices[w], 24) for w in workers])
        grid[0].set_ylim(len(workers) - 0.4, -0.6)
        used = [kind for kind in KINDS if any(row["kind"] == kind for row in spans)]
        from matplotlib.patches import Patch

        handles = [Patch(facecolor=KINDS[kind], label=kind) for kind in used]
        handles.append(Patch(facecolor=PAPER, edgecolor=INK, hatch="////", label="wait"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        svg, png = rendered(figure)
    more = f" (the first {LANES} of {len(devices)} workers)" if len(devices) > LANES else ""
    return Picture(
        "timeline",
        f"What every worker did at {times.at.name}{more}",
        "Time lines, one lane per worker, hatched where it waited for the last one. "
        + ". ".join(_of_parts(times.at, parts))
        + ".",
        svg,
        png,
        (times.at.asked, times.spans, times.balance),
        "bars are the spans, neighbours of one kind drawn as one; hatched: from a worker's own last"
        " span to the end of the last span of anybody",
    )


def _draw(axes: Any, part: Part, spans: Sequence[dict[str, Any]], lanes: dict[int, int]) -> None:
    gap = (part.ended - part.began) / _PIXELS
    for worker, lane in lanes.items():
        own = [row for row in spans if row["worker_id"] == worker]
        for kind, colour in KINDS.items():
            bars = _merged([r for r in own if r["kind"] == kind], gap)
            axes.broken_barh(
                [(start - part.began, length) for start, length in bars], (lane - 0.36, 0.72),
                facecolors=colour, linewidth=0,
            )  # fmt: skip
        wait = part.wait_s.get(worker, 0.0)
        if wait > gap:
            start = part.ended - wait - part.began
            axes.broken_barh(
                [(start, wait)], (lane - 0.36, 0.72), facecolors=PAPER, edgecolor=INK,
                hatch="////", linewidth=0.5,
            )  # fmt: skip
            if len(lanes) <= 24:
                axes.annotate(
                    seconds(wait), (part.ended - part.began, lane), xytext=(3, 0),
                    textcoords="offset points", va="center", fontsize=7,
                )  # fmt: skip
    axes.set_xlim(0, (part.ended - part.began) * 1.08)
    axes.grid(axis="y", visible=False)


def _merged(rows: Sequence[dict[str, Any]], gap: float) -> list[tuple[float, float]]:
    """Return start and length of stretches without a gap that can be seen."""
    found: list[list[float]] = []
    for row in rows:
        start, end = row["started_at"], max(row["started_at"], row["ended_at"])
        if found and start - found[-1][1] <= gap:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end])
    return [(start, max(end - start, gap)) for start, end in found]


def _table(times: Times, parts: Sequence[Part]) -> Grid:
    assert times.balance is not None and times.at is not None
    devices = _names(times.balance)
    rows: list[tuple[Cell | str, ...]] = []
    for part in parts:
        for worker in sorted(part.busy_s):
            busy, wait = part.busy_s[worker], part.wait_s[worker]
            share = wait / (busy + wait) if busy + wait > 0 else None
            rows.append(
                (
                    " and ".join(part.modes),
                    visible(devices[worker], 40),
                    Cell(seconds(busy), "", "number"),
                    Cell(seconds(wait), "", "number"),
                    Cell(per_cent(share), "", "number"),
                )
            )
    return Grid(
        f"Busy and waiting at {times.at.name}",
        ("evaluation", "worker", "busy", "wait", "share of its time"),
        tuple(rows),
        (times.at.asked, times.balance, times.every),
        "evaluations that were answered together are joined: wait is then the time from a worker's"
        " last span of either to the end of both",
        folded=len(rows) > 16,
    )
