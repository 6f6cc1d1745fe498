"""Pictures and questions as values, before they become a suite or a training set."""

from __future__ import annotations

import hashlib
import importlib
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from PIL import Image

from ctv_engine.suite import Dataset, DraftItem, Item

IMAGE_SIZE = 64

DATASETS = (
    Dataset("colour", "exact_match", 4),
    Dataset("shape", "exact_match", 4),
    Dataset("yesno", "exact_match", 4),
    Dataset("caption", "anls", 16),
    Dataset("digits", "exact_match", 4),
    Dataset("charts", "exact_match", 4),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One RGB picture of 64 by 64 pixels as PNG bytes, and what is true of it.

    ``facts`` are single words ("red", "top", "7"). They stand for the picture when the language
    part of the seed is taught without pictures.
    """

    png: bytes
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one picture, with its closed and its open form.

    ``picture`` is the index of the picture in the list it came with. Each of
    ``distractor_sets`` completes the answer to one possible list of options: a suite uses the
    first, training draws one at random.
    """

    dataset: str
    picture: int
    question: str
    answer: str
    distractor_sets: tuple[tuple[str, ...], ...]

    def key(self) -> str:
        """Return a name that is unique among the examples of one dataset and one list."""
        digest = hashlib.sha256(self.question.encode()).hexdigest()
        return f"{self.picture:04d}-{digest[:6]}"

    def draft(self, image: bytes) -> DraftItem:
        """Return the example as an item of a suite, answer first among its options."""
        options = (self.answer, *self.distractor_sets[0])
        return DraftItem(
            self.dataset, self.key(), self.question, image, (self.answer,), options, gold_index=0
        )

    def key_place(self) -> int:
        """Return where a suite's per-item shuffle puts the answer among the options."""
        options = (self.answer, *self.distractor_sets[0])
        item = Item(self.dataset, self.key(), self.question, "", "", options, 0, (self.answer,))
        place = item.placed().gold_index
        assert place is not None
        return place

    def closed_item(self, rng: random.Random) -> Item:
        """Return the closed form with options drawn and placed by ``rng``."""
        options = [self.answer, *rng.choice(self.distractor_sets)]
        rng.shuffle(options)
        gold = options.index(self.answer)
        return Item(self.dataset, "", self.question, "", "", tuple(options), gold, (self.answer,))

    def open_item(self) -> Item:
        """Return the open form."""
        return Item(self.dataset, "", self.question, "", "", (), None, (self.answer,))


def draw_sets(
    rng: random.Random, pool: Sequence[str], count: int, sets: int = 4
) -> tuple[tuple[str, ...], ...]:
    """Draw ``sets`` tuples of ``count`` different distractors from ``pool``."""
    return tuple(tuple(rng.sample(list(pool), count)) for _ in range(sets))


def png_bytes(image: Image.Image) -> bytes:
    """Encode a picture as PNG; equal pictures give equal bytes."""
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def data_package(name: str) -> ModuleType:
    """Import a package that ships real data.

    Raises:
        ModuleNotFoundError: the package isn't installed; the message says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        distribution = name.partition(".")[0].replace("_", "-").replace("sklearn", "scikit-learn")
        raise ModuleNotFoundError(
            f"the demo's data needs {distribution}; install it with `pip install 'ctv-tui[demo]'`",
            name=error.name,
        ) from error
