"""Wrong options by rule, from the answers of the same dataset: no model, no network."""

from __future__ import annotations

import hashlib
import random
import re
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
        chosen = _Chosen(key, truth, wanted)
        for text in (*named_beside(key, draft.question), *dataset.common(key, wanted, rng)):
            chosen.offer(text, must=True)
        for text in dataset.offers(draft, key, rng):
            if chosen.enough:
                break
            chosen.offer(text)
        if len(chosen) < wanted:
            return Rejected(
                f"only {len(chosen)} of {wanted} distractors found that {metric} would not accept"
            )
        return self._made([key, *chosen.balanced(rng)])

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

    def common(self, key: str, wanted: int, rng: random.Random) -> Iterator[str]:
        """Yield answers that are the key of a share of all items, as often as hides that.

        Such an answer is no hint if it is wrong ``wanted`` times for each time that it is right.
        """
        shape = shape_of(key)
        for answer, share in self._common:
            alike = shape.alike(shape_of(answer)) or normalised(answer) in _SAYS_NOTHING
            if alike and rng.random() * (1 - share) < wanted * share:
                yield answer

    def offers(self, draft: Draft, key: str, rng: random.Random) -> Iterator[str]:
        """Yield candidates of the key's kind, those of the dataset before those that are made."""
        shape = shape_of(key)
        near = [(_distance(one, draft, key, shape, rng), one) for one in self._alike(shape, rng)]
        near.sort(key=lambda both: both[0])
        yield from (known.answer for _, (known, _) in near[:_OFFERED])
        yield from shapes.nearby(shape, rng, 2 * _OFFERED)
        if shape.kind == "list":
            own = shape_of(shapes.elements(key)[0])
            lists = [one.answer for one, other in self._known if other.kind == "list"]
            parts = [part for text in lists for part in shapes.elements(text)]
            parts += [one.answer for one, other in self._known if own.alike(other)]
            alike = [part for part in parts[:_LOOKED_AT] if own.alike(shape_of(part))]
            yield from shapes.recombined(key, alike, rng, _OFFERED)
        if shape.kind in ("coded", "date"):
            yield from shapes.renumbered(key, rng, _OFFERED)
        yield from (known.answer for _, (known, _) in near[_OFFERED:])

    def _alike(self, shape: Shape, rng: random.Random) -> list[tuple[Known, Shape]]:
        found = [
            (one, other)
            for one, other in self._known
            if shape.alike(other) and not _near_value(shape, other)
        ]
        return found if len(found) <= _LOOKED_AT else rng.sample(found, _LOOKED_AT)


def named_beside(key: str, question: str) -> list[str]:
    """Return what a question names as the other choice: *women* of "men or women?" for *men*.

    A key that is named in its question would stand out among options that are not.
    """
    found = re.search(r"(?P<left>[^?]*?),? or (?P<right>[^,;:?]+)", question)
    if found is None:
        return []
    words = len(key.split())
    right, segment = found["right"].strip(), re.split(r"[,;:]", found["left"])[-1].strip()
    left = segment if len(segment.split()) <= words + 1 else " ".join(segment.split()[-words:])
    if normalised(key) == normalised(left):
        return [right]
    return [left] if normalised(key) == normalised(right) else []


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


class _Chosen:
    """Usable distractors as they come, those below the key in size apart from those above."""

    def __init__(self, key: str, truth: Truth, wanted: int) -> None:
        self._key, self._truth, self._wanted = key, truth, wanted
        self._shape = shape_of(key)
        self._must: list[str] = []
        self._below: list[str] = []
        self._above: list[str] = []
        self._seen: set[str] = set()

    def __len__(self) -> int:
        return len(self._must) + len(self._below) + len(self._above)

    @property
    def enough(self) -> bool:
        """Whether any number of distractors could be below the key."""
        return min(len(self._below), len(self._above)) >= self._wanted

    def offer(self, offered: str, *, must: bool = False) -> None:
        """Keep a candidate if it can stand beside the key and those that are kept."""
        text = shaped(offered, self._key)
        if text in self._seen or (must and len(self._must) == self._wanted):
            return
        self._seen.add(text)
        side = self._below if self._is_below(text) else self._above
        if not must and len(side) >= self._wanted:
            return
        if fault(text, self._truth, [*self._must, *self._below, *self._above]) is None:
            (self._must if must else side).append(text)

    def balanced(self, rng: random.Random) -> list[str]:
        """Return as many as are wanted, a drawn number of them below the key."""
        rank = rng.randint(0, self._wanted) - sum(map(self._is_below, self._must))
        room = self._wanted - len(self._must)
        rank = max(0, min(rank, room, len(self._below)))
        rank = max(rank, room - len(self._above))
        return [*self._must, *self._below[:rank], *self._above[: room - rank]]

    def _is_below(self, text: str) -> bool:
        other = shape_of(text)
        if self._shape.value is not None and other.value is not None:
            return other.value < self._shape.value
        return (len(text), text) < (len(self._key), self._key)


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
