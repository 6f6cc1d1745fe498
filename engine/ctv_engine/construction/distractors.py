"""Wrong options by rule, from the answers of the same dataset: no model, no network."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ctv_engine.construction import shapes
from ctv_engine.construction.candidates import (
    MAX_OPTION_LENGTH,
    Truth,
    fault,
    key_text,
    normalised,
    one_line,
    shaped,
    usable,
)
from ctv_engine.construction.converting import Converted, Pool, Rejected
from ctv_engine.construction.journal import Draft
from ctv_engine.construction.shapes import Shape, shape_of

MAX_OPTIONS = 10
_LOOKED_AT = 400
"""Answers of the dataset that one item looks at, at most."""
_OFFERED = 24
_COMMON_SHARE, _COMMON_COUNT = 0.02, 5
_SAYS_NOTHING = {"unanswerable", "unsuitable", "unsuitable image", "not answerable", "unknown"}


@dataclass(frozen=True, slots=True)
class Known:
    """An answer that the benchmark gives to some question."""

    question: str
    answer: str


class RulesConverter:
    """Draws distractors from what the dataset answers elsewhere, and from numbers nearby.

    Each item has a seed of its own name, so that it gets the same options whatever else is in the
    sample. How many of its distractors are smaller (numbers) or shorter (texts) than the key is
    drawn too, so that neither size nor length tells the key. An answer that is the key of a share
    of all items, such as *unanswerable*, is a distractor of others as often as that makes it
    useless as a hint.
    """

    name = "rules"

    def __init__(self, answers: Mapping[str, Sequence[Known]], options: int = 4) -> None:
        """Take each dataset's answers, and how many options an item gets.

        Raises:
            ValueError: not 2 to 10 options.
        """
        if not 2 <= options <= MAX_OPTIONS:
            raise ValueError(f"{options} options; choose 2 to {MAX_OPTIONS}")
        self._options = options
        self._datasets = {name: _Dataset(known) for name, known in answers.items()}

    async def convert(self, draft: Draft, picture: bytes, pool: Pool) -> Converted | Rejected:
        """Return the item's options; the picture is not looked at."""
        return self.options_of(draft, pool.metric)

    def options_of(self, draft: Draft, metric: str) -> Converted | Rejected:
        """Return the options of an item whose open answers are scored with ``metric``."""
        if draft.options:
            return _given(draft, metric)
        key = key_text(draft.answers)
        if not normalised(key):
            return Rejected("its answer says nothing that could be an option")
        truth = Truth(key, draft.answers, metric, draft.meta)
        if len(key) > MAX_OPTION_LENGTH:
            return Rejected(f"its answer has {len(key)} characters; that is no option")
        other = shapes.opposite(key)
        if other is not None:
            if fault(other, truth) is not None:
                return Rejected(f"{other!r} is accepted, too")
            return self._made([key, other])
        wanted = self._options - 1
        rng = random.Random(_seed(draft, "rules"))
        dataset = self._datasets.get(draft.dataset) or _Dataset(())
        found = list(dict.fromkeys(shaped(t, key) for t in dataset.offers(draft, key, rng)))
        kept = [found[place] for place in usable(found, truth)]
        if len(kept) < wanted:
            return Rejected(
                f"only {len(kept)} of {wanted} distractors found that {metric} would not accept"
            )
        return self._made([key, *_balanced(key, kept, wanted, rng)])

    def _made(self, options: list[str]) -> Converted:
        return Converted(tuple(options), 0, {"converter": self.name})


class _Dataset:
    def __init__(self, known: Sequence[Known]) -> None:
        self._known = [(one, shape_of(one.answer)) for one in known if one.answer.strip()]

    @cached_property
    def _common(self) -> list[tuple[str, float]]:
        """Answers that are the key of many items, with their share."""
        counted = Counter(normalised(one.answer) for one, _ in self._known)
        shown = {normalised(one.answer): one.answer for one, _ in self._known}
        total = len(self._known)
        return [
            (shown[form], count / total)
            for form, count in counted.most_common(20)
            if count >= _COMMON_COUNT and count >= _COMMON_SHARE * total
        ]

    def offers(self, draft: Draft, key: str, rng: random.Random) -> Iterator[str]:
        """Yield candidates, the best first: common ones, then those alike, then made ones."""
        shape = shape_of(key)
        for answer, share in self._common:
            alike = shape.alike(shape_of(answer)) or normalised(answer) in _SAYS_NOTHING
            if alike and rng.random() < min(1.0, 3 * share / (1 - share)):
                yield answer
        near = [(_distance(one, draft, key, shape, rng), one) for one in self._alike(shape, rng)]
        near.sort(key=lambda both: both[0])
        yield from (known.answer for _, (known, _) in near[:_OFFERED])
        yield from shapes.nearby(shape, rng, 2 * _OFFERED)
        if shape.kind == "list":
            parts = [part for one, _ in self._known for part in shapes.elements(one.answer)]
            yield from shapes.recombined(key, parts[:_LOOKED_AT], rng, _OFFERED)
        if shape.kind == "coded":
            yield from shapes.renumbered(key, rng, _OFFERED)
        if shape.kind in ("list", "coded", "text"):
            others = [one for one, other in self._known if other.kind in ("text", "coded", "list")]
            yield from (one.answer for one in rng.sample(others, min(_OFFERED, len(others))))

    def _alike(self, shape: Shape, rng: random.Random) -> list[tuple[Known, Shape]]:
        found = [
            (one, other)
            for one, other in self._known
            if shape.alike(other) and not _near_value(shape, other)
        ]
        return found if len(found) <= _LOOKED_AT else rng.sample(found, _LOOKED_AT)


def _near_value(shape: Shape, other: Shape) -> bool:
    if shape.value is None or other.value is None:
        return False
    return shapes.too_near(other.value, shape.value, shape.kind)


def _distance(
    one: tuple[Known, Shape], draft: Draft, key: str, shape: Shape, rng: random.Random
) -> float:
    """Return how far a known answer is from being mistaken for the key; some chance is in it."""
    known, other = one
    if shape.value is not None and other.value is not None:
        size = abs(abs(shape.value) - abs(other.value))
        largest = max(abs(shape.value), abs(other.value)) or 1
        return float(size / largest) + 0.3 * rng.random()
    mine, theirs = draft.question.lower().split(), known.question.lower().split()
    asked = 2.0 * (mine[:2] != theirs[:2]) + 1.0 * (mine[:1] != theirs[:1])
    words = abs(len(key.split()) - len(known.answer.split())) / (len(key.split()) + 1)
    length = abs(len(key) - len(known.answer)) / (len(key) + 4)
    case = key[:1].isupper() != known.answer[:1].isupper()
    return asked + words + length + case + 1.5 * rng.random()


def _balanced(key: str, found: Sequence[str], wanted: int, rng: random.Random) -> list[str]:
    """Return ``wanted`` of the distractors, a drawn number of them below the key in size."""
    shape = shape_of(key)

    def below(text: str) -> bool:
        other = shape_of(text)
        if shape.value is not None and other.value is not None:
            return other.value < shape.value
        return len(text) < len(key) or (len(text) == len(key) and text < key)

    lower = [text for text in found if below(text)]
    upper = [text for text in found if not below(text)]
    rank = rng.randint(0, wanted)
    rank = min(max(rank, wanted - len(upper)), len(lower))
    return [*lower[:rank], *upper[: wanted - rank]]


def _given(draft: Draft, metric: str) -> Converted | Rejected:
    """Check options that the benchmark itself has."""
    assert draft.gold_index is not None
    options = [one_line(option) for option in draft.options]
    key = options[draft.gold_index]
    truth = Truth(key, draft.answers, metric, draft.meta)
    taken: list[str] = []
    for place, option in enumerate(options):
        if place == draft.gold_index:
            continue
        problem = fault(option, truth, taken)
        if problem is not None and problem not in _BENIGN:
            return Rejected(f"its option {option!r} {problem}")
        taken.append(option)
    return Converted(tuple(options), draft.gold_index, {"converter": "given"})


_BENIGN = {"is far longer than the key", "speaks of the other options"}


def _seed(draft: Draft, purpose: str) -> bytes:
    name = f"{draft.dataset}\0{draft.key}\0{purpose}".encode(errors="replace")
    return hashlib.sha256(name).digest()
