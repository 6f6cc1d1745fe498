"""From examples to tensors: prompts with their answers, padded on the left."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import LlavaProcessor

from ctv_engine.demo.examples import DATASETS, Example
from ctv_engine.demo.model import prompt_text
from ctv_engine.suite import LETTERS, closed_text, open_text

IGNORED = -100
_DATASETS = {dataset.name: dataset for dataset in DATASETS}


@dataclass(frozen=True, slots=True)
class Lesson:
    """A text and the stretches of it that are to be learnt.

    ``parts`` alternate: given, learnt, given, learnt, …
    """

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids, mask and labels, each int64 (n, tokens); labels are -100 where nothing is learnt.

    ``width`` is the number of last positions whose logits are needed.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    width: int

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the cross entropy of ``logits`` (n, width, vocabulary), one scalar.

        A token of a lesson with k learnt tokens weighs 1/sqrt(k), so that captions neither drown
        the letters nor count for no more than they.
        """
        labels = self.labels[:, self.input_ids.shape[1] - self.width + 1 :]
        losses = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
        ).view(labels.shape)
        weights = (labels != IGNORED).sum(dim=1).clamp(min=1).rsqrt()
        return (losses.sum(dim=1) * weights).mean()


def question_lesson(
    processor: LlavaProcessor,
    example: Example,
    closed: bool,
    rng: random.Random,
) -> Lesson:
    """Return prompt and answer of one example in its closed or its open form."""
    if closed:
        item = example.closed_item(rng)
        assert item.gold_index is not None
        text, answer = closed_text(item), LETTERS[item.gold_index]
    else:
        text, answer = open_text(example.open_item(), _DATASETS[example.dataset]), example.answer
    return Lesson((prompt_text(processor, text), answer + str(processor.tokenizer.eos_token)))


def make_batch(processor: LlavaProcessor, lessons: Sequence[Lesson]) -> Batch:
    """Tokenize lessons part by part and pad them on the left to one width."""
    parts = [part for lesson in lessons for part in lesson.parts]
    encoded = iter(processor.tokenizer(parts, add_special_tokens=False).input_ids)
    ids: list[list[int]] = []
    labels: list[list[int]] = []
    for lesson in lessons:
        ids.append([])
        labels.append([])
        for place in range(len(lesson.parts)):
            tokens = next(encoded)
            ids[-1] += tokens
            labels[-1] += tokens if place % 2 else [IGNORED] * len(tokens)
    length = max(map(len, ids))
    shape = (len(lessons), length)
    input_ids = torch.full(shape, int(processor.tokenizer.pad_token_id))
    mask = torch.zeros(shape, dtype=torch.long)
    targets = torch.full(shape, IGNORED)
    first = length
    for row, (tokens, wanted) in enumerate(zip(ids, labels, strict=True)):
        start = length - len(tokens)
        input_ids[row, start:] = torch.tensor(tokens)
        mask[row, start:] = 1
        targets[row, start:] = torch.tensor(wanted)
        learnt = next(i for i, token in enumerate(wanted) if token != IGNORED)
        first = min(first, start + learnt)
    return Batch(input_ids, mask, targets, width=length - first + 1)


def by_length(lessons: Sequence[Lesson], parts: int) -> list[list[int]]:
    """Deal the lessons' indices into ``parts`` equal shares, short lessons apart from long ones."""
    order = sorted(range(len(lessons)), key=lambda i: sum(map(len, lessons[i].parts)))
    size = -(-len(order) // parts)
    return [order[start : start + size] for start in range(0, len(order), size)]


def pixel_values(pictures: np.ndarray, indices: Sequence[int]) -> torch.Tensor:
    """Return float32 (n, 3, 64, 64) in -1 … 1, as the processor's image part makes them."""
    pixels = torch.from_numpy(np.stack([pictures[i] for i in indices]))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
