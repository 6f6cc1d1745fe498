"""What an adapter returns for an item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctv_engine.scoring.closed import ClosedScore

FinishReason = Literal["stop", "length", "repeat"]


@dataclass(frozen=True, slots=True)
class ClosedAnswer:
    """One prefill's outcome. ``prefill_s`` is the item's share of its batch, in seconds."""

    score: ClosedScore
    prompt_tokens: int
    prefill_s: float


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """One greedy generation's outcome.

    ``output_tokens`` counts generated tokens with the end token. ``prefill_s`` is the item's even
    share of the batch's prefill; ``decode_s`` its share of every later step, which is divided among
    the rows still running in it: over a batch both add up to the time the device spent.
    """

    text: str
    prompt_tokens: int
    output_tokens: int
    finish_reason: FinishReason
    prefill_s: float
    decode_s: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An item that could not be answered, and why."""

    reason: str
