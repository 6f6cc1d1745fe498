"""Prompts about one picture share the prefill of what they have in common.

Closed and open form of an item, and several questions about a picture, begin with the same tokens.
Those are prefilled once per picture; the KV cache is forked for the endings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ctv_engine.models.forward import Forward, ModelInputs, Rows, is_forkable
from ctv_engine.models.inputs import Prepared, Question


class NotShareableError(Exception):
    """These prompts have no common beginning that holds the whole picture."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which rows share a prefix: one leading row per picture, its length, and each row's owner."""

    leaders: tuple[int, ...]
    lengths: tuple[int, ...]
    owner: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """How the rows of a batch share, and the inputs of its leading rows.

    ``parts`` divide the rows; the endings of a part are prefilled together. Closed and open forms
    are two parts, since their endings differ in length and padding is work.
    """

    share: Share
    leaders: Prepared
    parts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a batch after their prefill, with their last logits, float32."""

    rows: tuple[int, ...]
    logits: torch.Tensor
    state: Rows


def find_share(questions: Sequence[Question], prepared: Prepared, image_token: int) -> Share | None:
    """Return how the kept rows can share, or None if no picture stands in two of them.

    A prefix leaves each of its rows at least one token, and holds all image tokens.

    Raises:
        NotShareableError: the rows about a picture differ before its last image token.
    """
    places: dict[str, list[int]] = {}
    for row, index in enumerate(prepared.kept):
        places.setdefault(questions[index].picture.digest, []).append(row)
    if all(len(rows) == 1 for rows in places.values()):
        return None
    owner = [0] * len(prepared.kept)
    lengths: list[int] = []
    for number, rows in enumerate(places.values()):
        prompts = [prepared.ids(row) for row in rows]
        shared = _common(prompts)
        if any(image_token in prompt[shared:] for prompt in prompts):
            raise NotShareableError("prompts about one picture differ before the picture's end")
        lengths.append(shared)
        for row in rows:
            owner[row] = number
    return Share(tuple(rows[0] for rows in places.values()), tuple(lengths), tuple(owner))


def prefill_shared(
    forward: Forward,
    on_device: Callable[[Prepared], ModelInputs],
    prepared: Prepared,
    shared: Shared,
) -> list[Part]:
    """Prefill each picture's prefix once and every row's ending behind its own.

    Raises:
        NotShareableError: the model's cache can't be forked.
    """
    share = shared.share
    heads, ends = on_device(shared.leaders), on_device(prepared)
    head_positions, positions = forward.positions(heads), forward.positions(ends)
    _, prefix = forward.prefill(*_heads(heads, head_positions, share.lengths))
    if not is_forkable(prefix.cache):
        raise NotShareableError("its cache doesn't keep every position of every layer")
    forward.work.shared_tokens += sum(share.lengths[n] for n in share.owner) - sum(share.lengths)
    done: list[Part] = []
    for place, rows in enumerate(shared.parts):
        state = prefix if place == len(shared.parts) - 1 else prefix.copy()
        state.select([share.owner[row] for row in rows])
        rest = [prepared.lengths[row] - share.lengths[share.owner[row]] for row in rows]
        width = max(rest)
        ids = ends["input_ids"][list(rows), -width:]
        left = torch.tensor([width - count for count in rest], device=ids.device).unsqueeze(1)
        mask = (torch.arange(width, device=ids.device) >= left).long()
        behind = None if positions is None else positions[..., list(rows), -width:]
        done.append(Part(rows, forward.extend(state, ids, mask, behind), state))
    return done


def _heads(
    inputs: ModelInputs, positions: torch.Tensor | None, lengths: Sequence[int]
) -> tuple[ModelInputs, torch.Tensor | None]:
    """Cut every leading row after its prefix, padded on the left again."""
    shape = inputs["input_ids"].shape
    width = max(lengths)
    starts = (shape[1] - inputs["attention_mask"].sum(-1)).tolist()

    def cut(value: torch.Tensor) -> torch.Tensor:
        made = value.new_zeros((*value.shape[:-1], width))
        for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            made[..., row, width - length :] = value[..., row, start : start + length]
        return made

    heads: dict[str, Any] = {
        name: cut(value) if value.shape == shape else value for name, value in inputs.items()
    }
    return heads, None if positions is None else cut(positions)


def _common(prompts: Sequence[Sequence[int]]) -> int:
    shortest = min(map(len, prompts)) - 1
    first = prompts[0]
    for place in range(shortest):
        if any(prompt[place] != first[place] for prompt in prompts):
            return place
    return shortest
