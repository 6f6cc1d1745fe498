"""The lessons that the seed's language part is taught with: text only.

Looking an answer up among lettered options is a skill of the language part, and learning it takes
longer than a demo lasts. It comes in small steps, each of which can begin only after the last:

* ``words``, ``list``: a list of options and many queries, "word" to "letter";
* ``pick``: a picture's stand-in (:mod:`ctv_engine.demo.facts`) and a list of which one is true;
* ``match``: a stand-in and words, each of which is true of it or isn't;
* ``open``, ``closed``: the demo's questions as a checkpoint will be asked them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import LlavaProcessor

from ctv_engine.demo.batches import Lesson, question_lesson
from ctv_engine.demo.data import Part
from ctv_engine.demo.digits import DIGITS
from ctv_engine.demo.examples import DATASETS, Example
from ctv_engine.demo.facts import fact_ids
from ctv_engine.demo.model import IMAGE
from ctv_engine.demo.shapes import COLOURS, SHAPES
from ctv_engine.suite import LETTERS

LIST_BATCH, QUESTION_BATCH = 16, 32
QUERIES = 24
# Words of which one is true of a picture at a time.
KINDS = (
    COLOURS,
    SHAPES,
    DIGITS,
    ("top", "bottom", "middle"),
    ("left", "right", "middle"),
    ("small", "large"),
)
# How often a dataset is asked about: twice where an answer is harder to come by.
SHARES = {"colour": 1, "shape": 1, "yesno": 2, "caption": 2, "digits": 1, "charts": 1}
PICK_BATCH, PICK_PLACES = 64, 4

Turn = Literal["words", "list", "pick", "match", "open", "closed"]
# Lessons, and for each the tokens of its picture's facts; no facts where there is no picture.
Batched = tuple[list[Lesson], list[tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Course:
    """A sequence of phases, each a number of steps and the kinds of lessons that take turns.

    ``decay`` is how fast the rate falls at the end: 3 leaves the first two thirds of the steps
    alone, None all. ``blur`` (0 … 1) is reached half-way: a fact must have been read before it can
    be read through noise.
    """

    phases: tuple[tuple[int, tuple[Turn, ...]], ...]
    learning_rate: float
    decay: float | None
    blur: float

    def steps(self) -> int:
        """Return the number of steps of all phases."""
        return sum(steps for steps, _ in self.phases)


LISTS = Course(((1000, ("words",)),), 2e-3, 3.0, 0.0)
# A closed question needs the answer and the looking up: it is asked once both are there.
QUESTIONS = Course(
    (
        (450, ("pick", "pick", "list")),
        (600, ("open", "pick", "open", "match")),
        (450, ("closed", "open", "closed", "match")),
    ),
    2e-3,
    None,
    0.0,
)
POLISH = Course(((800, ("closed", "open", "match", "open")),), 1e-3, 1.0, 0.4)


@dataclass(frozen=True, slots=True)
class Asked:
    """An example with its picture's facts, as words and as the tokens that stand for them."""

    example: Example
    facts: tuple[str, ...]
    tokens: tuple[int, ...]


def asked_by_dataset(processor: LlavaProcessor, parts: Sequence[Part]) -> dict[str, list[Asked]]:
    """Group the examples of all parts by dataset."""
    groups: dict[str, list[Asked]] = {d.name: [] for d in DATASETS}
    for part in parts:
        tokens = [tuple(fact_ids(processor, picture.facts)) for picture in part.pictures]
        for example in part.examples:
            facts = part.pictures[example.picture].facts
            groups[example.dataset].append(Asked(example, facts, tokens[example.picture]))
    return groups


def list_lesson(rng: random.Random, answers: Sequence[str]) -> Lesson:
    """Return a list of up to four lettered options and queries for the letter of one of them.

    Many queries per list: it is the repeated ones that make looking up begin.
    """
    options = rng.sample(list(answers), min(4, len(answers)))
    letters = LETTERS[: len(options)]
    lines = "\n".join(f"{letter}. {o}" for letter, o in zip(letters, options, strict=True))
    parts = [f"{lines}\n"]
    for _ in range(QUERIES):
        place = rng.randrange(len(options))
        # With its space the word is the same token as in the list: that's what can be looked up.
        parts[-1] += f" {options[place]}"
        parts += [letters[place], ""]
    return Lesson(tuple(parts[:-1]))


def question_batch(
    processor: LlavaProcessor, groups: dict[str, list[Asked]], closed: bool, rng: random.Random
) -> Batched:
    """Draw lessons from all datasets, each with the facts of its picture."""
    names = rng.choices(list(SHARES), list(SHARES.values()), k=QUESTION_BATCH)
    drawn = [rng.choice(groups[name]) for name in names]
    lessons = [question_lesson(processor, asked.example, closed, rng) for asked in drawn]
    return lessons, [asked.tokens for asked in drawn]


def pick_lesson(asked: Asked, rng: random.Random) -> Lesson:
    """Return a picture's places, a bare list with one option true of it, and that option's letter.

    It is a closed question without the question, a third as long.
    """
    kind = rng.choice([kind for kind in KINDS if set(kind) & set(asked.facts)])
    true = next(word for word in kind if word in asked.facts)
    options = [true, *rng.sample([word for word in kind if word != true], min(3, len(kind) - 1))]
    rng.shuffle(options)
    lines = "\n".join(f"{letter}. {o}" for letter, o in zip(LETTERS, options, strict=False))
    letter = LETTERS[options.index(true)]
    return Lesson((f"{IMAGE * PICK_PLACES}\n{lines}\n", letter))


def pick_batch(groups: dict[str, list[Asked]], rng: random.Random) -> Batched:
    """Draw lists about pictures, evenly from all datasets."""
    names = sorted(groups)
    drawn = [rng.choice(groups[rng.choice(names)]) for _ in range(PICK_BATCH)]
    return [pick_lesson(asked, rng) for asked in drawn], [a.tokens for a in drawn]


def match_lesson(asked: Asked, rng: random.Random) -> Lesson:
    """Return a picture's places and words, each answered with yes or no, or with its letter.

    It is many yes/no questions in one.
    """
    said = {"yes": "yes", "no": "no"}
    parts = [IMAGE * PICK_PLACES + "\n"]
    if rng.random() < 0.5:
        options = rng.sample(("yes", "no"), 2)
        parts[0] += "".join(f"{letter}. {o}\n" for letter, o in zip(LETTERS, options, strict=False))
        said = dict(zip(options, LETTERS, strict=False))
    true = [word for word in asked.facts if word in (*COLOURS, *SHAPES)]
    false = [word for word in (*COLOURS, *SHAPES) if word not in true]
    words = [*true, *rng.sample(false, 3)]
    rng.shuffle(words)
    for word in words:
        parts[-1] += f" {word}"
        parts += [said["yes" if word in true else "no"], ""]
    return Lesson(tuple(parts[:-1]))


def match_batch(groups: dict[str, list[Asked]], rng: random.Random) -> Batched:
    """Draw words to be matched with pictures."""
    drawn = [rng.choice(groups["yesno"]) for _ in range(PICK_BATCH)]
    return [match_lesson(asked, rng) for asked in drawn], [asked.tokens for asked in drawn]


def batches(
    groups: dict[str, list[Asked]], course: Course, rng: random.Random, processor: LlavaProcessor
) -> Iterator[Batched]:
    """Yield the batches of a course; lists have no facts."""
    everything = [*COLOURS, *SHAPES, *DIGITS, "yes", "no"]
    lists: tuple[Sequence[str], ...] = (COLOURS, SHAPES, DIGITS, ("yes", "no"))
    for steps, turns in course.phases:
        for step in range(steps):
            turn = turns[step % len(turns)]
            if turn == "words":
                yield [list_lesson(rng, everything) for _ in range(LIST_BATCH)], []
            elif turn == "list":
                yield [list_lesson(rng, rng.choice(lists)) for _ in range(LIST_BATCH)], []
            elif turn == "pick":
                yield pick_batch(groups, rng)
            elif turn == "match":
                yield match_batch(groups, rng)
            else:
                yield question_batch(processor, groups, turn == "closed", rng)
