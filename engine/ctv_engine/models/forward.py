"""Running a model: one prefill, and its continuation from a KV cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from ctv_engine.models.work import Work

ModelInputs = dict[str, torch.Tensor]
"""What a processor made of a batch, on the model's device; ``input_ids`` padded on the left."""


@dataclass
class Rows:
    """Sequences under way, one a row: KV cache, mask of real positions, and the next position.

    ``mask`` is int64 (rows, width) over the cached positions; padding lies left of a row's tokens,
    or between a shared prefix and the row's own ending. ``position`` is that of the next token,
    (rows, 1), or (axes, rows, 1) where positions have several axes.
    """

    cache: Any
    mask: torch.Tensor
    position: torch.Tensor | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.mask.shape[0])

    def select(self, rows: Sequence[int]) -> Rows:
        """Keep these rows, in this order; a row may be named more than once. Works in place."""
        index = torch.tensor(list(rows), device=self.mask.device)
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index]
        if self.position is not None:
            self.position = self.position[..., index, :]
        return self

    def copy(self) -> Rows:
        """Return rows whose cache may be changed without changing this one's."""
        cache = DynamicCache()
        for number, layer in enumerate(self.cache.layers):
            cache.update(layer.keys, layer.values, number)
        return Rows(cache, self.mask, self.position)

    def trim(self) -> None:
        """Drop leading positions that are padding in every row."""
        first = int(self.mask.any(dim=0).int().argmax())
        if first and is_forkable(self.cache):
            self.mask = self.mask[:, first:]
            for layer in self.cache.layers:
                layer.keys = layer.keys[..., first:, :]
                layer.values = layer.values[..., first:, :]

    def absorb(self, other: Rows) -> None:
        """Append another's rows, padding the narrower of the two on the left."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        mine, theirs = width - self.mask.shape[1], width - other.mask.shape[1]
        pad = functional.pad
        for layer, more in zip(self.cache.layers, other.cache.layers, strict=True):
            for name in ("keys", "values"):
                ours, new = getattr(layer, name), getattr(more, name)
                joined = torch.cat([pad(ours, (0, 0, mine, 0)), pad(new, (0, 0, theirs, 0))])
                setattr(layer, name, joined)
        self.mask = torch.cat([pad(self.mask, (mine, 0)), pad(other.mask, (theirs, 0))])
        if self.position is not None and other.position is not None:
            self.position = torch.cat([self.position, other.position], dim=-2)


def is_forkable(cache: Any) -> bool:
    """Tell whether a cache keeps every position of every layer, so that rows can be forked.

    Sliding windows and recurrent states don't: what they keep depends on where padding lies.
    """
    return all(type(layer) is DynamicLayer for layer in cache.layers)


class Forward:
    """One model and the calls that are made of it. Counts its work in ``work``."""

    def __init__(self, model: Any, work: Work | None = None) -> None:
        self.model = model
        self.work = work if work is not None else Work()
        accepted = inspect.signature(type(model).forward).parameters
        self._accepts = frozenset(accepted)
        self.keeps_last = "logits_to_keep" in accepted
        text = model.config.get_text_config()
        self.decodes_stepwise = (
            not model.config.is_encoder_decoder
            and self.keeps_last
            and {"past_key_values", "attention_mask", "position_ids"} <= self._accepts
            and hasattr(model, "_prepare_position_ids_for_generation")
        )
        self.context: int | None = getattr(text, "max_position_embeddings", None)

    @property
    def image_token(self) -> int | None:
        """The id of the token that stands for a part of a picture, where the model tells it."""
        config = self.model.config
        for name in ("image_token_id", "image_token_index"):
            token = getattr(config, name, None)
            if isinstance(token, int):
                return token
        return None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def positions(self, inputs: ModelInputs) -> torch.Tensor | None:
        """Return position ids as ``generate`` would make them, (..., rows, width), or None."""
        if not self.decodes_stepwise:
            return None
        rest = {name: value for name, value in inputs.items() if name != "input_ids"}
        found: torch.Tensor = self.model._prepare_position_ids_for_generation(
            inputs["input_ids"], rest
        )
        return found

    @torch.inference_mode()
    def last_logits(self, inputs: ModelInputs) -> torch.Tensor:
        """Prefill without keeping anything; return the last logits, float32 (rows, vocabulary)."""
        keep: dict[str, Any] = {"logits_to_keep": 1} if self.keeps_last else {}
        positions = self.positions(inputs)
        if positions is not None:
            keep["position_ids"] = positions
        self._count(inputs["attention_mask"])
        output = self.model(**inputs, use_cache=False, **keep)
        return _last(output.logits)

    @torch.inference_mode()
    def prefill(
        self, inputs: ModelInputs, positions: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Rows]:
        """Prefill and keep the KV cache; return the last logits and the rows."""
        if positions is None:
            positions = self.positions(inputs)
        self._count(inputs["attention_mask"])
        output = self.model(
            **inputs,
            position_ids=positions,
            past_key_values=DynamicCache(config=self.model.config.get_text_config()),
            use_cache=True,
            logits_to_keep=1,
        )
        following = None if positions is None else positions[..., -1:] + 1
        rows = Rows(output.past_key_values, inputs["attention_mask"], following)
        return _last(output.logits), rows

    @torch.inference_mode()
    def extend(
        self,
        rows: Rows,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Put ``ids`` (rows, n) behind the rows, in place; return the last logits.

        ``mask`` (rows, n) is 0 where ``ids`` are padding, which must stand on the left.
        ``positions`` are those of ``ids``, the end of a prompt; if not given, ``ids`` are what was
        just decoded, and each row goes on from its last position.
        """
        decodes = positions is None
        if positions is None and rows.position is not None:
            steps = torch.arange(ids.shape[1], device=ids.device)
            positions = rows.position + steps
        logits = self._continue(rows, ids, mask, positions, keep=1)
        if decodes:
            self.work.forwards += 1
            self.work.row_steps += ids.shape[0]
        else:
            self._count(mask)
        return _last(logits)

    @torch.inference_mode()
    def continuation_logprobs(self, rows: Rows, endings: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each row's ending after its first token, in place.

        The first tokens' own are in the prefill's logits. Natural logarithms, summed; over the full
        vocabulary in float32. Every ending has two tokens at least.
        """
        device = rows.mask.device
        width = max(map(len, endings)) - 1
        ids = torch.zeros((len(endings), width), dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        for row, ending in enumerate(endings):
            ids[row, width - len(ending) + 1 :] = torch.tensor(ending[:-1], device=device)
            mask[row, width - len(ending) + 1 :] = 1
        positions = None
        if rows.position is not None:
            positions = rows.position + (mask.cumsum(dim=1) - 1).clamp(min=0)
        output = self._continue(rows, ids, mask, positions, keep=width)
        self._count(mask)
        sums: list[float] = []
        for logits, ending in zip(output, endings, strict=True):
            chosen = torch.tensor(ending[1:], device=device).unsqueeze(1)
            logprobs = torch.log_softmax(logits[1 - len(ending) :].float(), dim=-1)
            sums.append(float(logprobs.gather(1, chosen).double().sum()))
        return sums

    def _continue(
        self,
        rows: Rows,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor | None,
        *,
        keep: int,
    ) -> torch.Tensor:
        """Put ``ids`` behind the rows, in place; return the logits of the last ``keep``."""
        rows.mask = torch.cat([rows.mask, mask], dim=1)
        output = self.model(
            input_ids=ids,
            attention_mask=rows.mask,
            position_ids=positions,
            past_key_values=rows.cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        rows.cache = output.past_key_values
        rows.position = None if positions is None else positions[..., -1:] + 1
        logits: torch.Tensor = output.logits
        return logits

    def _count(self, mask: torch.Tensor) -> None:
        self.work.forwards += 1
        self.work.processed_tokens += mask.numel()
        self.work.prompt_tokens += int(mask.sum())


def _last(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1].float()
