"""Items as a person looks at them: a list's question and answer, and one item with its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ItemFilter = Literal["all", "closed wrong, open right", "letter changed", "text changed", "failed"]
"""``changed``: against the same mode's evaluation of the checkpoint before, as in ``flips``."""

ItemOrder = Literal["suite", "option mass", "key's probability", "open score", "longest answer"]
"""The order of the suite's file, or what deserves a look first: lowest values, longest answers."""

ITEM_FILTERS: tuple[ItemFilter, ...] = get_args(ItemFilter)
ITEM_ORDERS: tuple[ItemOrder, ...] = get_args(ItemOrder)


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """Which items, in which order, and which part of the list is wanted.

    ``dataset`` None is all of them; ``search`` is found in question, key, dataset, options,
    accepted answers or the open answer, whatever its case.
    """

    dataset: str | None = None
    filter: ItemFilter = "all"
    order: ItemOrder = "suite"
    search: str = ""
    first: int = 0
    count: int = 100


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One item of the list with what the checkpoint made of it. Texts are cut, not made safe."""

    id: int
    dataset: str
    key: str
    question: str
    letter: str | None
    correct: bool | None
    gold_prob: float | None
    option_mass: float | None
    text: str | None
    score: float | None
    letter_before: str | None
    text_changed: bool
    failed: str | None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A part of the list that ``query`` asks for, at one checkpoint.

    ``matching`` counts the whole list, ``total`` the items it was chosen from. ``trouble`` says why
    there is no list.
    """

    query: ItemQuery
    checkpoint_id: int
    step: int
    step_before: int | None
    matching: int
    total: int
    lines: tuple[ItemLine, ...]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An item's picture: where it lies, its bytes, its pixels where the header tells them.

    ``trouble`` says why it can't be shown.
    """

    path: str
    bytes: int | None = None
    pixels: tuple[int, int] | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ClosedAnswer:
    """The closed form at one checkpoint; ``shares`` are the options' probabilities among them."""

    step: int
    letter: str | None
    correct: bool | None
    shares: tuple[float, ...]
    option_mass: float | None
    failed: str | None


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """The open form at one checkpoint; ``left_out`` characters of a long text were not read.

    ``unscored`` says why an answer has no score.
    """

    step: int
    text: str | None
    left_out: int
    score: float | None
    finish_reason: str | None
    output_tokens: int | None
    failed: str | None
    unscored: str | None = None


@dataclass(frozen=True, slots=True)
class ItemDetail:
    """One item with its answers at every checkpoint that has been evaluated, by step."""

    id: int
    dataset: str
    key: str
    question: str
    question_left_out: int
    options: tuple[str, ...]
    gold_index: int | None
    answers: tuple[str, ...]
    picture: Picture
    closed: tuple[ClosedAnswer, ...]
    opened: tuple[OpenAnswer, ...]
