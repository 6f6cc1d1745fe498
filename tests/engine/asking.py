"""Questions, and a checkpoint's answers to them, without a worker around the adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ctv_engine.models.answers import ClosedAnswer, OpenAnswer
from ctv_engine.models.cached_images import Picture
from ctv_engine.models.inputs import Question
from ctv_engine.models.self_check import self_check
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import ClosedOutcome, OpenOutcome, TransformersAdapter
from ctv_engine.suite import Suite, closed_text, open_text

CPU = torch.device("cpu")


def picture(path: Path) -> Picture:
    """Return a picture with the digest of its content; one that is missing has that of nothing."""
    content = path.read_bytes() if path.is_file() else b""
    return Picture(path, hashlib.sha256(content).hexdigest())


def question(
    path: Path, text: str, options: int = 0, gold: int = 0, *, cap: int | None = None
) -> Question:
    """Return a question; ``cap`` bounds an open answer, a closed one needs none."""
    assert bool(options) != bool(cap), "either options or a cap"
    return Question(picture(path), text, options, gold, cap or 1)


def closed_questions(suite: Suite) -> list[Question]:
    """Return the closed form of every item of a suite."""
    return [
        question(suite.image_path(i), closed_text(i), len(i.options), i.gold_index or 0)
        for i in suite.items
    ]


def open_questions(suite: Suite, cap: int) -> list[Question]:
    """Return the open form of every item of a suite, answers of up to ``cap`` tokens."""
    return [
        question(suite.image_path(i), open_text(i, suite.dataset(i.dataset)), cap=cap)
        for i in suite.items
    ]


def with_cap(questions: Sequence[Question], cap: int) -> list[Question]:
    """Return the same open questions with another bound on their answers."""
    return [Question(q.picture, q.text, max_new_tokens=cap) for q in questions]


def loaded(directory: Path, **options: Any) -> TransformersAdapter:
    """Return an adapter with a resident checkpoint; every shortcut is off."""
    adapter = TransformersAdapter(CPU, **options)
    adapter.load(directory)
    return adapter


def prove(adapter: TransformersAdapter, questions: Sequence[Question]) -> list[str]:
    """Switch on what the self-check proves with these questions; return its notes."""
    return self_check(adapter, questions)


def probe_of(closed: Sequence[Question], opened: Sequence[Question]) -> list[Question]:
    """Return both forms of the shortest, a middling and the longest item."""
    order = sorted(range(len(closed)), key=lambda place: len(closed[place].text))
    picked = [order[0], order[len(order) // 2], order[-1]]
    return both_forms([closed[place] for place in picked], [opened[place] for place in picked])


def both_forms(closed: Sequence[Question], opened: Sequence[Question]) -> list[Question]:
    """Return closed and open forms of the same items, an item's forms next to each other."""
    return [form for pair in zip(closed, opened, strict=True) for form in pair]


def closed(
    adapter: TransformersAdapter,
    questions: Sequence[Question],
    size: int,
    trace: Trace | None = None,
) -> list[ClosedOutcome]:
    """Score closed questions in batches of up to ``size``."""
    return adapter.closed(adapter.prepare(questions, size), trace or Trace())


def opened(
    adapter: TransformersAdapter,
    questions: Sequence[Question],
    size: int,
    trace: Trace | None = None,
) -> list[OpenOutcome]:
    """Answer open questions; up to ``size`` are prefilled together."""
    return adapter.open(adapter.prepare(questions, size), trace or Trace())


def paired(
    adapter: TransformersAdapter,
    closed: Sequence[Question],
    opened: Sequence[Question],
    size: int,
    trace: Trace | None = None,
) -> tuple[list[ClosedOutcome], list[OpenOutcome]]:
    """Answer closed and open forms together, up to ``size`` items in a prefill."""
    scored: dict[int, ClosedOutcome] = {}
    chunks = adapter.prepare(both_forms(closed, opened), 2 * size, together=2)
    answers = adapter.pair(chunks, trace or Trace(), scored.update)
    assert sorted(scored) == list(range(0, 2 * len(closed), 2))
    assert sorted(answers) == list(range(1, 2 * len(closed), 2))
    return [scored[place] for place in sorted(scored)], [answers[p] for p in sorted(answers)]


def logprobs(answers: Sequence[ClosedOutcome]) -> torch.Tensor:
    """Return the options' log-probabilities, (questions, options); every question must have one."""
    assert all(isinstance(answer, ClosedAnswer) for answer in answers), answers
    return torch.tensor([a.score.option_logprobs for a in answers])  # type: ignore[union-attr]


def words(answers: Sequence[OpenOutcome]) -> list[tuple[str, int, int]]:
    """Return text, prompt tokens and new tokens; every question must have an answer."""
    assert all(isinstance(answer, OpenAnswer) for answer in answers), answers
    return [(a.text, a.prompt_tokens, a.output_tokens) for a in answers]  # type: ignore[union-attr]
