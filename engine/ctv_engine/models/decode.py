"""Greedy decoding of many rows: a finished row leaves at once, a waiting group takes its place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ctv_engine.models.answers import FinishReason
from ctv_engine.models.forward import Forward, Rows, is_forkable
from ctv_engine.models.trace import Trace

REPEAT_TOKENS, REPEAT_TIMES, REPEAT_PERIOD = 32, 4, 16
"""An answer is a loop once its last 32 tokens (or four periods) repeat one to sixteen tokens."""

Prefill = Callable[[], tuple[torch.Tensor, Rows]]
"""Prefills one group of rows: returns last logits, (rows, vocabulary), and the rows."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are prefilled together.

    ``indices`` name them, ``caps`` bound their new tokens, ``shares`` are their parts of the
    prefill's time: what is missing to 1 is that of others, prefilled along with them. ``after`` is
    called with the prefill's seconds.
    """

    indices: tuple[int, ...]
    caps: tuple[int, ...]
    shares: tuple[float, ...]
    prefill: Prefill
    after: Callable[[float], None] | None = None


@dataclass
class Answer:
    """One row's outcome. ``tokens`` includes the end token; ``fault`` says why there is none."""

    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "length"
    prefill_s: float = 0.0
    decode_s: float = 0.0
    fault: str | None = None


@dataclass(frozen=True)
class StopRules:
    """When an answer ends: end tokens, stop strings (looked for by ``ends_with_stop``), loops."""

    eos: frozenset[int]
    has_stop: Callable[[list[int]], bool] | None = None

    def reason(self, tokens: list[int], cap: int) -> FinishReason | None:
        """Return why an answer ends here, or None if it goes on."""
        if tokens[-1] in self.eos or (self.has_stop is not None and self.has_stop(tokens)):
            return "stop"
        if len(tokens) >= cap:
            return "length"
        return "repeat" if is_loop(tokens) else None


def is_loop(tokens: Sequence[int]) -> bool:
    """Tell whether the end of ``tokens`` repeats a short sequence over and over."""
    for period in range(1, REPEAT_PERIOD + 1):
        span = max(REPEAT_TOKENS, REPEAT_TIMES * period)
        if len(tokens) < span:
            return False
        if tokens[-1] == tokens[-1 - period] and all(
            tokens[-place] == tokens[-place - period] for place in range(1, span - period + 1)
        ):
            return True
    return False


def decode(
    forward: Forward, groups: Sequence[Group], slots: int, stop: StopRules, trace: Trace
) -> dict[int, Answer]:
    """Answer every row of every group greedily.

    Groups are prefilled in order, the next as soon as it fits among the rows under way, of which
    there are at most ``slots`` (a larger group runs alone). A finished row leaves the batch at
    once, so the rows of all steps together are the tokens written. Rows whose cache can't be merged
    (sliding windows, recurrent states) wait until the group before them is done.
    """
    answers: dict[int, Answer] = {}
    waiting = list(groups)
    live: Rows | None = None
    rows: list[tuple[int, int]] = []  # index and cap of each live row
    logits = torch.empty(0)
    began: float | None = None
    told = 0.0  # until when the time since ``began`` has been divided among rows

    while waiting or rows:
        fits = waiting and len(rows) + len(waiting[0].indices) <= slots
        if waiting and (not rows or (fits and live is not None and is_forkable(live.cache))):
            if began is not None:
                trace.add("decode", began, told)
                began = None
            group = waiting.pop(0)
            before = trace.seconds("prefill")
            with trace.span("prefill"):
                first, new = group.prefill()
            spent_s = trace.seconds("prefill") - before
            if group.after is not None:
                group.after(spent_s)
            for index, share in zip(group.indices, group.shares, strict=True):
                answers[index] = Answer(prefill_s=spent_s * share)
            if live is None or not rows:
                live, logits = new, first
            else:
                live.absorb(new)
                logits = torch.cat([logits, first])
            rows += zip(group.indices, group.caps, strict=True)
            kept = _take(logits, rows, range(len(rows) - len(group.indices), len(rows)), answers,
                         stop)  # fmt: skip
            live, rows, logits = _compact(live, rows, logits, kept)
            continue
        if began is None:
            began = told = time.time()
        tokens = [answers[index].tokens[-1] for index, _ in rows]
        ids = torch.tensor(tokens, device=forward.device).unsqueeze(1)
        assert live is not None
        logits = forward.extend(live, ids, torch.ones_like(ids))
        kept = _take(logits, rows, range(len(rows)), answers, stop)
        stepped, told = told, time.time()
        share_s = (told - stepped) / len(rows)
        for index, _ in rows:
            answers[index].decode_s += share_s
        live, rows, logits = _compact(live, rows, logits, kept)
    if began is not None:
        trace.add("decode", began, told)
    return answers


def _take(
    logits: torch.Tensor,
    rows: Sequence[tuple[int, int]],
    fresh: range,
    answers: dict[int, Answer],
    stop: StopRules,
) -> list[int]:
    """Append the next token of the ``fresh`` rows; return the rows that are still under way."""
    values, tokens = (part.tolist() for part in logits.max(dim=-1))
    kept = [row for row in range(len(rows)) if row not in fresh]
    for row in fresh:
        index, cap = rows[row]
        answer = answers[index]
        if not math.isfinite(values[row]):
            answer.fault = "the model returned NaN or infinite logits"
            continue
        answer.tokens.append(tokens[row])
        reason = stop.reason(answer.tokens, cap)
        if reason is None:
            kept.append(row)
        else:
            answer.finish_reason = reason
    return sorted(kept)


def _compact(
    live: Rows, rows: list[tuple[int, int]], logits: torch.Tensor, kept: list[int]
) -> tuple[Rows, list[tuple[int, int]], torch.Tensor]:
    if len(kept) == len(rows):
        return live, rows, logits
    if kept:
        live.select(kept)
        live.trim()
    return live, [rows[row] for row in kept], logits[kept]
