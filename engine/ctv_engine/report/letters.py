"""Does the model prefer a letter, and does it answer with letters at all?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ctv_engine.report.blocks import Block, Cell, Fact, Grid, Picture, Section, Sentence
from ctv_engine.report.drawing import CLOSED, DIM, INK, PAPER, rendered, sheet, styled
from ctv_engine.report.snapshot import Asked, Snapshot
from ctv_engine.report.wording import counted, number, per_cent
from ctv_engine.stats.bias import LetterBias, letter_bias

LETTERS = 26


@dataclass(frozen=True, slots=True)
class Letters:
    """Keys and answers counted, and the option mass, at each checkpoint."""

    counts: Asked
    mass: Asked


def read_letters(snapshot: Snapshot, run_id: int) -> Letters:
    """Count the answers of every complete closed evaluation."""
    evaluations = f"""evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id
        AND c.run_id = {run_id} AND e.mode = 'closed' AND e.state = 'done'"""
    counts = snapshot.ask(
        "letters",
        f"""
        SELECT c.step, c.id AS checkpoint_id, i.gold_index AS key, p.answer, count(*) AS items
        FROM {evaluations}
        CROSS JOIN predictions p ON p.evaluation_id = e.id
        CROSS JOIN items i ON i.id = p.item_id
        WHERE p.status = 'ok' AND p.permutation = 0 AND length(p.answer) = 1
          AND p.answer BETWEEN 'A' AND 'Z' AND i.gold_index BETWEEN 0 AND 25
        GROUP BY c.step, c.id, i.gold_index, p.answer ORDER BY c.step, c.id, key, p.answer
        """,
    )
    mass = snapshot.ask(
        "option-mass",
        f"""
        SELECT c.step, c.id AS checkpoint_id, avg(p.option_mass) AS mean,
               min(p.option_mass) AS least, avg(p.option_mass < 0.5) AS under_half,
               count(p.option_mass) AS n
        FROM {evaluations}
        CROSS JOIN predictions p ON p.evaluation_id = e.id
        WHERE p.status = 'ok' GROUP BY c.id HAVING n > 0 ORDER BY c.step, c.id
        """,
    )
    return Letters(counts, mass)


def biases(counts: Asked) -> dict[int, LetterBias]:
    """Return recall per letter by step; of a step written again, that of the last checkpoint."""
    chosen: dict[tuple[int, int], list[int]] = defaultdict(list)
    keys: dict[tuple[int, int], list[int]] = defaultdict(list)
    for step, checkpoint_id, key, answer, items in counts.rows:
        chosen[step, checkpoint_id] += [ord(answer) - ord("A")] * items
        keys[step, checkpoint_id] += [key] * items
    return {step: letter_bias(chosen[step, one], keys[step, one]) for step, one in sorted(chosen)}


def letters(found: Letters) -> Section:
    """Return recall per letter at the last checkpoint, and both measures over training."""
    by_step = biases(found.counts)
    sentences = _sentences(found, by_step)
    blocks: list[Block] = [Sentence(text) for text in sentences]
    if by_step or found.mass.rows:
        blocks.append(_picture(found, by_step))
    if by_step:
        blocks.append(_table(found, by_step))
    return Section(
        "letters", "Letters: bias and option mass", tuple(blocks), tuple(sentences), _facts(by_step)
    )


def _facts(by_step: dict[int, LetterBias]) -> tuple[Fact, ...]:
    if not by_step:
        return ()
    step, bias = max(by_step.items())
    if bias.deviation is None:
        return ()
    small = f"standard deviation of recall between letters at step {step}; 0 is no preference"
    return (Fact("letter bias", number(bias.deviation), small),)


def _sentences(found: Letters, by_step: dict[int, LetterBias]) -> list[str]:
    said = []
    if by_step:
        step, bias = max(by_step.items())
        known = [one for one in bias.letters if one.recall is not None]
        if bias.deviation is not None:
            low = min(known, key=lambda one: one.recall or 0.0)
            high = max(known, key=lambda one: one.recall or 0.0)
            said.append(
                f"letter bias at step {step}: recall from {number(low.recall)} ({low.letter}) to"
                f" {number(high.recall)} ({high.letter}), standard deviation"
                f" {number(bias.deviation)}"
            )
        else:
            said.append(f"letter bias at step {step}: only one letter is ever the key")
    else:
        said.append("no complete closed evaluation has an answer that is a letter")
    if found.mass.rows:
        row = found.mass.dicts()[-1]
        said.append(
            f"option mass at step {row['step']}: mean {number(row['mean'])}, least"
            f" {number(row['least'])}, under one half for {per_cent(row['under_half'])} of"
            f" {counted(row['n'], 'item')}"
        )
    return said


def _picture(found: Letters, by_step: dict[int, LetterBias]) -> Picture:
    mass = found.mass.dicts()
    with styled():
        figure = sheet(9.6, 3.0)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.4])
        if by_step:
            step, bias = max(by_step.items())
            known = [one for one in bias.letters if one.recall is not None]
            left.bar(
                range(len(known)),
                [one.recall or 0.0 for one in known],
                0.7,
                color=CLOSED,
                alpha=0.5,
            )
            total = sum(one.chosen for one in bias.letters) or 1
            left.plot(
                range(len(known)), [one.chosen / total for one in known], linestyle="none",
                marker="D", markersize=5, markerfacecolor=PAPER, markeredgecolor=INK,
                label="share of all answers",
            )  # fmt: skip
            items = sum(one.items for one in bias.letters) or 1
            left.plot(
                range(len(known)), [one.items / items for one in known], linestyle="none",
                marker="_", markersize=16, markeredgecolor=INK, label="share of all keys",
            )  # fmt: skip
            left.set_xticks(range(len(known)), [one.letter for one in known])
            left.set_ylim(0, 1.3)
            left.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
            left.grid(axis="x", visible=False)
            left.set_title(f"Recall per letter at step {step}")
            left.legend(loc="upper right", ncols=2)
        if mass:
            right.plot(
                [row["step"] for row in mass], [row["mean"] for row in mass], color=CLOSED,
                marker="o" if len(mass) <= 40 else None, markersize=3.6,
                label="option mass, mean of the items",
            )  # fmt: skip
        spread = [
            (step, bias.deviation) for step, bias in by_step.items() if bias.deviation is not None
        ]
        if spread:
            right.plot(
                [step for step, _ in spread], [value for _, value in spread], color=INK,
                linestyle="--", marker="s" if len(spread) <= 40 else None, markersize=3,
                label="deviation of recall between letters",
            )  # fmt: skip
        right.set_ylim(0, 1.25)
        right.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
        right.axhline(1.0, color=DIM, linewidth=0.6)
        right.set_xlabel("step")
        right.set_title("Over training")
        if mass or spread:
            right.legend(loc="upper left", ncols=2)
        svg, png = rendered(figure)
    return Picture(
        "letters",
        "Recall per letter, and option mass over training",
        "Left: recall of the items whose key is A, B, C and so on, at the last checkpoint. Right:"
        " mean option mass and the deviation of recall over the steps. "
        + ". ".join(_sentences(found, by_step))
        + ".",
        svg,
        png,
        (found.counts, found.mass),
        "recall of a letter: of the items whose key it is, the share answered with it;"
        " ctv_engine.stats.bias",
    )


def _table(found: Letters, by_step: dict[int, LetterBias]) -> Grid:
    names = sorted({one.letter for bias in by_step.values() for one in bias.letters})
    rows: list[tuple[Cell | str, ...]] = []
    for step, bias in by_step.items():
        known = {one.letter: one for one in bias.letters}
        cells: list[Cell | str] = [Cell(str(step), "", "number")]
        for name in names:
            one = known.get(name)
            small = "" if one is None else f"{one.items} keys, {one.chosen} answers"
            cells.append(Cell(number(one.recall) if one else "–", small, "number"))
        cells.append(Cell(number(bias.deviation), "", "number"))
        rows.append(tuple(cells))
    return Grid(
        "Recall per letter at every checkpoint",
        ("step", *names, "deviation"),
        tuple(rows),
        (found.counts,),
        "ctv_engine.stats.bias.letter_bias of the counted keys and answers",
        folded=len(rows) > 8,
    )
