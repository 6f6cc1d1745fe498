"""Cloze scores: how probable each option's text is as the answer, without a list of options.

For checkpoints that can't bind options to letters yet (OLMES, Gu et al., arXiv 2406.08446, 2024:
its cloze form with the log-probability per character). A text's log-probability is the sum over
its tokens, each given the prompt and the tokens before it, over the full vocabulary in float32; no
end of answer is asked for. It is divided by the text's length in characters (Unicode code points,
without the space that may stand before it), so that long options don't lose by being long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ctv_engine.models.answers import Unanswered
from ctv_engine.models.forward import Forward, ModelInputs
from ctv_engine.models.letters import place_of_answer
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import Chunk, TransformersAdapter
from ctv_engine.suite import LETTERS


@dataclass(frozen=True, slots=True)
class ClozeScore:
    """Natural log-probabilities per character of the options' texts, in the options' order."""

    per_character: tuple[float, ...]
    correct: bool


Outcome = ClozeScore | Unanswered
Tokens = list[list[int]]
"""The token ids of every option of an item."""


def cloze(
    adapter: TransformersAdapter,
    chunks: Sequence[Chunk],
    texts: Sequence[Sequence[str]],
    keys: Sequence[int],
    trace: Trace,
) -> list[Outcome]:
    """Score the options of questions that were prepared as open ones.

    The prompt is prefilled once and its KV cache forked for the options where that is proven for
    the architecture; otherwise ``generate`` is made to write each text.

    Args:
        adapter: with the checkpoint resident.
        chunks: the questions' inputs.
        texts: the options of each question.
        keys: the index of each question's right option.
        trace: collects the time it takes.
    """
    found: dict[int, Outcome] = {}
    for chunk in chunks:
        found |= {chunk.places[index]: why for index, why in chunk.prepared.unanswered.items()}
        tokens: dict[int, Tokens] = {}
        for row, index in enumerate(chunk.prepared.kept):
            place = chunk.places[index]
            split = _tokens(adapter, chunk, row, texts[place])
            if isinstance(split, Unanswered):
                found[place] = split
            else:
                tokens[row] = split
        if not tokens:
            continue
        with trace.span("prefill"):
            forked = adapter.abilities.share and adapter.stepwise
            sums = (_forked if forked else _written)(adapter, chunk, tokens)
        for row, logprobs in sums.items():
            place = chunk.places[chunk.prepared.kept[row]]
            found[place] = _score(logprobs, texts[place], keys[place])
    return [found[place] for place in range(len(found))]


def _score(logprobs: Sequence[float], texts: Sequence[str], key: int) -> Outcome:
    if not all(map(math.isfinite, logprobs)):
        return Unanswered("the model returned NaN or infinite logits for an option's text")
    values = [total / len(text) for total, text in zip(logprobs, texts, strict=True)]
    best = max(range(len(values)), key=values.__getitem__)
    return ClozeScore(tuple(values), best == key)


# --- tokens -------------------------------------------------------------------------------------


def _tokens(
    adapter: TransformersAdapter, chunk: Chunk, row: int, texts: Sequence[str]
) -> Tokens | Unanswered:
    """Return the tokens of a question's options right behind its prompt."""
    prompt = chunk.prepared.ids(row)
    tokenizer = adapter.inputs.tokenizer
    rendered = adapter.inputs.render(chunk.questions[chunk.prepared.kept[row]].text)
    with adapter.inputs.lock:
        found = option_tokens(tokenizer, prompt, rendered, texts)
    for letter, tokens in zip(LETTERS, found, strict=False):
        if not tokens:
            return Unanswered(f"the text of option {letter} has no token in this tokenizer")
    longest, context = max(map(len, found)), adapter.forward.context
    if context is not None and len(prompt) + longest > context:
        return Unanswered(
            f"prompt of {len(prompt)} tokens and an option of {longest} do not fit the model's"
            f" context of {context}"
        )
    return found


def option_tokens(tokenizer: Any, prompt: list[int], rendered: str, texts: Sequence[str]) -> Tokens:
    """Return the ids of each text as it continues ``prompt``, whose text ends as ``rendered``.

    After a word or a mark (``ASSISTANT:``) a text begins with a space; after white space or a
    special token it doesn't. A text is tokenised with the prompt's end; where that would change the
    prompt's own tokens, by itself.
    """
    place = place_of_answer(tokenizer, prompt, rendered)
    bare = place[-1:].isspace() or prompt[-1] in tokenizer.all_special_ids
    before: list[int] = tokenizer(place, add_special_tokens=False).input_ids
    found: Tokens = []
    for text in texts:
        answer = text if bare else f" {text}"
        ids: list[int] = tokenizer(place + answer, add_special_tokens=False).input_ids
        if ids[: len(before)] != before:
            ids = before + tokenizer(answer, add_special_tokens=False).input_ids
        found.append(ids[len(before) :])
    return found


# --- log-probabilities --------------------------------------------------------------------------


def _forked(
    adapter: TransformersAdapter, chunk: Chunk, tokens: dict[int, Tokens]
) -> dict[int, list[float]]:
    """Return each option's log-probability behind one prefill of its prompt, by row."""
    sums: dict[int, list[float]] = {}
    for part in adapter.prefill(chunk):
        rows = [(place, row) for place, row in enumerate(part.rows) if row in tokens]
        first = torch.log_softmax(part.logits, dim=-1)
        for place, row in rows:
            heads = [ids[0] for ids in tokens[row]]
            sums[row] = first[place, heads].tolist()
        owners = [
            (place, row, option)
            for place, row in rows
            for option, ids in enumerate(tokens[row])
            if len(ids) > 1
        ]
        if not owners:
            continue
        state = part.state.select([place for place, _, _ in owners])
        endings = [tokens[row][option] for _, row, option in owners]
        rest = adapter.forward.continuation_logprobs(state, endings)
        for (_, row, option), more in zip(owners, rest, strict=True):
            sums[row][option] += more
    return sums


def _written(
    adapter: TransformersAdapter, chunk: Chunk, tokens: dict[int, Tokens]
) -> dict[int, list[float]]:
    """Return each option's log-probability as the library's own ``generate`` comes upon it."""
    sums: dict[int, list[float]] = {}
    for row, options in tokens.items():
        question = chunk.questions[chunk.prepared.kept[row]]
        alone = adapter.inputs.build([question], adapter.forward.context)
        inputs = adapter.on_device(alone)
        sums[row] = [_forced(adapter.forward, inputs, ids) for ids in options]
    return sums


def _forced(forward: Forward, inputs: ModelInputs, ids: list[int]) -> float:
    start = 1 if forward.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    with torch.inference_mode():
        output = forward.model.generate(
            **inputs,
            max_new_tokens=len(ids),
            prefix_allowed_tokens_fn=lambda _, written: [ids[written.shape[-1] - start]],
            output_logits=True,
            return_dict_in_generate=True,
        )
    forward.work.forwards += len(output.logits)
    forward.work.processed_tokens += inputs["input_ids"].numel()
    forward.work.prompt_tokens += inputs["input_ids"].numel()
    if len(output.logits) < len(ids):  # a token that ends an answer stands within the text
        return math.nan
    return math.fsum(
        float(torch.log_softmax(step[0].float(), dim=-1)[token])
        for step, token in zip(output.logits, ids, strict=True)
    )
