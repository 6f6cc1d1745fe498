"""A stated cost model: what the paper's validation set would cost a 7 B model on A100 GPUs.

Not measured. Every number is an assumption that :func:`assumptions` says out loud; the shape of
the model is that of Qwen2.5-VL-7B.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ctv_engine.runtime.costs import Name
from ctv_engine.runtime.plan import cut_batches, cut_open
from ctv_engine.runtime.simulate import Workload, stand_in
from ctv_engine.runtime.waiting import Schedule

CostModelName = Literal["a100-7b", "a100-7b-batch1"]

DATASETS: tuple[tuple[str, int, float], ...] = (
    ("ChartQA", 450, 9),
    ("InfoVQA", 450, 9),
    ("DocVQA", 450, 9),
    ("MathVista", 250, 180),
    ("MM-Vet", 180, 120),
    ("VizWiz", 450, 6),
)
"""Name, items, median length of an open answer in tokens."""
ANSWER_SIGMA = 0.8
RUN_ON_SHARE, CAP = 0.015, 1024
SAME_LENGTH_SIGMA = 0.2
"""How far an answer's length moves from one checkpoint to the next (sigma of its logarithm)."""
VISUAL_MEDIAN, VISUAL_SIGMA, VISUAL_RANGE = 1200.0, 0.25, (256, 2560)
TEXT_RANGE = (60, 240)
PEAK_FLOPS, MFU = 312e12, 0.55
STEP_S, SLOTS = 0.032, 32
BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class StatedItem:
    """One item: tokens to read and tokens written."""

    name: Name
    visual: int
    text: int
    written: int

    @property
    def tokens(self) -> int:
        """Tokens of the prompt."""
        return self.visual + self.text


def assumptions(model: CostModelName) -> tuple[str, ...]:
    """Return every assumption of a model in words."""
    medians = ", ".join(f"{name} {median:g}" for name, _, median in DATASETS)
    rows = (
        "one item at a time"
        if model == "a100-7b-batch1"
        else f"up to {SLOTS} rows; a free row is refilled from the same unit"
    )
    return (
        "2,230 items: " + ", ".join(f"{name} {items}" for name, items, _ in DATASETS),
        f"visual tokens lognormal, median {VISUAL_MEDIAN:,.0f}, sigma {VISUAL_SIGMA}; text"
        f" {TEXT_RANGE[0]} to {TEXT_RANGE[1]} tokens",
        f"prefill at {MFU:.0%} of {PEAK_FLOPS / 1e12:.0f} TFLOP/s, shape of Qwen2.5-VL-7B",
        f"open answers lognormal, median {medians} tokens, sigma {ANSWER_SIGMA};"
        f" {RUN_ON_SHARE:.1%} of all run on to {CAP:,}",
        f"a decode step takes {STEP_S * 1000:.0f} ms whatever its rows; {rows}; it waits for"
        " prefill",
        "order by the lengths at the checkpoint before: the same but for a factor with sigma"
        f" {SAME_LENGTH_SIGMA}; run-ons stay run-ons",
        "pixels ready, no time between units",
    )


def stated_items(seed: int = 0) -> list[StatedItem]:
    """Draw the validation set, dataset by dataset."""
    rng = random.Random(seed)
    items: list[StatedItem] = []
    for dataset, count, median in DATASETS:
        for number in range(count):
            visual = round(rng.lognormvariate(math.log(VISUAL_MEDIAN), VISUAL_SIGMA))
            written = max(1, min(CAP, round(rng.lognormvariate(math.log(median), ANSWER_SIGMA))))
            items.append(
                StatedItem(
                    name=(dataset, f"{number:03d}"),
                    visual=min(max(visual, VISUAL_RANGE[0]), VISUAL_RANGE[1]),
                    text=rng.randint(*TEXT_RANGE),
                    written=CAP if rng.random() < RUN_ON_SHARE else written,
                )
            )
    return items


def prefill_s(item: StatedItem) -> float:
    """Return the seconds of one item's prefill, from its floating-point operations.

    Language model: 6.53 B weights and causal attention in 28 layers of width 3,584. Vision: 630 M
    weights over 4 patches per token, full attention in 4 blocks of width 1,280, windows of 64
    patches in 28; merger 44.6 M weights.
    """
    tokens, patches = item.tokens, 4 * item.visual
    language = 2 * 6.53e9 * tokens + 28 * 2 * tokens**2 * 3584
    vision = 2 * 630e6 * patches + 2 * 44.6e6 * item.visual
    attention = 4 * 4 * patches**2 * 1280 + 28 * 4 * patches * 64 * 1280
    return (language + vision + attention) / (PEAK_FLOPS * MFU)


def closed_s(items: Sequence[StatedItem]) -> float:
    """Return the seconds of a closed unit: its prefills, and the language model over padding."""
    widest = max(item.tokens for item in items)
    padding = sum(widest - item.tokens for item in items)
    return math.fsum(map(prefill_s, items)) + padding * 2 * 6.53e9 / (PEAK_FLOPS * MFU)


def open_s(items: Sequence[StatedItem], slots: int = SLOTS) -> float:
    """Return the seconds of an open unit decoded in ``slots`` rows that are refilled."""
    ends: list[int] = []
    for item in items:
        start = heapq.heappop(ends) if len(ends) == slots else 0
        heapq.heappush(ends, start + item.written)
    return math.fsum(map(prefill_s, items)) + max(ends) * STEP_S


def stated_workload(
    mode: Literal["closed", "open"],
    schedule: Schedule,
    model: CostModelName = "a100-7b",
    seed: int = 0,
) -> Workload:
    """Return the validation set in one mode.

    Under ``queue`` it is cut as the engine's plan cuts it. Under ``static`` every dataset is cut by
    itself and in its own order, as a barrier after each demands: closed units as large as the
    queue's, open ones of as many items as there are decoding rows. ``a100-7b-batch1`` answers one
    item at a time.
    """
    items = stated_items(seed)
    cuts = _cuts(items, mode, schedule, model)
    unit_s: Callable[[Sequence[StatedItem]], float] = closed_s if mode == "closed" else open_s
    rng = random.Random(seed + 1)
    before = [_checkpoint_before(item, rng) for item in items]
    return Workload(
        mode=mode,
        task=mode,
        batches=tuple(
            stand_in(
                number,
                [items[i].name for i in cut],
                [items[i].tokens for i in cut],
                CAP,
            )
            for number, cut in enumerate(cuts)
        ),
        seconds=_shares(items, cuts, unit_s),
        earlier=_shares(before, cuts, unit_s),
    )


def _cuts(
    items: Sequence[StatedItem], mode: str, schedule: Schedule, model: CostModelName
) -> list[list[int]]:
    if model == "a100-7b-batch1":
        return [[index] for index in range(len(items))]
    tokens = [item.tokens for item in items]
    if schedule == "queue":
        if mode == "closed":
            return cut_batches(tokens, token_budget=BATCH_TOKENS, max_rows=SLOTS)
        return cut_open(tokens, slots=SLOTS)
    mean = sum(tokens) / len(tokens)
    height = max(1, round(BATCH_TOKENS / mean)) if mode == "closed" else SLOTS
    cuts: list[list[int]] = []
    start = 0
    for _, count, _ in DATASETS:
        stop = start + count
        cuts += [list(range(i, min(i + height, stop))) for i in range(start, stop, height)]
        start = stop
    return cuts


def _checkpoint_before(item: StatedItem, rng: random.Random) -> StatedItem:
    """Return the item as the checkpoint before answered it."""
    factor = rng.lognormvariate(0, SAME_LENGTH_SIGMA)
    written = CAP if item.written == CAP else max(1, min(CAP, round(item.written * factor)))
    return StatedItem(item.name, item.visual, item.text, written)


def _shares(
    items: Sequence[StatedItem],
    cuts: Sequence[Sequence[int]],
    unit_s: Callable[[Sequence[StatedItem]], float],
) -> Mapping[Name, float]:
    """Return every item's share of its unit's seconds."""
    seconds: dict[Name, float] = {}
    for cut in cuts:
        own = [items[index] for index in cut]
        share = unit_s(own) / len(own)
        seconds |= {item.name: share for item in own}
    return seconds
