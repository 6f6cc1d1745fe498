"""Four datasets about the pictures of easy-VQA: colour, shape, yes/no and caption.

easy-VQA (PyPI ``easy-vqa``, MIT) holds 5,000 pictures of one coloured shape on a pale ground and
48,248 questions. Its questions are used word for word; captions are made from the picture itself.
"""

from __future__ import annotations

import io
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ctv_engine.demo.examples import IMAGE_SIZE, Example, Picture, data_package, draw_sets

COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")
ROWS = ("top", "", "bottom")
COLUMNS = ("left", "", "right")
SIZES = ("small", "", "large")
CAPTION_QUESTION = "describe the picture."
NEGATIONS = frozenset(("no", "not"))

# The ground of an easy-VQA picture has every channel at 230 or more; no shape has.
_GROUND_FLOOR = 228
_SMALL_PX, _LARGE_PX = 15, 26

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What an easy-VQA picture shows: one shape, its size class and the third it lies in."""

    size: str
    colour: str
    shape: str
    row: str
    column: str

    def caption(self) -> str:
        """Return the scene in one phrase, e.g. ``a small red circle at the top left``."""
        what = " ".join(word for word in (self.size, self.colour, self.shape) if word)
        where = " ".join(word for word in (self.row, self.column) if word)
        return f"a {what} at the {where}" if where else f"a {what} in the middle"

    def facts(self) -> tuple[str, ...]:
        """Return the words of the caption that tell this scene from others."""
        where = tuple(filter(None, (self.row, self.column))) or ("middle",)
        return (*filter(None, (self.size, self.colour, self.shape)), *where)


@dataclass(frozen=True, slots=True)
class ShapeData:
    """Pictures of one split, their scenes, and easy-VQA's questions about each."""

    pictures: tuple[Picture, ...]
    scenes: tuple[Scene, ...]
    questions: tuple[tuple[tuple[str, str], ...], ...]


def read_shapes(split: Split) -> ShapeData:
    """Read one split of easy-VQA (train: 4,000 pictures, test: 1,000), in the order of its names.

    Pictures whose questions don't settle both colour and shape are left out. Shapes that are cut
    by the edge are kept: they're part of the dataset's difficulty.
    """
    package = data_package("easy_vqa")
    paths: dict[int, str] = getattr(package, f"get_{split}_image_paths")()
    asked: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for question, answer, picture in zip(
        *getattr(package, f"get_{split}_questions")(), strict=True
    ):
        asked[int(picture)].append((question, answer))
    pictures, scenes, questions = [], [], []
    for name in sorted(paths, key=int):
        png = Path(paths[name]).read_bytes()
        known = _stated(asked[int(name)])
        if not {"colour", "shape"} <= known.keys():
            continue
        scene = _scene(png, known["colour"], known["shape"])
        pictures.append(Picture(png, scene.facts()))
        scenes.append(scene)
        questions.append(tuple(sorted(set(asked[int(name)]))))
    return ShapeData(tuple(pictures), tuple(scenes), tuple(questions))


def _stated(asked: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Gather colour and shape from what a picture's questions say or have for an answer."""
    known: dict[str, str] = {}
    for question, answer in asked:
        words = question.rstrip("?").split()
        affirmed = answer not in ("yes", "no") or (
            (answer == "yes") != any(word in NEGATIONS for word in words)
        )
        if affirmed:
            for word in (*words, answer):
                if word in COLOURS:
                    known["colour"] = word
                elif word in SHAPES:
                    known["shape"] = word
    return known


def _category(question: str, answer: str) -> tuple[str, str]:
    if answer in COLOURS:
        return "colour", answer
    if answer in SHAPES:
        return "shape", answer
    return "yesno", answer


def _scene(png: bytes, colour: str, shape: str) -> Scene:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    rows, columns = np.nonzero((pixels < _GROUND_FLOOR).any(axis=2))
    extent = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    size = SIZES[0] if extent <= _SMALL_PX else SIZES[2] if extent >= _LARGE_PX else ""
    middle_row = (int(rows.min()) + int(rows.max())) / 2
    middle_column = (int(columns.min()) + int(columns.max())) / 2
    third = IMAGE_SIZE / 3
    return Scene(size, colour, shape, ROWS[int(middle_row // third)],
                 COLUMNS[int(middle_column // third)])  # fmt: skip


def colour_examples(data: ShapeData, rng: random.Random) -> list[Example]:
    """Return one question about the colour of each picture; options are other colours."""
    return _named(data, rng, "colour", COLOURS, 3)


def shape_examples(data: ShapeData, rng: random.Random) -> list[Example]:
    """Return one question about the shape of each picture; easy-VQA knows three shapes."""
    return _named(data, rng, "shape", SHAPES, 2)


def _named(
    data: ShapeData, rng: random.Random, dataset: str, words: Sequence[str], count: int
) -> list[Example]:
    examples = []
    for index, asked in enumerate(data.questions):
        choices = [(q, a) for q, a in asked if _category(q, a)[0] == dataset]
        if choices:
            question, answer = rng.choice(choices)
            pool = [word for word in words if word != answer]
            examples.append(Example(dataset, index, question, answer, draw_sets(rng, pool, count)))
    return examples


def yesno_pairs(data: ShapeData, rng: random.Random) -> list[tuple[Example, Example]]:
    """Return yes/no questions in pairs of one wording, one answered yes, one answered no.

    easy-VQA answers "is there a red shape?" with no in seven cases of eight. Pairing leaves a
    guess from the question alone at one half. Negated questions ("is there not a circle?") are
    left out: negation is a lesson in language, longer than this demo.
    """
    by_question: defaultdict[str, dict[str, list[int]]] = defaultdict(lambda: {"yes": [], "no": []})
    for index, asked in enumerate(data.questions):
        for question, answer in asked:
            if answer in ("yes", "no") and not NEGATIONS & set(question.split()):
                by_question[question][answer].append(index)
    pairs: list[tuple[Example, Example]] = []
    for question in sorted(by_question):
        sides = by_question[question]
        for side in sides.values():
            rng.shuffle(side)
        for yes, no in zip(sides["yes"], sides["no"], strict=False):
            pairs.append(
                (
                    Example("yesno", yes, question, "yes", (("no",),)),
                    Example("yesno", no, question, "no", (("yes",),)),
                )
            )
    rng.shuffle(pairs)
    return pairs


def caption_examples(data: ShapeData, rng: random.Random) -> list[Example]:
    """Return a caption for each picture; options are captions of other pictures.

    The four colours differ, so that one look at the colour finds the key; the open form asks for
    every word.
    """
    by_colour: defaultdict[str, list[str]] = defaultdict(list)
    for scene in data.scenes:
        by_colour[scene.colour].append(scene.caption())
    examples = []
    for index, scene in enumerate(data.scenes):
        others = [colour for colour in COLOURS if colour != scene.colour and by_colour[colour]]
        sets = tuple(
            tuple(rng.choice(by_colour[colour]) for colour in colours)
            for colours in draw_sets(rng, others, 3)
        )
        examples.append(Example("caption", index, CAPTION_QUESTION, scene.caption(), sets))
    return examples
