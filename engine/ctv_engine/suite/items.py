"""Items, datasets and suites as values."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ctv_engine.suite.metrics import NO_META, Meta, OpenMetric

SuiteKind = Literal["paired", "gold"]
OptionOrder = Literal["seeded", "file"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One group of items that share a metric, a length cap and a wording.

    ``open_instruction`` is appended to the question of the open task on a line of its own.
    ``meta`` holds for every item that does not say otherwise.
    """

    name: str
    open_metric: OpenMetric
    max_new_tokens: int
    open_instruction: str = ""
    meta: Meta = NO_META


@dataclass(frozen=True, slots=True)
class Item:
    """One image and one question, with its closed form and its open form.

    ``options`` stand in the order in which they are asked: the letter of ``options[i]`` is the
    i-th letter of the alphabet, and ``gold_index`` points at the key. An item of a gold suite may
    have no options, then ``gold_index`` is None. ``answers`` are the accepted open answers,
    ``meta`` what the metric needs beside them (the dataset's filled in).
    """

    dataset: str
    key: str
    question: str
    image: str
    image_digest: str
    options: tuple[str, ...]
    gold_index: int | None
    answers: tuple[str, ...]
    meta: Meta = NO_META

    def placed(self) -> Item:
        """Return the item with its options shuffled by a seed made of its own name.

        The seed is per item and independent of every other item, so that neither the file's order
        nor the suite's size can put the key on the same letter throughout.
        """
        if self.gold_index is None:
            return self
        seed = hashlib.sha256(f"{self.dataset}\0{self.key}".encode()).digest()
        order = list(range(len(self.options)))
        random.Random(seed).shuffle(order)
        return replace(
            self,
            options=tuple(self.options[i] for i in order),
            gold_index=order.index(self.gold_index),
        )

    def rotated(self, permutation: int) -> Item:
        """Return the item with its options rotated left by ``permutation`` places."""
        n = len(self.options)
        if self.gold_index is None or permutation % n == 0:
            return self
        shift = permutation % n
        return replace(
            self,
            options=self.options[shift:] + self.options[:shift],
            gold_index=(self.gold_index - shift) % n,
        )


@dataclass(frozen=True, slots=True)
class Suite:
    """A directory of items, read and checked.

    ``digest`` is the SHA-256 over the suite's description, its items and the contents of its
    images: two suites with the same digest ask the same questions about the same pictures.
    """

    name: str
    kind: SuiteKind
    directory: Path
    datasets: tuple[Dataset, ...]
    items: tuple[Item, ...]
    digest: str

    def dataset(self, name: str) -> Dataset:
        """Return the dataset of that name.

        Raises:
            KeyError: the suite has no such dataset.
        """
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        raise KeyError(name)

    def image_path(self, item: Item) -> Path:
        """Return where the picture of ``item`` lies on disk."""
        return self.directory / item.image
