"""How far each proxy can be trusted: the engine's coefficients, and what is counted beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from ctv_engine.report.evidence import Weighed
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
from ctv_engine.store.rows import MACRO, POOLED, EvidenceRow, Mode
from ctv_engine.store.scopes import PREFIX, dataset_of, parts, scope_of

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


def correlation(scores: Scores, tracked: Tracked, weighed: Weighed) -> Section:
    """Return the verdict, the charts and the table per dataset."""
    sentences = verdict(scores, tracked, weighed)
    blocks: list[Block] = [Sentence(text, look) for text, look in sentences]
    if scores.of("gold") or tracked.whole.rows or "gold" in scores.modes:
        blocks += [_picture(scores, tracked), _table(scores, tracked, weighed)]
    return Section(
        "correlation",
        "Does it track gold?",
        tuple(blocks),
        tuple(text for text, _ in sentences),
        _facts(tracked, weighed),
    )


def _facts(tracked: Tracked, weighed: Weighed) -> tuple[Fact, ...]:
    rows = {(row["scope"], row["proxy"], row["method"]): row for row in tracked.whole.dicts()}
    facts = []
    for proxy in PROXIES:
        one = weighed.standing(proxy)
        if one is None or not one.pairs:
            continue
        small = "checkpoint pairs ordered as gold orders them"
        row = rows.get((MACRO, proxy, "pearson"))
        if row is not None and row["r"] is not None:
            small += f"; r {signed(row['r'])} {interval(row['low'], row['high'])}"
        small += f", n={one.n}" + (": too few for a verdict" if one.n < FEW else "")
        value = f"{one.agreeing:,} of {one.pairs:,}"
        facts.append(Fact(f"{proxy} against gold", value, small, proxy))
    return tuple(facts)


def verdict(scores: Scores, tracked: Tracked, weighed: Weighed) -> list[tuple[str, Any]]:
    """Return the sentences on the macro mean, each with its look."""
    if "gold" not in scores.modes:
        return [("no gold scores in this run (--gold DIR): nothing to correlate with", "warning")]
    found = [one for proxy in PROXIES if (one := weighed.standing(proxy)) is not None]
    if not found:
        return [("no checkpoint has both a proxy's and gold's complete macro mean yet", "warning")]
    sentences: list[tuple[str, Any]] = []
    counted_pairs = [one for one in found if one.pairs]
    if counted_pairs:
        first, *rest = [(one, f"{one.agreeing:,} of {one.pairs:,}") for one in counted_pairs]
        text = f"{first[0].proxy} orders {first[1]} checkpoint pairs as gold does" + verdict_words(
            first[0].share
        )
        for one, pairs in rest:
            text += f"; {one.proxy} {pairs}{verdict_words(one.share)}"
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


def _table(scores: Scores, tracked: Tracked, weighed: Weighed) -> Grid:
    stored = {(row["scope"], row["proxy"], row["method"]): row for row in tracked.whole.dicts()}
    beside = [scope for scope, *_ in (*stored, *_scopes(weighed)) if scope.startswith(PREFIX)]
    scopes = [MACRO, *map(scope_of, scores.datasets), POOLED, *sorted(set(beside))]
    rows: list[tuple[Cell | str, ...]] = []
    for scope in scopes:
        for proxy in PROXIES:
            has_stored = any((scope, proxy, method) in stored for method in METHODS)
            dataset = dataset_of(scope)
            mine, gold = scores.complete(proxy, dataset), scores.complete("gold", dataset)
            if not has_stored and not (mine and gold):
                continue
            cells: list[Cell | str] = [_in_words(scope), Cell(proxy, "", proxy)]
            cells += [_coefficient(stored.get((scope, proxy, method))) for method in METHODS]
            cells += _counted(weighed, proxy, scope)
            rows.append(tuple(cells))
    return Grid(
        "Every dataset: coefficient [95 % interval] and n; what has n < 5 is marked few and is no"
        " verdict",
        ("dataset", "proxy", "Pearson", "Spearman", "Kendall", "difference", "given step",
         "decisions", "noise", "monotonicity", "signal to noise"),
        tuple(rows),
        (tracked.whole, *weighed.asked[:1]),
        f"{FROM_CORRELATIONS}; decisions (share of checkpoint pairs ordered as gold orders them),"
        " noise (standard deviation of the changes between checkpoints), monotonicity (Spearman's"
        " coefficient of step and score) and signal to noise (how far the score moved over the"
        f" noise of one score) are its rows of the table evidence{weighed.how}",
    )  # fmt: skip


def _scopes(weighed: Weighed) -> Iterable[tuple[str, ...]]:
    return ((scope,) for _, scope, _ in weighed.measures)


def _in_words(scope: str) -> str:
    series, dataset = parts(scope)
    name = "macro mean" if dataset == MACRO else visible(dataset, 60)
    return f"{visible(series, 40)} (imported), {name}" if series else name


def _coefficient(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return Cell("–", "not written", "dim")
    if row["r"] is None:
        return Cell("–", f"{visible(row['reason'] or 'not defined', 60)}, n={row['n']}", "dim")
    return _with_n(row["r"], row["low"], row["high"], row["n"])


def _with_n(value: float | None, low: float | None, high: float | None, n: int) -> Cell:
    few = ", few" if n < FEW else ""
    ends = interval(low, high)
    return Cell(signed(value), f"{ends}{' ' if ends else ''}n={n}{few}", "dim" if few else "number")


def _counted(weighed: Weighed, proxy: Mode, scope: str) -> list[Cell]:
    """Return decision accuracy, noise, monotonicity and signal to noise of a proxy."""
    return [
        _decisions(weighed.measure(proxy, scope, "decision_accuracy")),
        _plain(weighed.measure(proxy, scope, "step_noise")),
        _monotone(weighed.measure(proxy, scope, "monotonicity")),
        _plain(weighed.measure(proxy, scope, "signal_to_noise"), digits=1),
    ]


def _undefined(row: EvidenceRow | None) -> Cell:
    if row is None:
        return Cell("–", "", "dim")
    return Cell("–", f"{visible(row.reason or 'not defined', 60)}, n={row.n}", "dim")


def _decisions(row: EvidenceRow | None) -> Cell:
    if row is None or row.value is None or row.pairs is None:
        return _undefined(row)
    few = ", few" if row.n < FEW else ""
    ends = "" if row.low is None else f"[{per_cent(row.low)}, {per_cent(row.high)}] "
    pairs = f"{round(row.value * row.pairs):,} of {row.pairs:,}"
    return Cell(per_cent(row.value), f"{ends}{pairs}, n={row.n}{few}", "dim" if few else "number")


def _monotone(row: EvidenceRow | None) -> Cell:
    if row is None or row.value is None:
        return _undefined(row)
    return _with_n(row.value, row.low, row.high, row.n)


def _plain(row: EvidenceRow | None, digits: int = 3) -> Cell:
    if row is None or row.value is None:
        return _undefined(row)
    few = ", few" if row.n < FEW else ""
    ends = "" if row.low is None else f"[{number(row.low)}, {number(row.high)}] "
    return Cell(number(row.value, digits), f"{ends}n={row.n}{few}", "dim" if few else "number")
