"""What a unit's closed forms are asked further: other orders of the options, and their texts.

Both are forwards of their own, beside those that answer the items as they stand. So these answers
are the same, bit for bit, whatever else is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ctv_engine.runtime.messages import Batch, ItemResult, Rotated
from ctv_engine.suite import Item, closed_text, cloze_text

if TYPE_CHECKING:
    from ctv_engine.models.cloze import ClozeScore
    from ctv_engine.models.inputs import Question
    from ctv_engine.models.trace import Trace
    from ctv_engine.models.transformers_adapter import ClosedOutcome, TransformersAdapter

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Further:
    """What was found beside a unit's answers; ``faults`` say why texts could not be scored."""

    rotations: tuple[Rotated, ...] = ()
    clozes: dict[Name, ClozeScore] = field(default_factory=dict)
    faults: dict[Name, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What a user should know: one line for every text that could not be scored."""
        return [f"{'/'.join(name)} has no cloze score: {why}" for name, why in self.faults.items()]

    def added_to(self, result: ItemResult) -> ItemResult:
        """Return an item's closed result with the scores of its options' texts.

        One without an answer says why itself; no note is due for it any more.
        """
        if result.reason is not None:
            self.faults.pop(result.key, None)
            return result
        score = self.clozes.get(result.key)
        if score is None:
            return result
        return replace(result, cloze_logprobs=score.per_character, cloze_correct=score.correct)


def ask_further(
    adapter: TransformersAdapter, batch: Batch, trace: Trace, *, batch_tokens: int
) -> Further:
    """Ask what a batch's items are to be asked further; nothing if that is nothing.

    Args:
        adapter: with the checkpoint resident.
        batch: of a closed task or a pair.
        trace: collects the time it takes.
        batch_tokens: the most prompt tokens of a forward.
    """
    asked = [item for item in batch.items if item.gold_index is not None]
    rotations = _rotations(adapter, batch, trace, batch_tokens) if any(batch.rotated) else ()
    if not batch.cloze or not asked:
        return Further(rotations)
    clozes, faults = _clozes(adapter, batch, trace, batch_tokens)
    return Further(rotations, clozes, faults)


def rotated(item: Item, permutation: int) -> Item:
    """Return an item whose options are rotated left; its key goes with them."""
    options = item.options[permutation:] + item.options[:permutation]
    gold = ((item.gold_index or 0) - permutation) % len(options)
    return replace(item, options=options, gold_index=gold)


def _rotations(
    adapter: TransformersAdapter, batch: Batch, trace: Trace, batch_tokens: int
) -> tuple[Rotated, ...]:
    from ctv_engine.models.answers import Unanswered

    names: list[tuple[Name, int]] = []
    questions: list[Question] = []
    for item, wanted in zip(batch.items, batch.rotated, strict=True):
        for permutation in range(1, len(item.options)) if wanted else ():
            names.append(((item.dataset, item.key), permutation))
            turned = rotated(item, permutation)
            gold = turned.gold_index or 0
            questions.append(_question(batch, item, closed_text(turned), len(item.options), gold))
    answers: list[ClosedOutcome] = []
    rows = _rows(batch, batch_tokens, most=len(batch.items))
    for start in range(0, len(questions), rows):  # not all at once: pixels take much memory
        with trace.span("input"):
            chunks = adapter.prepare(questions[start : start + rows], rows)
        answers += adapter.closed(chunks, trace)
    return tuple(
        Rotated(*name, reason=answer.reason)
        if isinstance(answer, Unanswered)
        else Rotated(
            *name,
            option_logprobs=answer.score.option_logprobs,
            prompt_tokens=answer.prompt_tokens,
            prefill_s=answer.prefill_s,
        )
        for name, answer in zip(names, answers, strict=True)
    )


def _clozes(
    adapter: TransformersAdapter, batch: Batch, trace: Trace, batch_tokens: int
) -> tuple[dict[Name, ClozeScore], dict[Name, str]]:
    from ctv_engine.models.answers import Unanswered
    from ctv_engine.models.cloze import cloze

    items = [
        (item, dataset)
        for item, dataset in zip(batch.items, batch.datasets, strict=True)
        if item.gold_index is not None
    ]
    questions = [_question(batch, item, cloze_text(item, dataset)) for item, dataset in items]
    # Each option is a row once the prompt has been prefilled.
    options = max(len(item.options) for item, _ in items)
    rows = max(1, _rows(batch, batch_tokens, most=len(items)) // options)
    found: dict[Name, ClozeScore] = {}
    faults: dict[Name, str] = {}
    for start in range(0, len(items), rows):
        part = [item for item, _ in items[start : start + rows]]
        with trace.span("input"):
            chunks = adapter.prepare(questions[start : start + rows], rows)
        texts = [item.options for item in part]
        keys = [item.gold_index or 0 for item in part]
        for item, outcome in zip(part, cloze(adapter, chunks, texts, keys, trace), strict=True):
            if isinstance(outcome, Unanswered):
                faults[item.dataset, item.key] = outcome.reason
            else:
                found[item.dataset, item.key] = outcome
    return found, faults


def _question(batch: Batch, item: Item, text: str, options: int = 0, gold: int = 0) -> Question:
    from ctv_engine.models.cached_images import Picture
    from ctv_engine.models.inputs import Question

    picture = Picture(batch.suite_directory / item.image, item.image_digest)
    return Question(picture, text, options, gold)


def _rows(batch: Batch, batch_tokens: int, *, most: int) -> int:
    """Return how many prompts like the batch's go into one forward."""
    widest: Sequence[int] = batch.tokens or (1,)
    return max(1, min(most, batch_tokens // max(1, *widest)))
