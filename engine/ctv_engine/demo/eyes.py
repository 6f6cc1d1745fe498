"""Teach the seed's vision tower to see, without a word of language.

A real run starts from an image encoder that was trained before; so does the demo's. From each of
the tower's 16 outputs, and from their mean, one linear layer tells which facts hold of the picture
("red", "top", "7"). Then it is thrown away. What is left to the demo is what a real run learns: to
connect the two.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from ctv_engine.demo.batches import pixel_values
from ctv_engine.demo.data import Part
from ctv_engine.demo.examples import Picture

BATCH = 64
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 100
# Shapes take longest to tell apart: they are drawn twice as often as digits and charts.
TURNS = (0, 1, 0, 2)


def teach_eyes(
    model: LlavaForConditionalGeneration,
    parts: Sequence[Part],
    held_out: Sequence[Part],
    steps: int,
    seed: int,
) -> None:
    """Train the vision tower alone for ``steps`` steps, printing what it sees in held-out parts."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tower = model.model.vision_tower
    names = sorted({f for part in parts for picture in part.pictures for f in picture.facts})
    head = torch.nn.Linear(model.config.vision_config.hidden_size, len(names))
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.05)
    lessons = [_pixels_and_facts(part, names) for part in parts]
    checks = [_pixels_and_facts(part, names) for part in held_out]
    start = time.monotonic()
    for step in range(1, steps + 1):
        rate = LEARNING_RATE * min(1.0, step / WARM_UP_STEPS) * (1.02 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        pixels, facts = lessons[TURNS[step % len(TURNS)]]
        indices = [rng.randrange(len(pixels)) for _ in range(BATCH)]
        wanted = facts[indices]
        seen = tower(pixel_values=pixel_values(pixels, indices)).last_hidden_state
        loss = functional.binary_cross_entropy_with_logits(head(seen.mean(dim=1)), wanted)
        everywhere = wanted[:, None].expand(-1, seen.shape[1], -1)
        loss = loss + functional.binary_cross_entropy_with_logits(head(seen), everywhere)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % max(1, steps // 10) == 0:
            shares = "  ".join(
                f"{100 * _all_facts_seen(tower, head, pixels, facts):.0f} %"
                for pixels, facts in checks
            )
            print(
                f"eyes: step {step}  {time.monotonic() - start:.0f} s  loss {loss.item():.4f}  "
                f"all facts right {shares}",
                flush=True,
            )


@torch.no_grad()
def _all_facts_seen(
    tower: torch.nn.Module, head: torch.nn.Linear, pixels: np.ndarray, facts: torch.Tensor
) -> float:
    seen = tower(pixel_values=pixel_values(pixels, range(len(pixels)))).last_hidden_state
    told = head(seen.mean(dim=1)) > 0
    return float((told == facts.bool()).all(dim=1).float().mean())


def _pixels_and_facts(part: Part, names: Sequence[str]) -> tuple[np.ndarray, torch.Tensor]:
    """Return the pictures asked about, uint8 (n, 64, 64, 3), and their facts, 0 or 1 (n, names)."""
    used: list[Picture] = [part.pictures[i] for i in sorted({e.picture for e in part.examples})]
    facts = torch.tensor([[float(name in picture.facts) for name in names] for picture in used])
    return np.stack([_pixels(picture.png) for picture in used]), facts


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
