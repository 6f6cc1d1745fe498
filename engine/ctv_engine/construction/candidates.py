"""Which texts may stand beside a key as wrong options: rules that need no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from ctv_engine.scoring.exact import plain
from ctv_engine.scoring.numerals import read_quantity, readable
from ctv_engine.scoring.open_metrics import METRICS
from ctv_engine.suite import NO_META, Meta, OpenMetric

MAX_OPTION_LENGTH = 300
"""Characters of the longest key or wrong option; more is an essay, not an option."""

_AROUND = " ,;:!?\"'`“”‘’()[]"
_PART = re.compile(r"\s*<(?:AND|OR)>\s*", re.IGNORECASE)
_ABOUT_THE_OTHERS = re.compile(
    r"(?:all|none|neither|both|any|some)(?: of)?(?: the)?"
    r" (?:above|below|these|those|others?|other options|options|answers)(?: (?:are|is) .*)?"
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What an item accepts as right: the key as an option, all accepted answers, the metric."""

    key: str
    answers: tuple[str, ...]
    metric: str
    meta: Meta = NO_META
    forms: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        known = [self.key, *self.answers, *self.meta.annotators]
        parts = [part for answer in known for part in _PART.split(answer)]
        object.__setattr__(
            self, "forms", frozenset(filter(None, map(normalised, [*known, *parts])))
        )


def key_text(answers: Sequence[str]) -> str:
    """Return the first accepted answer as an option shows it.

    Of alternatives (``<OR>``) the first is shown, parts that are all needed (``<AND>``) are joined.
    """
    first = re.split(r"<OR>", answers[0] if answers else "", flags=re.IGNORECASE)[0]
    parts = [part for part in map(one_line, _PART.split(first)) if part]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def one_line(text: str) -> str:
    """Return text on one line, without control, invisible and unpaired characters."""
    spaced = ("" if _invisible(char) else char for char in text)
    return " ".join("".join(spaced).split())


def shortened(text: str, limit: int = 200) -> str:
    """Return text on one line, cut to ``limit`` characters with an ellipsis."""
    line = one_line(text[: 8 * limit])
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def normalised(text: str) -> str:
    """Return text as options are compared: without case, quotes, outer punctuation and article."""
    bare = plain(readable(text)).casefold().rstrip(" .").strip(_AROUND)
    return re.sub(r"^(?:the|an|a) (?=\S)", "", bare).strip(_AROUND)


def same_number(one: str, other: str) -> bool:
    """Say whether both texts are the same quantity, however it is written.

    A unit, a per cent sign or a word such as *million* that only one side has does not count.
    """
    mine, theirs = read_quantity(one), read_quantity(other)
    if mine is None or theirs is None or (mine.unit and theirs.unit and mine.unit != theirs.unit):
        return False
    if mine.value == theirs.value:
        return True
    return 1 in (mine.factor, theirs.factor) and mine.number == theirs.number


def shaped(text: str, key: str) -> str:
    """Return a candidate on one line, with the key's habits of a final stop and a first capital."""
    line = one_line(text[: 8 * MAX_OPTION_LENGTH])
    if not key.endswith("."):
        line = line.removesuffix(".").rstrip()
    if key[:1].isupper() and line[:1].islower():
        line = line[0].upper() + line[1:]
    return line


def fault(text: str, truth: Truth, taken: Collection[str] = ()) -> str | None:
    """Return why ``text`` can't be a wrong option beside the key and ``taken``, None if it can.

    Raises:
        ValueError: the item's meta lacks what its open metric needs.
    """
    form = normalised(text)
    if not form:
        return "is empty"
    if _ABOUT_THE_OTHERS.fullmatch(form):
        return "speaks of the other options"
    if len(text) > min(2 * len(truth.key) + 12, MAX_OPTION_LENGTH):
        return "is far longer than the key"
    if form in truth.forms:
        return "equals an accepted answer"
    if any(same_number(text, answer) for answer in (truth.key, *truth.answers)):
        return "is the same number as an accepted answer"
    if accepted(text, truth):
        return f"is accepted by {truth.metric}"
    if any(form == normalised(other) or same_number(text, other) for other in taken):
        return "is there already"
    return None


def accepted(text: str, truth: Truth) -> bool:
    """Say whether the open metric gives ``text`` any credit; one that asks a judge gives none here.

    Raises:
        ValueError: the item's meta lacks what its open metric needs.
    """
    score = METRICS.get(cast("OpenMetric", truth.metric))
    return score is not None and score(text, truth.answers, truth.meta) > 0


def usable(texts: Iterable[str], truth: Truth, taken: Collection[str] = ()) -> list[int]:
    """Return the places of the texts that may stand together as wrong options, the first wins.

    Raises:
        ValueError: the item's meta lacks what its open metric needs.
    """
    places: list[int] = []
    kept = list(taken)
    for place, text in enumerate(texts):
        if fault(text, truth, kept) is None:
            places.append(place)
            kept.append(text)
    return places


def _invisible(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") and not char.isspace()
