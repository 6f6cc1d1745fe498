"""The plain path of the open task: the library's own ``generate``, all rows until the last ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from ctv_engine.models.decode import Answer, StopRules
from ctv_engine.models.forward import Forward, ModelInputs
from ctv_engine.models.trace import Trace


def generate_plainly(
    forward: Forward, inputs: ModelInputs, caps: Sequence[int], stop: StopRules, trace: Trace
) -> list[Answer]:
    """Answer a batch greedily with ``model.generate``; one answer a row.

    A step's time is divided among the rows that were still writing in it.
    """
    steps = _StepClock()
    started = time.time()
    with torch.inference_mode():
        output = forward.model.generate(
            **inputs,
            max_new_tokens=max(caps),
            stopping_criteria=StoppingCriteriaList([steps]),
        )
    trace.add("prefill", started, steps.at[0])
    if len(steps.at) > 1:
        trace.add("decode", steps.at[0], steps.at[-1])
    # An encoder-decoder's output has no prompt; its first token is the decoder's start.
    prompt = 1 if forward.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    answers = [
        _cut(row, cap, stop) for row, cap in zip(output[:, prompt:].tolist(), caps, strict=True)
    ]
    forward.work.forwards += len(steps.at)
    forward.work.row_steps += len(answers) * (len(steps.at) - 1)
    forward.work.processed_tokens += inputs["input_ids"].numel()
    forward.work.prompt_tokens += int(inputs["attention_mask"].sum())
    lengths = [len(answer.tokens) for answer in answers]
    for answer, decode_s in zip(answers, decode_shares(steps.at, lengths), strict=True):
        answer.prefill_s = (steps.at[0] - started) / len(answers)
        answer.decode_s = decode_s
    return answers


def decode_shares(at: Sequence[float], lengths: Sequence[int]) -> list[float]:
    """Divide each step after the first among the rows that were still running in it."""
    shares = [0.0] * len(lengths)
    for step in range(1, len(at)):
        running = [row for row, length in enumerate(lengths) if length > step]
        for row in running:
            shares[row] += (at[step] - at[step - 1]) / len(running)
    return shares


def _cut(tokens: list[int], cap: int, stop: StopRules) -> Answer:
    for count in range(1, len(tokens) + 1):
        reason = stop.reason(tokens[:count], cap)
        if reason is not None:
            return Answer(tokens[:count], reason)
    return Answer(tokens)


class _StepClock(StoppingCriteria):  # type: ignore[misc]
    """Notes when each token was there; never stops anything."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        input_ids[:, -1].cpu()
        self.at.append(time.time())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
