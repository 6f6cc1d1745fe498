"""Closed task: from the last position's logits to option probabilities.

Definition: one soft-max in float32 over the full vocabulary; an option's probability is the sum
over the token variants of its letter; what the product stores besides is derived from those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

LetterTokens = tuple[tuple[int, ...], ...]
"""Token ids that count as the i-th letter, one tuple per letter."""


@dataclass(frozen=True, slots=True)
class ClosedScore:
    """Option probabilities of one item; logarithms are natural.

    ``option_logprobs`` are over the full vocabulary, in the order of the options; ``gold_logprob``
    is the key's entry; ``gold_prob`` is the key's share among the options; ``option_mass`` is the
    share of the full vocabulary that falls on any of the item's letters.
    """

    option_logprobs: tuple[float, ...]
    gold_logprob: float
    gold_prob: float
    option_mass: float
    answer_index: int
    correct: bool


class NonFiniteLogitsError(ValueError):
    """The model returned NaN or infinite logits for an item."""


def score_closed(
    logits: torch.Tensor, letters: LetterTokens, options: int, gold_index: int
) -> ClosedScore:
    """Score one item.

    Args:
        logits: last position, shape ``(vocabulary,)``, any float type.
        letters: token ids per letter; the first ``options`` are used.
        options: number of options of the item.
        gold_index: index of the key.

    Raises:
        NonFiniteLogitsError: a logit is NaN or positive infinite, or a letter's is not finite.
    """
    logits = logits.float()
    if bool(torch.isnan(logits).any()) or bool(torch.isposinf(logits).any()):
        raise NonFiniteLogitsError("the model returned NaN or infinite logits")
    logprobs = torch.log_softmax(logits, dim=-1)
    chosen = [_logsumexp(logprobs[list(ids)].tolist()) for ids in letters[:options]]
    if not all(map(math.isfinite, chosen)):
        raise NonFiniteLogitsError("the model gave an option letter a probability of exactly zero")
    total = _logsumexp(chosen)
    answer = max(range(options), key=chosen.__getitem__)
    return ClosedScore(
        option_logprobs=tuple(chosen),
        gold_logprob=chosen[gold_index],
        gold_prob=math.exp(chosen[gold_index] - total),
        option_mass=min(1.0, math.exp(total)),
        answer_index=answer,
        correct=answer == gold_index,
    )


def _logsumexp(values: Sequence[float]) -> float:
    top = max(values)
    if not math.isfinite(top):
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in values))
