"""Make the seed: a language part that knows the questions, eyes that see, and no link between.

Looking an answer up among lettered options is a skill of the language part, and learning it takes
longer than a demo lasts. So it is taught beforehand, with text only:

* lists of options followed by many queries, "word" to "letter", first alone, then among the rest;
* the demo's questions, open and closed, with a few words about the picture in its place.

The eyes are taught apart from that, by :mod:`ctv_engine.demo.eyes`. The budget is a number of
steps, so that the same machine makes the same weights; the committed seed was made by two calls::

    python -m ctv_engine.demo.seed --out /tmp/seed --steps 4000
    python -m ctv_engine.demo.seed --out assets/demo-seed --steps 2000 --seed 1 --start /tmp/seed
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from ctv_engine.demo.batches import Lesson, make_batch, question_lesson
from ctv_engine.demo.data import Part, build_parts
from ctv_engine.demo.digits import DIGITS
from ctv_engine.demo.examples import DATASETS, Example, Picture
from ctv_engine.demo.eyes import teach_eyes
from ctv_engine.demo.model import (
    IMAGE,
    IMAGE_TOKENS,
    build_model,
    build_processor,
    load,
    train_tokenizer,
)
from ctv_engine.demo.shapes import COLOURS, SHAPES
from ctv_engine.suite import LETTERS

BATCH = 16
LEARNING_RATE, POLISH_RATE = 2e-3, 8e-4
BETAS = (0.9, 0.98)
WARM_UP_STEPS = 50
DEFAULT_STEPS = 4000
QUERIES = 24
# Looking up comes first, alone; after that lessons take turns.
LIST_SHARE = 0.3
TURNS = ("list", "closed", "open")
# Closed questions are learnt last: they need both the answer and the looking up.
POLISH_TURNS = ("list", "closed", "closed", "open", "closed", "closed")
EYE_STEPS = 1500


def train_processor(parts: Sequence[Part]) -> LlavaProcessor:
    """Return a processor whose tokenizer knows every word of the demo as one token."""
    rng = random.Random(0)
    plain = build_processor(train_tokenizer([]))
    texts: list[str] = []
    for part in parts:
        for example in part.examples[:4000]:
            for closed in (True, False):
                texts += question_lesson(plain, example, closed, rng).parts
            texts += [f" {fact}" for fact in part.pictures[example.picture].facts]
    words = {word for text in texts for word in text.replace("\n", " ").split(" ") if word}
    texts += [form for word in sorted(words) for form in (word, f" {word}") for _ in range(50)]
    return build_processor(train_tokenizer(texts))


def list_lesson(rng: random.Random, answers: Sequence[str], most: int) -> Lesson:
    """Return a list of up to ``most`` lettered options and queries for the letter of one of them.

    Many queries per list: it is the repeated ones that make looking up begin.
    """
    options = rng.sample(list(answers), min(rng.randint(min(4, most), most), len(answers)))
    letters = LETTERS[: len(options)]
    lines = "\n".join(f"{letter}. {o}" for letter, o in zip(letters, options, strict=True))
    parts = [f"{lines}\n"]
    for _ in range(QUERIES):
        place = rng.randrange(len(options))
        # With its space the word is the same token as in the list: that's what can be looked up.
        parts[-1] += f" {options[place]}"
        parts += [letters[place], ""]
    return Lesson(tuple(parts[:-1]))


def facts_in_place(picture: Picture, rng: random.Random) -> str:
    """Scatter a picture's facts, in any order, over the places of its image tokens.

    Every fact takes two or more of the 16 places; so the position of the question is that of a
    real prompt, and the language part learns to look for a fact wherever it lies.
    """
    facts = rng.sample(picture.facts, len(picture.facts))
    slots = [IMAGE] * (IMAGE_TOKENS - sum(len(fact.split()) for fact in facts))
    for fact in facts:
        slots.insert(rng.randint(0, len(slots)), f" {fact}")
    return "".join(slots)


def answer_lists(parts: Sequence[Part]) -> list[list[str]]:
    """Return the answers that may stand in one list of options, by kind."""
    captions = sorted({e.answer for part in parts for e in part.examples if e.dataset == "caption"})
    return [list(COLOURS), list(SHAPES), list(DIGITS), ["yes", "no"], captions,
            [*COLOURS, *SHAPES, *DIGITS]]  # fmt: skip


def by_dataset(parts: Sequence[Part]) -> dict[str, list[tuple[Example, Picture]]]:
    """Group the examples of all parts by dataset, each with its picture."""
    groups: dict[str, list[tuple[Example, Picture]]] = {d.name: [] for d in DATASETS}
    for part in parts:
        for example in part.examples:
            groups[example.dataset].append((example, part.pictures[example.picture]))
    return groups


def lessons(
    processor: LlavaProcessor,
    parts: Sequence[Part],
    rng: random.Random,
    list_steps: int,
    turns: Sequence[str],
) -> Iterator[list[Lesson]]:
    """Yield batches of lessons for ever, the first ``list_steps`` of lists alone."""
    groups = by_dataset(parts)
    lists = answer_lists(parts)
    names = sorted(groups)
    step = 0
    while True:
        if step < list_steps:
            yield [list_lesson(rng, lists[-1], most=4) for _ in range(BATCH)]
        elif turns[step % len(turns)] == "list":
            yield [list_lesson(rng, rng.choice(lists), most=6) for _ in range(BATCH)]
        else:
            closed = turns[step % len(turns)] == "closed"
            batch = []
            for _ in range(BATCH):
                example, picture = rng.choice(groups[rng.choice(names)])
                facts = facts_in_place(picture, rng)
                batch.append(question_lesson(processor, example, closed, rng, facts))
            yield batch
        step += 1


def text_loss(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, batch: Sequence[Lesson]
) -> torch.Tensor:
    """Return the loss of the language part on lessons without pictures, one scalar."""
    tensors = make_batch(processor, batch)
    hidden = model.model.language_model(
        input_ids=tensors.input_ids, attention_mask=tensors.attention_mask
    ).last_hidden_state
    return tensors.loss(model.lm_head(hidden[:, -tensors.width :]))


@torch.no_grad()
def text_accuracy(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pairs: Sequence[tuple[Example, Picture]],
    closed: bool,
    rng: random.Random,
) -> float:
    """Return the share of questions whose answer's first two tokens are all predicted right."""
    batch = [
        question_lesson(processor, example, closed, rng, facts_in_place(picture, rng))
        for example, picture in pairs
    ]
    tensors = make_batch(processor, batch)
    hidden = model.model.language_model(
        input_ids=tensors.input_ids, attention_mask=tensors.attention_mask
    ).last_hidden_state
    said = model.lm_head(hidden[:, -tensors.width : -1]).argmax(dim=-1)
    wanted = tensors.labels[:, -tensors.width + 1 :]
    return float(((said == wanted) | (wanted < 0)).all(dim=1).float().mean())


def teach(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    train: Sequence[Part],
    held_out: Sequence[Part],
    steps: int,
    seed: int,
    *,
    polish: bool,
) -> None:
    """Teach the language part for ``steps`` steps, printing what it can do as it goes."""
    rng = random.Random(seed)
    groups = by_dataset(held_out)
    parameters = [*model.model.language_model.parameters()]
    peak = POLISH_RATE if polish else LEARNING_RATE
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=BETAS, weight_decay=0.01)
    start = time.monotonic()
    list_steps = 0 if polish else int(LIST_SHARE * steps)
    stream = lessons(processor, train, rng, list_steps, POLISH_TURNS if polish else TURNS)
    for step in range(1, steps + 1):
        rate = peak * min(1.0, step / WARM_UP_STEPS)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = text_loss(model, processor, next(stream))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % max(1, steps // 40) == 0:
            scores = []
            for name, pairs in groups.items():
                check = random.Random(step)
                closed = text_accuracy(model, processor, pairs[:100], True, check)
                opened = text_accuracy(model, processor, pairs[:100], False, check)
                scores.append(f"{name} {closed:.2f}/{opened:.2f}")
            print(
                f"step {step}  {time.monotonic() - start:.0f} s  loss {loss.item():.3f}  "
                f"closed/open {'  '.join(scores)}",
                flush=True,
            )


def make_seed(out: Path, steps: int, seed: int, start: Path | None = None) -> None:
    """Train and save the seed into ``out``; with ``start``, polish it and teach its eyes."""
    torch.set_num_threads(1)
    _, held_out, train = build_parts(0)
    if start is None:
        processor = train_processor(train)
        model = build_model(processor.tokenizer, seed)
    else:
        model, processor = load(start)
    print(f"{model.num_parameters():,} parameters, {len(processor.tokenizer)} tokens", flush=True)
    teach(model, processor, train, held_out, steps, seed, polish=start is not None)
    if start is not None:
        teach_eyes(model, train, EYE_STEPS, seed=0)
    model.save_pretrained(out)
    processor.save_pretrained(out)


def main() -> None:
    """Make or polish a seed; see the module's own words for how the committed one was made."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="polish this seed instead of making one")
    options = parser.parse_args()
    make_seed(options.out, options.steps, options.seed, options.start)


if __name__ == "__main__":
    main()
