"""How far each proxy can be trusted: the engine's coefficients, and what is counted beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    sheet,
    styled,
)
from ctv_engine.report.series import Scores, values
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import (
    FEW,
    counted,
    interval,
    number,
    per_cent,
    signed,
    verdict_words,
    visible,
)
from ctv_engine.stats.agreement import Agreement, decision_accuracy
from ctv_engine.stats.correlation import Correlation
from ctv_engine.stats.interval import Points, with_interval
from ctv_engine.stats.steadiness import agreement_interval, noise_interval
from ctv_engine.stats.trajectory import step_noise
from ctv_engine.store.rows import MACRO, POOLED, Mode

PROXIES: tuple[Mode, Mode] = ("closed", "open")
METHODS = ("pearson", "spearman", "kendall", "difference", "partial")
FROM_CORRELATIONS = "coefficients are the engine's own rows of the table correlations"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What the engine wrote about the whole run, and the rolling r of the macro mean."""

    whole: Asked
    rolling: Asked


def read_tracked(snapshot: Snapshot, run_id: int, name: str = "correlation") -> Tracked:
    """Read the coefficients of a run."""
    whole = snapshot.ask(
        name,
        f"""
        SELECT scope, proxy, method, step, r, low, high, n, reason FROM correlation_now
        WHERE run_id = {run_id} AND window = 0
        ORDER BY scope, proxy, method
        """,
    )
    rolling = snapshot.ask(
        f"{name}-rolling",
        f"""
        SELECT proxy, window, step, r, low, high, n, reason FROM correlations
        WHERE run_id = {run_id} AND scope = 'macro' AND method = 'pearson' AND window =
          (SELECT max(window) FROM correlations WHERE run_id = {run_id} AND scope = 'macro')
          AND window > 0
        ORDER BY proxy, step
        """,
    )
    return Tracked(whole, rolling)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a proxy orders checkpoints, of those that have both scores."""

    proxy: Mode
    agreement: Agreement
    ends: tuple[float, float] | None
    n: int


def standing(scores: Scores, proxy: Mode, dataset: str = MACRO) -> Standing | None:
    """Return how a proxy orders checkpoints on a dataset; None if no checkpoint has both scores."""
    mine, gold = scores.complete(proxy, dataset), scores.complete("gold", dataset)
    steps = sorted(mine.keys() & gold.keys())
    if not steps:
        return None
    xs = [mine[step].value for step in steps]
    ys = [gold[step].value for step in steps]
    return Standing(proxy, decision_accuracy(xs, ys), agreement_interval(xs, ys), len(steps))


def correlation(scores: Scores, tracked: Tracked) -> Section:
    """Return the verdict, the charts and the table per dataset."""
    sentences = verdict(scores, tracked)
    blocks: list[Block] = [Sentence(text, look) for text, look in sentences]
    if scores.of("gold") or tracked.whole.rows or "gold" in scores.modes:
        blocks += [_picture(scores, tracked), _table(scores, tracked)]
    return Section(
        "correlation",
        "Does it track gold?",
        tuple(blocks),
        tuple(text for text, _ in sentences),
        _facts(scores, tracked),
    )


def _facts(scores: Scores, tracked: Tracked) -> tuple[Fact, ...]:
    rows = {(row["scope"], row["proxy"], row["method"]): row for row in tracked.whole.dicts()}
    facts = []
    for proxy in PROXIES:
        one = standing(scores, proxy)
        if one is None or not one.agreement.pairs:
            continue
        small = "checkpoint pairs ordered as gold orders them"
        row = rows.get((MACRO, proxy, "pearson"))
        if row is not None and row["r"] is not None:
            small += f"; r {signed(row['r'])} {interval(row['low'], row['high'])}"
        small += f", n={one.n}" + (": too few for a verdict" if one.n < FEW else "")
        value = f"{one.agreement.agreeing:,} of {one.agreement.pairs:,}"
        facts.append(Fact(f"{proxy} against gold", value, small, proxy))
    return tuple(facts)


def verdict(scores: Scores, tracked: Tracked) -> list[tuple[str, Any]]:
    """Return the sentences on the macro mean, each with its look."""
    if "gold" not in scores.modes:
        return [("no gold scores in this run (--gold DIR): nothing to correlate with", "warning")]
    found = [one for proxy in PROXIES if (one := standing(scores, proxy)) is not None]
    if not found:
        return [("no checkpoint has both a proxy's and gold's complete macro mean yet", "warning")]
    sentences: list[tuple[str, Any]] = []
    counted_pairs = [one for one in found if one.agreement.pairs]
    if counted_pairs:
        first, *rest = [
            (one, f"{one.agreement.agreeing:,} of {one.agreement.pairs:,}") for one in counted_pairs
        ]
        text = f"{first[0].proxy} orders {first[1]} checkpoint pairs as gold does" + verdict_words(
            first[0].agreement.share
        )
        for one, pairs in rest:
            text += f"; {one.proxy} {pairs}{verdict_words(one.agreement.share)}"
        sentences.append((text, ""))
    else:
        sentences.append(("gold tells no two checkpoints apart: there is no pair to order", "dim"))
    rows = {(row["scope"], row["proxy"], row["method"]): row for row in tracked.whole.dicts()}
    coefficients = []
    for one in found:
        row = rows.get((MACRO, one.proxy, "pearson"))
        if row is None:
            continue
        ends = interval(row["low"], row["high"])
        text = f"{one.proxy} {signed(row['r'])}{' ' if ends else ''}{ends} n={row['n']}"
        coefficients.append(text + (f" ({visible(row['reason'])})" if row["reason"] else ""))
    if coefficients:
        sentences.append(
            (f"correlation with gold over the whole run, r of {'; '.join(coefficients)}", "")
        )
    else:
        sentences.append(("the engine has written no coefficients for this run", "dim"))
    fewest = min(one.n for one in found)
    if fewest < FEW:
        have = f"{counted(fewest, 'checkpoint')} {'has' if fewest == 1 else 'have'}"
        sentences.append((f"only {have} both scores: no verdict below {FEW}", "warning"))
    else:
        sentences.append(
            (f"over {fewest} checkpoints; two rising curves correlate anyway: look at the intervals"
             " and at the columns difference and given step", "dim")
        )  # fmt: skip
    return sentences


def _picture(scores: Scores, tracked: Tracked) -> Picture:
    rolling = tracked.rolling.dicts()
    with styled():
        figure = sheet(9.6, 3.7)
        left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
        _draw_rolling(left, rolling)
        _draw_scatter(right, scores)
        svg, png = rendered(figure)
    last = {row["proxy"]: row for row in rolling}
    said = [f"{proxy} {signed(last[proxy]['r'])}" for proxy in PROXIES if proxy in last]
    alt = "Left: rolling Pearson's r of the macro mean with gold"
    alt += f", at the last step {', '.join(said)}. " if said else ", not known yet. "
    alt += "Right: each proxy's macro mean against gold's, one point per checkpoint."
    return Picture(
        "correlation",
        "Rolling r of both proxies with gold, and proxies against gold",
        alt,
        svg,
        png,
        (tracked.rolling, scores.asked),
        "left: rows as they are; right: macro scores of steps that both have complete",
    )


def _draw_rolling(axes: Any, rolling: Sequence[dict[str, Any]]) -> None:
    told = [row for row in rolling if row["r"] is not None]
    if not told:
        why = {visible(row["reason"], 60) for row in rolling if row["reason"]}
        bare(axes, "no rolling r yet" + (f":\n{why.pop()}" if len(why) == 1 else ""))
        axes.set_title("Rolling r of the macro mean with gold")
        return
    for proxy in PROXIES:
        own = [row for row in told if row["proxy"] == proxy]
        if not own:
            continue
        steps = [row["step"] for row in own]
        banded = [row for row in own if row["low"] is not None and row["high"] is not None]
        axes.fill_between(
            [row["step"] for row in banded], [row["low"] for row in banded],
            [row["high"] for row in banded], color=COLOURS[proxy], alpha=0.14, linewidth=0,
        )  # fmt: skip
        for end in ("low", "high"):
            axes.plot(
                [row["step"] for row in banded], [row[end] for row in banded],
                color=COLOURS[proxy], linestyle=LINES[proxy], linewidth=0.7, alpha=0.7,
            )  # fmt: skip
        axes.plot(
            steps, [row["r"] for row in own], color=COLOURS[proxy], linestyle=LINES[proxy],
            linewidth=1.8, label=f"{LETTERS[proxy]}  {proxy}",
        )  # fmt: skip
        for few in (False, True):
            some = [row for row in own if (row["n"] < FEW) == few]
            axes.plot(
                [row["step"] for row in some], [row["r"] for row in some], linestyle="none",
                marker=MARKERS[proxy], markersize=4, markeredgecolor=COLOURS[proxy],
                markerfacecolor=PAPER if few else COLOURS[proxy],
            )  # fmt: skip
    axes.axhline(0.0, color=DIM, linewidth=0.8)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlabel(f"step; hollow where n < {FEW}")
    axes.set_title(f"Rolling r with gold, last {told[-1]['window']} checkpoints, 95 % interval")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.06), ncols=2)
    sizes = {row["step"]: row["n"] for row in told}
    every = -(-len(sizes) // 12)
    for place, step in enumerate(sorted(sizes)[::-1][::every]):
        text = f"{'' if place else 'n='}{sizes[step]}"
        axes.text(step, -1.0, text, ha="center", va="bottom", fontsize=7, color=DIM)


def _draw_scatter(axes: Any, scores: Scores) -> None:
    gold = scores.complete("gold")
    drawn = False
    for proxy in PROXIES:
        mine = scores.complete(proxy)
        steps = sorted(mine.keys() & gold.keys())
        if not steps:
            continue
        drawn = True
        xs, ys = values([gold[s] for s in steps]), values([mine[s] for s in steps])
        axes.plot(
            xs, ys, linestyle="none", marker=MARKERS[proxy], color=COLOURS[proxy], markersize=4.5,
            markerfacecolor=COLOURS[proxy] if proxy == "closed" else PAPER,
            label=f"{LETTERS[proxy]}  {proxy}",
        )  # fmt: skip
        axes.plot(
            xs[-1:], ys[-1:], linestyle="none", marker="o", markersize=11, markerfacecolor="none",
            markeredgecolor=COLOURS[proxy],
        )  # fmt: skip
    axes.set_title("Proxy against gold")
    if not drawn:
        bare(axes, "no checkpoint has both scores")
        return
    axes.set_xlabel("gold, macro mean (the last checkpoint is ringed)")
    axes.set_ylabel("proxy, macro mean")
    axes.legend(loc="best")


def _table(scores: Scores, tracked: Tracked) -> Grid:
    stored = {(row["scope"], row["proxy"], row["method"]): row for row in tracked.whole.dicts()}
    scopes = [MACRO, *(f"dataset:{name}" for name in scores.datasets), POOLED]
    rows: list[tuple[Cell | str, ...]] = []
    for scope in scopes:
        dataset = scope.removeprefix("dataset:")
        for proxy in PROXIES:
            has_stored = any((scope, proxy, method) in stored for method in METHODS)
            mine, gold = scores.complete(proxy, dataset), scores.complete("gold", dataset)
            if not has_stored and not (mine and gold):
                continue
            name = "macro mean" if scope == MACRO else visible(dataset, 60)
            cells: list[Cell | str] = [name, Cell(proxy, "", proxy)]
            cells += [_coefficient(stored.get((scope, proxy, method))) for method in METHODS]
            cells += _counted(scores, proxy, dataset)
            rows.append(tuple(cells))
    return Grid(
        "Every dataset: coefficient [95 % interval] and n; what has n < 5 is marked few and is no"
        " verdict",
        ("dataset", "proxy", "Pearson", "Spearman", "Kendall", "difference", "given step",
         "decisions", "noise", "monotonicity"),
        tuple(rows),
        (tracked.whole, scores.asked),
        f"{FROM_CORRELATIONS}; decisions (share of checkpoint pairs ordered as gold orders them),"
        " noise (standard deviation of the changes between checkpoints) and monotonicity"
        " (Spearman's coefficient of step and score) are computed from the scores with"
        " ctv_engine.stats, with moving-block bootstrap intervals",
    )  # fmt: skip


def _coefficient(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return Cell("–", "not written", "dim")
    if row["r"] is None:
        return Cell("–", f"{visible(row['reason'] or 'not defined', 60)}, n={row['n']}", "dim")
    return _with_n(Correlation(row["r"], row["low"], row["high"], row["n"]))


def _with_n(found: Correlation) -> Cell:
    few = ", few" if found.n < FEW else ""
    ends = interval(found.low, found.high)
    return Cell(
        signed(found.r), f"{ends}{' ' if ends else ''}n={found.n}{few}", "dim" if few else "number"
    )


def _counted(scores: Scores, proxy: Mode, dataset: str) -> list[Cell]:
    """Return decision accuracy, noise and monotonicity of a proxy on a dataset."""
    one = standing(scores, proxy, dataset)
    if one is None or one.agreement.share is None:
        decisions = Cell("–", "no pair that gold tells apart", "dim")
    else:
        few = ", few" if one.n < FEW else ""
        ends = f"[{per_cent(one.ends[0])}, {per_cent(one.ends[1])}] " if one.ends else ""
        pairs = f"{one.agreement.agreeing:,} of {one.agreement.pairs:,}"
        decisions = Cell(
            per_cent(one.agreement.share),
            f"{ends}{pairs}, n={one.n}{few}",
            "dim" if few else "number",
        )
    points = scores.complete(proxy, dataset)
    steps = sorted(points)
    series = [points[step].value for step in steps]
    few = ", few" if len(series) < FEW else ""
    look: Any = "dim" if few else "number"
    try:
        spread = step_noise(series)
    except ValueError as error:
        noise = Cell("–", str(error), "dim")
    else:
        ends_of = noise_interval(series)
        ends = f"[{number(ends_of[0])}, {number(ends_of[1])}] " if ends_of else ""
        noise = Cell(number(spread), f"{ends}n={len(series)}{few}", look)
    numbers = [float(step) for step in steps]
    rise = with_interval("spearman", Points.of(numbers, series, numbers))
    monotone = Cell("–", f"{rise.reason}, n={rise.n}", "dim") if rise.r is None else _with_n(rise)
    return [decisions, noise, monotone]
