"""Vectors that stand in for a picture: its facts as a projector might one day hand them over.

Clean words at an image's places would be unlike anything that a projector makes of a picture. So
each place holds a mixture of the facts' embeddings, of other strength everywhere, with noise, an
offset common to the picture, and a scale of its own. What is taught to read that reads a fact from
anything near its word.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlavaProcessor

from ctv_engine.demo.model import IMAGE_TOKENS

# Largest length of a place's noise and of a picture's offset, as a share of a fact's.
NOISE, OFFSET = 1.5, 1.0
LEAST_SCALE, LARGEST_SCALE = 0.5, 2.0


def fact_ids(processor: LlavaProcessor, facts: Sequence[str]) -> list[int]:
    """Return two tokens for each fact: as it begins an answer, and with a space before it.

    Raises:
        ValueError: a fact isn't one token.
    """
    ids = []
    for fact in facts:
        for form in (fact, f" {fact}"):
            tokens = processor.tokenizer(form, add_special_tokens=False).input_ids
            if len(tokens) != 1:
                raise ValueError(f"{form!r} is {len(tokens)} tokens; a fact must be one")
            ids += tokens
    return ids


def picture_vectors(
    embeddings: torch.Tensor,
    marker: torch.Tensor,
    facts: Sequence[Sequence[int]],
    blur: float,
    places: int = IMAGE_TOKENS,
) -> torch.Tensor:
    """Draw the vectors at the image's places for each of n pictures, float32 (n, places, width).

    Args:
        embeddings: of all tokens, (tokens, width).
        marker: what all places have in common, (width,): pictures can be found by it.
        facts: the tokens that stand for each picture's facts, two for each fact.
        blur: 0 … 1, how far from clean the vectors are.
        places: how many a picture has.
    """
    most = max(map(len, facts)) // 2
    ids = torch.tensor([[*row, *[0] * (2 * most - len(row))] for row in facts])
    known = torch.tensor(
        [[1.0] * (len(row) // 2) + [0.0] * (most - len(row) // 2) for row in facts]
    )
    count, width = len(facts), embeddings.shape[1]
    # A fact is the mean of its two tokens, so that it can be answered and looked up alike.
    words = embeddings[ids].view(count, most, 2, width).mean(dim=2)
    # Some pictures say everything everywhere, in others a place tells one fact in three.
    presence = torch.where(torch.rand(count, 1, 1) < 0.5, 1.0, 0.35)
    weights = (torch.rand(count, places, most) < presence).float()
    weights *= 1.0 - blur * 0.8 * torch.rand(count, places, most)
    mixed = torch.einsum("npf,nfw->npw", weights * known[:, None], words)
    length = words.detach().norm(dim=-1).mean() / width**0.5
    noise = torch.randn(count, places, width) * torch.rand(count, 1, 1) * NOISE
    offset = torch.randn(count, 1, width) * torch.rand(count, 1, 1) * OFFSET
    low, high = torch.tensor([LEAST_SCALE, LARGEST_SCALE]).log()
    scale = torch.exp(low + (high - low) * torch.rand(count, 1, 1))
    vectors: torch.Tensor = (marker + mixed + blur * length * (noise + offset)) * scale**blur
    return vectors
