"""Suites made for the audit: a clean one, and one with known faults in known items."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from ctv_engine.suite import NO_META, Dataset, Item, Meta, Suite

Name = tuple[str, str]

DATASETS = (
    Dataset("Charts", "exact_match", 16),
    Dataset("Plots", "relaxed", 16),
    Dataset("Papers", "anls", 32),
    Dataset("Sums", "mathvista", 64),
    Dataset("Photos", "vqa_soft", 32),
    Dataset("Scenes", "judge", 64),  # type: ignore[arg-type]
)
NUMBERS = ("Charts", "Plots", "Sums")
PER_DATASET = 90
POOL = 60


def unlike(one: str, other: str) -> bool:
    """Whether no metric takes one for the other: few letters in common, no near number."""
    if 2 * Levenshtein.distance(one, other) <= max(len(one), len(other)):
        return False
    if one.replace(".", "").isdigit() and other.replace(".", "").isdigit():
        return not 0.9 < float(one) / float(other) < 1.1
    return True


@dataclass
class Maker:
    """Draws what a suite needs from one seed."""

    seed: int
    rng: random.Random = field(init=False)
    words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"audit {self.seed}")
        self.words = []
        while len(self.words) < POOL:
            word = self.word()
            if all(unlike(word, other) for other in self.words):
                self.words.append(word)

    def word(self) -> str:
        """A word that nobody knows, of five to nine letters."""
        sounds = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        word = "".join(self.rng.choice(sounds) for _ in range(5))
        return word[: self.rng.randrange(5, 10)]

    def number(self) -> str:
        """A whole number from 100 to 99,999."""
        return str(self.rng.randrange(100, 10 ** self.rng.choice((3, 4, 5))))

    def fresh(self, taken: list[str]) -> str:
        """Something of the kind of ``taken`` that is unlike all of it."""
        draw = self.number if taken[0].isdigit() else self.word
        while True:
            text = draw()
            if all(unlike(text, other) for other in taken):
                return text

    def options(self, dataset: str, count: int) -> list[str]:
        if dataset == "Papers":
            return self.phrases(count)
        if dataset not in NUMBERS:
            return self.rng.sample(self.words, count)
        chosen = [self.number()]
        while len(chosen) < count:
            chosen.append(self.fresh(chosen))
        return chosen

    def phrases(self, count: int) -> list[str]:
        """Two words each, all of them with capitals or none."""
        while True:
            words = self.rng.sample(self.words, 2 * count)
            phrases = [f"{one} {other}" for one, other in zip(words[::2], words[1::2], strict=True)]
            if all(unlike(one, other) for one, other in combinations(phrases, 2)):
                break
        return [p.title() for p in phrases] if self.rng.random() < 0.5 else phrases

    def item(self, dataset: str, number: int) -> Item:
        """A clean item; the key is any of the options."""
        count = self.rng.choice((3, 4, 5)) if dataset == "Sums" else 4
        options = self.options(dataset, count)
        name = f"{dataset}-{number}"
        made = Item(
            dataset=dataset,
            key=str(number),
            question=f"What is shown at place {name}?",
            image="",
            image_digest=f"{number // 2:064x}",
            options=tuple(options),
            gold_index=self.rng.randrange(count),
            answers=(),
        )
        return answered(made, key_of(made))

    def suite(self, names: tuple[str, ...] = ()) -> Suite:
        datasets = [one for one in DATASETS if not names or one.name in names]
        items = [self.item(one.name, n) for one in datasets for n in range(PER_DATASET)]
        return Suite("made", "paired", Path(), tuple(datasets), tuple(items), "")


def key_of(item: Item) -> str:
    assert item.gold_index is not None
    return item.options[item.gold_index]


def answered(item: Item, *answers: str, others: Counter[str] | None = None) -> Item:
    """The item with these accepted answers, in the form that its data set's metric wants.

    ``others`` are annotators' answers beside the first accepted one's.
    """
    meta: Meta = NO_META
    if item.dataset == "Sums":
        meta = Meta(answer_type="integer")
    if item.dataset == "Photos":
        rest = [*(others or Counter()).elements()]
        meta = Meta(annotators=(*rest, *[answers[0]] * (10 - len(rest))))
    return replace(item, answers=answers, meta=meta)


def with_options(item: Item, key: str, distractors: list[str], place: int | None = None) -> Item:
    """The item with other options; the key stays on its place, or goes to ``place``."""
    assert item.gold_index is not None
    at = item.gold_index if place is None else place
    options = (*distractors[:at], key, *distractors[at:])
    return answered(replace(item, options=options, gold_index=at), key)


def distractors_of(item: Item) -> list[str]:
    return [text for place, text in enumerate(item.options) if place != item.gold_index]


@dataclass
class BadSuite:
    """A suite with planted faults; ``planted`` has the items that each check must name."""

    suite: Suite
    planted: dict[str, set[Name]]


@dataclass
class Planter:
    """Plants each fault in items that no other fault has."""

    maker: Maker
    items: dict[Name, Item] = field(default_factory=dict)
    added: list[Item] = field(default_factory=list)
    free: dict[str, Iterator[Name]] = field(default_factory=dict)
    planted: dict[str, set[Name]] = field(default_factory=dict)

    @classmethod
    def on(cls, maker: Maker) -> Planter:
        planter = cls(maker)
        planter.items = {(i.dataset, i.key): i for i in maker.suite().items}
        for dataset in DATASETS:
            names = [name for name in planter.items if name[0] == dataset.name]
            maker.rng.shuffle(names)
            planter.free[dataset.name] = iter(names)
        return planter

    def plant(self, dataset: str, change: Callable[[Item], Item], *checks: str) -> Item:
        """Change a free item of the data set; the checks must name it."""
        name = next(self.free[dataset])
        self.items[name] = change(self.items[name])
        self.expect(name, *checks)
        return self.items[name]

    def add(self, item: Item, *checks: str) -> None:
        """Add an item; the checks must name it."""
        self.added.append(item)
        self.expect((item.dataset, item.key), *checks)

    def expect(self, name: Name, *checks: str) -> None:
        for check in checks:
            self.planted.setdefault(check, set()).add(name)

    def suite(self) -> BadSuite:
        """The items in any order; those that were added come last."""
        items = [*self.items.values()]
        self.maker.rng.shuffle(items)
        whole = Suite("bad", "paired", Path(), DATASETS, (*items, *self.added), "")
        return BadSuite(whole, self.planted)
