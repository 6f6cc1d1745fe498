"""Build the demo's suites and training set from installed packages.

Layout of the directory that :func:`prepare` fills::

    suite/    paired validation suite: 300 items, closed and open form
    gold/     gold suite: 600 items, open form (options are kept for reference)
    train/    questions.jsonl, one example per line; pictures.npy, uint8 (n, 64, 64, 3)

The three parts share no picture: they're told apart by the digest of the PNG bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from ctv_engine.demo.charts import chart_examples, draw_charts
from ctv_engine.demo.digits import digit_examples, read_digits
from ctv_engine.demo.examples import DATASETS, Example, Picture
from ctv_engine.demo.shapes import (
    ShapeData,
    caption_examples,
    colour_examples,
    read_shapes,
    shape_examples,
    yesno_pairs,
)
from ctv_engine.suite import DraftItem, Suite, write_suite

SUITE_ITEMS, GOLD_ITEMS = 50, 100
TRAIN_CHARTS = 2000
# Candidates per item, so that keys can be spread evenly over the letters.
SPARE = 2
QUESTIONS_FILE, PICTURES_FILE = "questions.jsonl", "pictures.npy"


@dataclass(frozen=True, slots=True)
class Part:
    """Examples with the pictures that they point into."""

    pictures: Sequence[Picture]
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What :func:`prepare` wrote."""

    suite: Suite
    gold: Suite
    train_directory: Path
    train_pictures: int
    train_examples: int


def prepare(directory: Path, seed: int = 0) -> Prepared:
    """Write paired suite, gold suite and training set below ``directory``.

    The same seed gives the same bytes. Takes a few seconds and no network.

    Raises:
        ModuleNotFoundError: a data package isn't installed.
        FileExistsError: ``directory`` already holds a suite.
    """
    directory = Path(directory)
    paired, gold, train = build_parts(seed)
    suite = write_suite(
        directory / "suite", name="demo", kind="paired", datasets=DATASETS, items=_drafts(paired)
    )
    held_out = write_suite(
        directory / "gold", name="demo-gold", kind="gold", datasets=DATASETS, items=_drafts(gold)
    )
    pictures, examples = _write_train(directory / "train", train)
    return Prepared(suite, held_out, directory / "train", pictures, examples)


def build_parts(seed: int) -> tuple[list[Part], list[Part], list[Part]]:
    """Return the parts of the paired suite, of the gold suite and of the training set.

    Raises:
        ModuleNotFoundError: a data package isn't installed.
    """
    rng = random.Random(seed)
    held = SUITE_ITEMS + GOLD_ITEMS
    test = _shuffled(read_shapes("test"), rng)
    third = len(test.pictures) // 3
    paired = [_shape_part(_cut(test, 0, third), rng, SUITE_ITEMS)]
    gold = [_shape_part(_cut(test, third, len(test.pictures)), rng, GOLD_ITEMS)]
    train = [_shape_part(read_shapes("train"), rng, None)]

    scans, labels = read_digits(rng)
    charts_drawn, charts = draw_charts(rng, SPARE * held + TRAIN_CHARTS)
    for parts, start, limit in ((paired, 0, SUITE_ITEMS), (gold, SPARE * SUITE_ITEMS, GOLD_ITEMS)):
        cut = slice(start, start + SPARE * limit)
        parts.append(Part(scans[cut], _level(digit_examples(labels[cut], rng), limit)))
        parts.append(
            Part(charts_drawn[cut], _level(chart_examples(charts[cut], rng, each=False), limit))
        )
    cut = slice(SPARE * held, None)
    train.append(Part(scans[cut], digit_examples(labels[cut], rng)))
    train.append(Part(charts_drawn[cut], chart_examples(charts[cut], rng, each=True)))
    taken = _digests(paired) | _digests(gold)
    return paired, gold, [_without(part, taken) for part in train]


def _shuffled(data: ShapeData, rng: random.Random) -> ShapeData:
    order = list(range(len(data.pictures)))
    rng.shuffle(order)
    # One picture per content: a picture must not end up on both sides of a cut.
    unique = list({data.pictures[i].png: i for i in order}.values())
    return _picked(data, unique)


def _cut(data: ShapeData, start: int, stop: int) -> ShapeData:
    return _picked(data, range(start, stop))


def _picked(data: ShapeData, indices: Sequence[int]) -> ShapeData:
    return ShapeData(
        tuple(data.pictures[i] for i in indices),
        tuple(data.scenes[i] for i in indices),
        tuple(data.questions[i] for i in indices),
    )


def _shape_part(data: ShapeData, rng: random.Random, limit: int | None) -> Part:
    examples: list[Example] = []
    for make in (colour_examples, shape_examples, caption_examples):
        made = make(data, rng)
        rng.shuffle(made)
        examples += made if limit is None else _level(made, limit)
    pairs = yesno_pairs(data, rng)
    if limit is not None:
        pairs = [(yes, no) for yes, no in pairs if yes.key_place() != no.key_place()][: limit // 2]
    return Part(data.pictures, examples + [example for pair in pairs for example in pair])


def _level(examples: Sequence[Example], limit: int) -> list[Example]:
    """Pick ``limit`` examples whose keys fall on every letter equally often, within one.

    A suite's shuffle is fixed per item; by chance it would favour a letter, and a model that
    always says that letter would score above chance.
    """
    by_place: defaultdict[int, list[Example]] = defaultdict(list)
    for example in examples:
        by_place[example.key_place()].append(example)
    turns = zip_longest(*(by_place[place] for place in sorted(by_place)))
    return [example for turn in turns for example in turn if example is not None][:limit]


def _digests(parts: Sequence[Part]) -> set[bytes]:
    return {hashlib.sha256(picture.png).digest() for part in parts for picture in part.pictures}


def _without(part: Part, taken: set[bytes]) -> Part:
    kept = {i for i, p in enumerate(part.pictures) if hashlib.sha256(p.png).digest() not in taken}
    return Part(part.pictures, [e for e in part.examples if e.picture in kept])


def _drafts(parts: Sequence[Part]) -> list[DraftItem]:
    return [
        example.draft(part.pictures[example.picture].png)
        for part in parts
        for example in part.examples
    ]


def _write_train(directory: Path, parts: Sequence[Part]) -> tuple[int, int]:
    directory.mkdir(parents=True, exist_ok=True)
    pixels: list[np.ndarray] = []
    lines: list[str] = []
    for part in parts:
        place: dict[int, int] = {}
        for example in part.examples:
            if example.picture not in place:
                place[example.picture] = len(pixels)
                pixels.append(_pixels(part.pictures[example.picture].png))
            row = {
                "dataset": example.dataset,
                "picture": place[example.picture],
                "question": example.question,
                "answer": example.answer,
                "distractor_sets": example.distractor_sets,
            }
            lines.append(json.dumps(row))
    np.save(directory / PICTURES_FILE, np.stack(pixels))
    (directory / QUESTIONS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(pixels), len(lines)


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def read_train(directory: Path) -> tuple[np.ndarray, list[Example]]:
    """Return pictures, uint8 (n, 64, 64, 3), memory-mapped, and the examples about them.

    Raises:
        FileNotFoundError: ``directory`` was not written by :func:`prepare`.
    """
    directory = Path(directory)
    for name in (QUESTIONS_FILE, PICTURES_FILE):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"{directory}: no {name}; write it with `python -m ctv_engine.demo.data --out DIR`"
            )
    examples = []
    with (directory / QUESTIONS_FILE).open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            row["distractor_sets"] = tuple(map(tuple, row["distractor_sets"]))
            examples.append(Example(**row))
    return np.load(directory / PICTURES_FILE, mmap_mode="r"), examples


def main() -> None:
    """Command line: ``python -m ctv_engine.demo.data --out DIR [--seed N]``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    made = prepare(options.out, options.seed)
    print(
        f"{len(made.suite.items)} paired items, {len(made.gold.items)} gold items, "
        f"{made.train_examples:,} training examples about {made.train_pictures:,} pictures"
    )


if __name__ == "__main__":
    main()
