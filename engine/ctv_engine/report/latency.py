"""Where the seconds of an item go, and what closed saves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ctv_engine.report.blocks import Block, Cell, Fact, Grid, Picture, Section, Sentence
from ctv_engine.report.drawing import DECODE, INK, PAPER, PREFILL, rendered, sheet, styled
from ctv_engine.report.looked_at import LookedAt
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import counted, known, number, per_cent, seconds, visible

SHOWN = 40
"""Bars of more datasets than these are drawn for those that take longest."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What the items of one checkpoint took, and what those of a baseline took."""

    at: LookedAt | None
    bars: Asked | None
    lengths: Asked | None
    baseline: Asked


def read_costs(snapshot: Snapshot, run_id: int, at: LookedAt | None) -> Costs:
    """Read the costs of a checkpoint."""
    baseline = snapshot.ask("latency-baseline", _BASELINE.format(run=run_id))
    if at is None:
        return Costs(None, None, None, baseline)
    bars = snapshot.ask(
        "latency",
        f"""
        SELECT dataset, mode, n, prefill_s, decode_s, prefill_total_s, decode_total_s,
               prompt_tokens, output_tokens, output_tokens_max, capped
        FROM latency WHERE evaluation_id IN ({at.ids}) ORDER BY dataset, mode
        """,
    )
    lengths = None
    if at.open_id is not None:
        lengths = snapshot.ask("output-lengths", _LENGTHS.format(evaluation=at.open_id))
    return Costs(at, bars, lengths, baseline)


_LENGTHS = """
WITH RECURSIVE bins(low, high) AS (
    VALUES (0, 0) UNION ALL SELECT high + 1, max(1, 2 * high) FROM bins
    WHERE high < (SELECT max(output_tokens) FROM predictions WHERE evaluation_id = {evaluation})
)
SELECT low, high, count(p.id) AS answers,
       sum(p.finish_reason = 'length') AS at_the_cap,
       max(p.output_tokens) AS longest
FROM bins LEFT JOIN predictions p ON p.evaluation_id = {evaluation} AND p.status = 'ok'
     AND p.output_tokens BETWEEN low AND high
GROUP BY low, high ORDER BY low
"""

_BASELINE = """
WITH baselines AS (
    SELECT e.id, r.name, r.host, c.step, c.path, c.digest
    FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id JOIN runs r ON r.id = c.run_id
    WHERE e.mode = 'open' AND e.state = 'done' AND json_valid(r.config_json)
      AND json_extract(r.config_json, '$.batch_size') = 1
      AND json_extract(r.config_json, '$.pairing') = 0
      AND r.suite_digest = (SELECT suite_digest FROM runs WHERE id = {run})
), both AS (
    SELECT b.*, e.id AS closed_id FROM baselines b JOIN checkpoints c
      ON c.run_id = {run} AND (c.digest = b.digest OR (c.step = b.step AND c.path = b.path))
    JOIN evaluations e ON e.checkpoint_id = c.id AND e.mode = 'closed' AND e.state = 'done'
    ORDER BY c.step DESC, b.id DESC LIMIT 1
)
SELECT name, host, step,
       (SELECT avg(prefill_s) FROM predictions WHERE evaluation_id = closed_id AND status = 'ok')
           AS closed_s,
       (SELECT avg(prefill_s + coalesce(decode_s, 0.0)) FROM predictions
        WHERE evaluation_id = both.id AND status = 'ok' AND prefill_s IS NOT NULL) AS open_s
FROM both
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """Mean seconds per item of one mode on a dataset; ``n`` items."""

    n: int
    prefill_s: float
    decode_s: float

    @property
    def total_s(self) -> float:
        """Prefill and decode."""
        return self.prefill_s + self.decode_s


def latency(costs: Costs) -> Section:
    """Return bars, savings and the lengths of answers."""
    if costs.at is None or costs.bars is None:
        text = "no closed or open evaluation is complete yet: no costs to show"
        return Section("latency", "What does it cost?", (Sentence(text, "dim"),), (text,))
    bars = _bars(costs.bars)
    sentences = _savings(costs, bars)
    blocks: list[Block] = [Sentence(text) for text in sentences]
    if bars:
        blocks += [_picture(costs, bars), _table(costs, bars)]
    if costs.lengths is not None and any(row["answers"] for row in costs.lengths.dicts()):
        blocks += [Sentence(_cap_sentence(costs.lengths)), _lengths_picture(costs)]
        sentences.append(_cap_sentence(costs.lengths))
    return Section(
        "latency", "What does it cost?", tuple(blocks), tuple(sentences), _facts(costs, bars)
    )


def _facts(costs: Costs, bars: dict[str, dict[str, Bar]]) -> tuple[Fact, ...]:
    assert costs.at is not None
    closed, opened = _overall(bars, "closed"), _overall(bars, "open")
    saving = _saving(closed, opened)
    if closed is None or opened is None or not saving:
        return ()
    small = (
        f"than open, both as this engine runs them: {seconds(closed.total_s)} against"
        f" {seconds(opened.total_s)} per item at {costs.at.name}"
    )
    return (Fact("an item of closed is", saving, small),)


def _bars(asked: Asked) -> dict[str, dict[str, Bar]]:
    found: dict[str, dict[str, Bar]] = {}
    for row in asked.dicts():
        decode_s = row["decode_s"] or 0.0
        if known(row["prefill_s"]) and known(decode_s):
            bar = Bar(row["n"], row["prefill_s"], decode_s)
            found.setdefault(row["dataset"], {})[row["mode"]] = bar
    return found


def _overall(bars: dict[str, dict[str, Bar]], mode: str) -> Bar | None:
    """Return the mean over all items, in which each item counts once."""
    own = [modes[mode] for modes in bars.values() if mode in modes]
    n = sum(bar.n for bar in own)
    if not n:
        return None
    return Bar(
        n,
        math.fsum(bar.n * bar.prefill_s for bar in own) / n,
        math.fsum(bar.n * bar.decode_s for bar in own) / n,
    )


def _saving(closed: Bar | None, opened: Bar | None) -> str:
    if closed is None or opened is None or not opened.total_s:
        return ""
    return _cheaper(1.0 - closed.total_s / opened.total_s)


def _cheaper(saving: float) -> str:
    return f"{per_cent(abs(saving))} {'cheaper' if saving >= 0 else 'dearer'}"


def _savings(costs: Costs, bars: dict[str, dict[str, Bar]]) -> list[str]:
    assert costs.at is not None
    closed, opened = _overall(bars, "closed"), _overall(bars, "open")
    if closed is None and opened is None:
        return [f"the items of {costs.at.name} have no recorded times"]
    parts = [
        f"{mode} {seconds(bar.total_s)}"
        + (
            f" (prefill {seconds(bar.prefill_s)}, decode {seconds(bar.decode_s)})"
            if bar.decode_s
            else " (prefill alone)"
        )
        for mode, bar in (("closed", closed), ("open", opened))
        if bar is not None
    ]
    found = [f"device seconds per item at {costs.at.name}: {'; '.join(parts)}"]
    saving = _saving(closed, opened)
    if saving:
        found.append(f"closed is {saving} than this engine's own open task")
    row = costs.baseline.dicts()[0] if costs.baseline.rows else None
    if row and row["closed_s"] is not None and row["open_s"]:
        words = _cheaper(1.0 - row["closed_s"] / row["open_s"])
        found.append(
            f"closed is {words} than open one item at a time (run {visible(row['name'], 60)} on"
            f" {visible(row['host'], 60)}, step {row['step']})"
        )
    elif saving:
        found.append(
            "no run with --batch-size 1 --no-pairing on the same checkpoint: no saving against"
            " open one item at a time"
        )
    return found


def _picture(costs: Costs, bars: dict[str, dict[str, Bar]]) -> Picture:
    assert costs.bars is not None and costs.at is not None
    names = sorted(bars, key=lambda name: -max(bar.total_s for bar in bars[name].values()))[:SHOWN]
    longest = max(bar.total_s for name in names for bar in bars[name].values())
    with styled():
        figure = sheet(9.6, 1.1 + 0.46 * len(names))
        axes = figure.subplots()
        for place, name in enumerate(names):
            for mode, offset in (("closed", -0.2), ("open", 0.2)):
                bar = bars[name].get(mode)
                if bar is None:
                    continue
                at = place + offset
                axes.barh(at, bar.prefill_s, 0.34, color=PREFILL)
                axes.barh(
                    at, bar.decode_s, 0.34, left=bar.prefill_s, color=DECODE, hatch="\\\\\\",
                    edgecolor=PAPER, linewidth=0,
                )  # fmt: skip
                saving = _saving(bars[name].get("closed"), bars[name].get("open"))
                note = f", {saving}" if mode == "closed" and saving else ""
                axes.text(
                    bar.total_s + longest * 0.008, at, f"{mode} {seconds(bar.total_s)}{note}",
                    va="center", fontsize=8,
                )  # fmt: skip
        axes.set_yticks(range(len(names)), [visible(name, 28) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.set_xlim(0, longest * 1.22)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(lambda value, _: seconds(value))
        axes.set_xlabel("mean device time per item")
        axes.set_title(f"Prefill and decode at step {costs.at.step}", color=INK)
        handles = [
            axes.barh([0], [0], color=PREFILL, label="prefill"),
            axes.barh([0], [0], color=DECODE, hatch="\\\\\\", edgecolor=PAPER, label="decode"),
        ]
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
        svg, png = rendered(figure)
    more = f"; the {SHOWN} that take longest of {len(bars)}" if len(bars) > SHOWN else ""
    return Picture(
        "latency",
        f"Seconds per item: closed above open, for each dataset{more}",
        "Bars of prefill and decode seconds per item, closed above open, for each dataset. The"
        " numbers are in the table below.",
        svg,
        png,
        (costs.at.asked, costs.bars),
        "saving of a dataset: 1 − (prefill + decode of closed) / (prefill + decode of open)",
    )


def _table(costs: Costs, bars: dict[str, dict[str, Bar]]) -> Grid:
    assert costs.bars is not None and costs.at is not None
    rows: list[tuple[Cell | str, ...]] = []
    raw = {(row["dataset"], row["mode"]): row for row in costs.bars.dicts()}
    for dataset in sorted(bars):
        saving = _saving(bars[dataset].get("closed"), bars[dataset].get("open"))
        for mode in ("closed", "open"):
            bar = bars[dataset].get(mode)
            if bar is None:
                continue
            row: dict[str, Any] = raw[dataset, mode]
            rows.append(
                (
                    visible(dataset, 60),
                    Cell(mode, "", "closed" if mode == "closed" else "open"),
                    Cell(f"{bar.n:,}", "", "number"),
                    Cell(seconds(bar.prefill_s), "", "number"),
                    Cell(seconds(bar.decode_s or None), "", "number"),
                    Cell(seconds(bar.total_s), saving if mode == "closed" else "", "number"),
                    Cell(number(row["prompt_tokens"], 0), "", "number"),
                    Cell(
                        number(row["output_tokens"], 1),
                        _longest(row["output_tokens_max"]),
                        "number",
                    ),
                    Cell(per_cent(row["capped"]), "", "number"),
                )
            )
    return Grid(
        f"Mean per item at {costs.at.name}",
        ("dataset", "mode", "items", "prefill", "decode", "together", "prompt tokens",
         "tokens written", "at the cap"),
        tuple(rows),
        (costs.at.asked, costs.bars, costs.baseline),
        "means over the items that were answered; an item's seconds are its share of its batch",
        folded=len(rows) > 24,
    )  # fmt: skip


def _longest(tokens: int | None) -> str:
    return "" if tokens is None else f"longest {tokens:,}"


def _cap_sentence(lengths: Asked) -> str:
    rows = lengths.dicts()
    answers = sum(row["answers"] for row in rows)
    known_ends = [row["at_the_cap"] for row in rows if row["at_the_cap"] is not None]
    longest = max((row["longest"] for row in rows if row["longest"] is not None), default=None)
    if longest is None:
        return "no open answer has a recorded length"
    if not known_ends:
        return f"the longest of {counted(answers, 'open answer')} has {counted(longest, 'token')}"
    return (
        f"{per_cent(sum(known_ends) / answers)} of {counted(answers, 'open answer')} hit the limit"
        f" on their length; the longest has {counted(longest, 'token')}"
    )


def _bin(low: int, high: int) -> str:
    """Return a bin's name; those from 1,025 on in units of 1,024."""
    if low == high:
        return str(low)
    return f"{low}–{high}" if low <= 1024 else f"{low // 1024}k–{high // 1024}k"


def _lengths_picture(costs: Costs) -> Picture:
    assert costs.lengths is not None and costs.at is not None
    rows = costs.lengths.dicts()
    while rows and not rows[0]["answers"]:
        rows = rows[1:]
    answers = sum(row["answers"] for row in rows)
    with styled():
        figure = sheet(9.6, 2.9)
        axes = figure.subplots()
        places = range(len(rows))
        capped = [(row["at_the_cap"] or 0) / answers for row in rows]
        free = [row["answers"] / answers - share for row, share in zip(rows, capped, strict=True)]
        axes.bar(places, free, 0.82, color=DECODE, label="ended by itself")
        cut = [place for place in places if capped[place]]
        axes.bar(
            cut, [capped[place] for place in cut], 0.82, bottom=[free[place] for place in cut],
            color=PAPER, hatch="////", edgecolor=INK, linewidth=0.8, label="cut at the limit",
        )  # fmt: skip
        for place, row, low, high in zip(places, rows, free, capped, strict=True):
            if row["answers"]:
                axes.text(
                    place, low + high, f"{row['answers']:,}", ha="center", va="bottom", fontsize=8
                )
        axes.set_xticks(
            places,
            [_bin(row["low"], row["high"]) for row in rows],
        )
        axes.set_ylim(0, 1.12 * max(a + b for a, b in zip(free, capped, strict=True)))
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("tokens of the open answer (bins double)")
        axes.set_ylabel("share of answers")
        axes.set_title(f"Lengths of open answers at step {costs.at.step}; closed writes none")
        axes.legend(loc="upper right")
        svg, png = rendered(figure)
    return Picture(
        "output-lengths",
        "Distribution of the lengths of open answers",
        f"Bar chart over bins that double in width. {_cap_sentence(costs.lengths)}.",
        svg,
        png,
        (costs.at.asked, costs.lengths),
        "answers of a bin over all answers",
    )
