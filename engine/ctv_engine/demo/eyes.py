"""Teach the seed's vision tower to see, without a word of language.

A real run starts from an image encoder that was trained before; so does the demo's. The tower
learns to tell which facts hold of a picture ("red", "top left", "tallest blue"), with one linear
layer on its pooled output, which is thrown away. What is left to the demo is what a real run
learns: to connect the two.
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


def teach_eyes(
    model: LlavaForConditionalGeneration, parts: Sequence[Part], steps: int, seed: int
) -> None:
    """Train the vision tower alone for ``steps`` steps on pictures of all parts in turn."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tower = model.model.vision_tower
    pictures = [_used(part) for part in parts]
    names = sorted({fact for used in pictures for picture in used for fact in picture.facts})
    place = {fact: index for index, fact in enumerate(names)}
    head = torch.nn.Linear(model.config.vision_config.hidden_size, len(names))
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01)
    pixels = [np.stack([_pixels(picture.png) for picture in used]) for used in pictures]
    start = time.monotonic()
    for step in range(1, steps + 1):
        rate = LEARNING_RATE * min(1.0, step / WARM_UP_STEPS) * (1.02 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        kind = step % len(parts)
        indices = [rng.randrange(len(pictures[kind])) for _ in range(BATCH)]
        wanted = torch.zeros(BATCH, len(names))
        for row, index in enumerate(indices):
            for fact in pictures[kind][index].facts:
                wanted[row, place[fact]] = 1.0
        seen = tower(pixel_values=pixel_values(pixels[kind], indices)).last_hidden_state
        loss = functional.binary_cross_entropy_with_logits(head(seen.mean(dim=1)), wanted)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % max(1, steps // 10) == 0:
            spent = time.monotonic() - start
            print(f"eyes: step {step}  {spent:.0f} s  loss {loss.item():.4f}", flush=True)


def _used(part: Part) -> list[Picture]:
    """Return the pictures of a part that are asked about."""
    return [part.pictures[index] for index in sorted({e.picture for e in part.examples})]


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
