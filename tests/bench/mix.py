"""The six-dataset mix with the paper's counts: padding of the plan, row-steps of decoding."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import Result
from bench.stage import Stage
from ctv_engine.models.answers import OpenAnswer
from ctv_engine.models.cached_images import Picture
from ctv_engine.models.inputs import Question
from ctv_engine.models.self_check import self_check
from ctv_engine.models.trace import Trace
from ctv_engine.runtime.plan import cut_batches, cut_open
from ctv_engine.runtime.stated_costs import BATCH_TOKENS, SLOTS, stated_items

PADDING_BAR, ROW_STEP_BAR = 0.01, 1.15


def padding() -> list[Result]:
    """Count padding in the closed plan, and in batches of eight in the order of the data."""
    tokens = [item.tokens for item in stated_items()]
    plan = cut_batches(tokens, token_budget=BATCH_TOKENS, max_rows=SLOTS)
    in_order = [list(range(i, min(i + 8, len(tokens)))) for i in range(0, len(tokens), 8)]
    config = f"six datasets, {len(tokens):,} items"
    unit, against = "share", "processed tokens, {} batches"
    return [
        Result("padding, closed plan", config, _share(tokens, plan), unit,
               against.format(len(plan)), PADDING_BAR),
        Result("padding, eight in data order", config, _share(tokens, in_order), unit,
               against.format(len(in_order))),
    ]  # fmt: skip


def _share(tokens: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Return the share of padding among processed tokens."""
    processed = sum(max(tokens[i] for i in batch) * len(batch) for batch in batches)
    return 1 - sum(tokens) / processed


def row_steps(stage: Stage, every: int, scale: float) -> list[Result]:
    """Decode answers as long as the mix has them, on a small model.

    Args:
        stage: the model, which must not end its answers by itself; its items are asked.
        every: take each ``every``-th of the mix's items.
        scale: what the answers' lengths are multiplied with.
    """
    adapter = stage.adapter()
    pictures = [
        Picture(stage.suite.image_path(item), item.image_digest) for item in stage.suite.items
    ]
    questions = [item.question for item in stage.suite.items]
    asked = [
        Question(
            pictures[number % len(pictures)],
            f"{number} {questions[number % len(questions)]}",
            max_new_tokens=max(1, round(item.written * scale)),
        )
        for number, item in enumerate(stated_items()[::every])
    ]
    notes = self_check(adapter, asked[:4])
    assert not notes, notes
    tokens = [length or 1 for length in adapter.inputs.lengths(asked)]
    slots, before = stage.size.slots, adapter.work.copy()
    written = static = prefills = 0
    for batch in cut_open(tokens, slots=slots):
        chunks = adapter.prepare([asked[index] for index in batch], adapter.refill)
        prefills += len(chunks)
        answers = adapter.open(chunks, Trace())
        lengths = [answer.output_tokens for answer in answers if isinstance(answer, OpenAnswer)]
        assert len(lengths) == len(batch)
        written += sum(lengths)
        parts = [lengths[start : start + slots] for start in range(0, len(lengths), slots)]
        static += sum(len(part) * max(part) for part in parts)
    work = adapter.work.copy().since(before)
    config = f"{stage.size.name}, {len(asked)} answers, {slots} slots"
    against = f"{written:,} tokens written"
    rows = work.row_steps / (work.forwards - prefills)
    return [
        Result("row-steps, decode loop", config, work.row_steps / written, "x", against,
               ROW_STEP_BAR),
        Result("row-steps, batches to the last row", config, static / written, "x", against),
        Result("rows in a decode step", config, rows, "rows", "mean over all steps"),
    ]  # fmt: skip
