"""Make the seed: a language part that knows the questions, eyes that see, and no link between.

A real run starts from a language model and an image encoder that were trained before; so does the
demo's. The language part is taught with text only (:mod:`ctv_engine.demo.language`), the eyes
without language (:mod:`ctv_engine.demo.eyes`), both on the training part of the data. The projector
between them is left as it was initialised: the demo's training has to find the link.

The stages are kept in ``--work`` and not repeated if they are there. Budgets are numbers of
steps, so that the same machine makes the same weights. The committed seed was made by::

    python -m ctv_engine.demo.seed --work /tmp/seed --out assets/demo-seed
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from ctv_engine.demo.batches import question_lesson
from ctv_engine.demo.data import Part, build_parts
from ctv_engine.demo.eyes import teach_eyes
from ctv_engine.demo.language import teach_language
from ctv_engine.demo.lessons import LISTS, POLISH, QUESTIONS
from ctv_engine.demo.model import build_model, build_processor, load, train_tokenizer

COURSES = (("lists", LISTS, 0), ("questions", QUESTIONS, 1), ("polish", POLISH, 2))
"""Name, course and random seed of each stage of the language part."""
EYE_STEPS = 3600
SEED = 0


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


def make_seed(work: Path, out: Path) -> None:
    """Teach what ``work`` doesn't hold yet, stage by stage, and save the seed into ``out``."""
    torch.set_num_threads(1)
    _, held_out, train = build_parts(0)

    processor = train_processor(train)
    model = build_model(processor.tokenizer, SEED)
    print(f"{model.num_parameters():,} parameters, {len(processor.tokenizer)} tokens", flush=True)
    for name, course, seed in COURSES:
        stage = work / name
        if stage.exists():
            model, processor = load(stage)
        else:
            teach_language(model, processor, train, held_out, course, seed)
            _save(model, processor, stage)
    teach_eyes(model, train, held_out, EYE_STEPS, SEED)
    _save(model, processor, out)


def _save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, out: Path) -> None:
    model.save_pretrained(out)
    processor.save_pretrained(out)


def main() -> None:
    """Make a seed; see the module's own words for how the committed one was made."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the stages are kept")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    make_seed(options.work, options.out)


if __name__ == "__main__":
    main()
