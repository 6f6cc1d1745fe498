"""Prove on real questions that every shortcut answers as the plain path does.

Which shortcuts are exact depends on the architecture: masks that look both ways, positions that
count padding, windows that slide. No list of families would stay true; so each worker tries each
shortcut once per architecture and takes the plain path where one is not equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ctv_engine.models.forward import Rows, is_forkable
from ctv_engine.models.inputs import Question
from ctv_engine.models.loading import CheckpointError, first_line
from ctv_engine.models.prefix import NotShareableError, prefill_shared

if TYPE_CHECKING:
    from ctv_engine.models.transformers_adapter import TransformersAdapter

TOLERANCE = {torch.float32: 1e-3}
TOLERANCE_HALF = 0.1
"""Largest difference of a log-probability, of tokens within ``LIKELY`` of the most probable one."""
LIKELY = 10.0
STEPS = 6
"""Tokens that are decoded in both ways."""


def self_check(adapter: TransformersAdapter, questions: Sequence[Question]) -> list[str]:
    """Set the adapter's abilities from what holds for these questions; say what doesn't.

    Where not one of them can be asked nothing is proven, and ``checked`` stays false.

    Args:
        adapter: with a resident checkpoint.
        questions: closed and open forms; two of different length at least, two about one picture.

    Raises:
        CheckpointError: not one of the questions gets through the model.
    """
    abilities = adapter.abilities
    abilities.batch = abilities.share = True
    abilities.stepwise = False
    adapter.epoch += 1
    builder, forward = adapter.inputs, adapter.forward
    kind = type(forward.model).__name__
    notes: list[str] = []
    if note := builder.check_cache(questions):
        notes.append(note)
    asked, reference = _one_by_one(adapter, questions)
    if not asked:
        abilities.batch = abilities.share = False
        return notes
    chunk = adapter.prepare(asked, len(asked))[0]
    allowed = TOLERANCE.get(forward.model.dtype, TOLERANCE_HALF)

    batched = forward.last_logits(adapter.on_device(chunk.prepared))
    worst = difference(batched, reference)
    if not worst <= allowed:
        abilities.batch = abilities.share = False
        notes.append(
            f"{kind}: log-probabilities of a padded batch differ by up to {worst:.2g} from those of"
            " single items; items are run one by one"
        )
    elif chunk.shared is None:
        abilities.share = False
        if len({question.picture.digest for question in asked}) < len(asked):
            notes.append(
                f"{kind}: prompts about one picture have no common beginning that holds the picture"
                " and could be shared; every prompt is prefilled whole"
            )
    else:
        try:
            parts = prefill_shared(forward, adapter.on_device, chunk.prepared, chunk.shared)
            worst = max(difference(part.logits, reference[list(part.rows)]) for part in parts)
            why = f"log-probabilities behind a shared prefix differ by up to {worst:.2g}"
            abilities.share = worst <= allowed
        except NotShareableError as error:
            why = str(error)
            abilities.share = False
        if not abilities.share:
            notes.append(f"{kind}: {why}; every prompt is prefilled whole")

    opened = [question for question in asked if not question.options]
    if forward.decodes_stepwise and opened:
        worst = _stepwise_difference(adapter, opened[:2])
        abilities.stepwise = worst <= allowed
        if not abilities.stepwise:
            notes.append(
                f"{kind}: log-probabilities of its own decode loop differ by up to {worst:.2g} from"
                " those of `generate`, which answers open questions instead"
            )
    abilities.checked = True
    return notes


def _one_by_one(
    adapter: TransformersAdapter, questions: Sequence[Question]
) -> tuple[list[Question], torch.Tensor]:
    """Return the questions that can be asked, and their last logits from a plain forward each.

    Raises:
        CheckpointError: the model fails on every one of them.
    """
    asked: list[Question] = []
    logits: list[torch.Tensor] = []
    fault: Exception | None = None
    for question in questions:
        chunk = adapter.prepare([question], 1)[0]
        if not chunk.prepared.kept:
            continue
        try:
            found = adapter.forward.last_logits(adapter.on_device(chunk.prepared))
        except torch.OutOfMemoryError:
            raise
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            fault = error
            continue
        if bool(found.amax().isfinite()):  # NaN proves nothing
            asked.append(question)
            logits.append(found)
    if fault is not None and not asked:
        raise CheckpointError(
            f"the model can't take what its processor makes ({first_line(fault)}): they do not"
            " belong together"
        ) from fault
    return asked, torch.cat(logits) if logits else torch.empty(0)


def difference(found: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the largest difference of log-probabilities among likely tokens.

    Both are logits, (rows, vocabulary); infinite where only the reference is finite.
    """
    found, reference = torch.log_softmax(found, -1), torch.log_softmax(reference, -1)
    likely = reference > reference.amax(-1, keepdim=True) - LIKELY
    gaps = (found - reference)[likely].abs()
    return float(gaps.nan_to_num(nan=torch.inf).max()) if gaps.numel() else 0.0


def _stepwise_difference(adapter: TransformersAdapter, questions: Sequence[Question]) -> float:
    """Return the largest difference between ``generate`` and the same tokens put in step by step.

    Rows are merged, advanced together and taken out as in a real decode.
    """
    forward = adapter.forward
    worst = 0.0
    told: list[list[int]] = []
    expected: list[torch.Tensor] = []
    rows: Rows | None = None
    for question in questions:
        inputs = adapter.on_device(adapter.prepare([question], 1)[0].prepared)
        with torch.inference_mode():
            output = forward.model.generate(
                **inputs, max_new_tokens=STEPS, output_logits=True, return_dict_in_generate=True
            )
        told.append(output.sequences[0, inputs["input_ids"].shape[1] :].tolist())
        expected.append(torch.stack([step[0].float() for step in output.logits]))
        logits, new = forward.prefill(inputs)
        worst = max(worst, difference(logits, expected[-1][:1]))
        if rows is None:
            rows = new
        elif is_forkable(rows.cache):
            rows.absorb(new)
        else:
            told.pop()
            expected.pop()
    if rows is None:
        return 0.0
    live = list(range(len(told)))
    for step in range(1, max(map(len, told))):
        kept = [place for place, index in enumerate(live) if len(told[index]) > step]
        if len(kept) < len(live):
            rows.select(kept)
            rows.trim()
            live = [live[place] for place in kept]
        ids = torch.tensor([[told[index][step - 1]] for index in live], device=forward.device)
        logits = forward.extend(rows, ids, torch.ones_like(ids))
        worst = max(worst, difference(logits, torch.stack([expected[i][step] for i in live])))
    return worst
