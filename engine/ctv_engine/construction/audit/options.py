"""Checks that look at the options of one item."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

from ctv_engine.construction.audit.likeness import kind_of, normalised, value_of
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.verdicts import Verdict
from ctv_engine.suite import LETTERS, Dataset, Item

_LETTERED = re.compile(r"\(?(?P<letter>[A-Za-z])(?:\) ?|[.:] )\S.*")
_POSITION = re.compile(
    r"\b(?:all|any|both|each|either|neither|none|some)(?: of)?(?: the)? "
    r"(?:above|below|preceding|following|previous)\b"
    r"|\b(?:all|any|both|each|either|neither|none|some) of (?:these|those|them)\b"
    r"|\b(?:both|either|neither) \(?[a-z]\)? (?:and|or|nor) \(?[a-z]\)?(?![\w'])"
    r"|\b(?:options?|choices?|answers?) \(?[a-z]\)?(?: (?:and|or) \(?[a-z]\)?)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ItemCheck:
    """A check that looks at one item at a time.

    ``severity`` is the verdict if any item is concerned. ``fault`` says what is wrong with such an
    item, in the plural. ``find`` returns why an item is concerned, or None.
    """

    name: str
    severity: Verdict
    fault: str
    find: Callable[[Item, Dataset, AuditSettings], str | None]


def _pairs(item: Item) -> Iterator[tuple[str, str]]:
    return combinations(item.options, 2)


def _equal_texts(item: Item, _: Dataset, __: AuditSettings) -> str | None:
    for one, other in _pairs(item):
        if normalised(one) == normalised(other):
            return f"{one!r} and {other!r} are the same text"
    return None


def _equal_values(item: Item, _: Dataset, __: AuditSettings) -> str | None:
    for one, other in _pairs(item):
        mine, theirs = value_of(one), value_of(other)
        if mine is None or theirs is None or not mine.equals(theirs):
            continue
        if normalised(one) != normalised(other):
            return f"{one!r} and {other!r} are the same number"
    return None


def _unit_left_out(item: Item, _: Dataset, __: AuditSettings) -> str | None:
    for one, other in _pairs(item):
        mine, theirs = value_of(one), value_of(other)
        if mine is not None and theirs is not None and mine.same_number(theirs):
            return f"{one!r} and {other!r} differ only in what stands beside the number"
    return None


def _mixed_kinds(item: Item, _: Dataset, __: AuditSettings) -> str | None:
    kinds = [kind_of(option) for option in item.options]
    if len(set(kinds)) == 1:
        return None
    shown = (f"{option!r} is {kind}" for option, kind in zip(item.options, kinds, strict=True))
    return "; ".join(shown)


def _too_long(item: Item, _: Dataset, settings: AuditSettings) -> str | None:
    longest = max(item.options, key=len)
    if len(longest) <= settings.option_characters:
        return None
    return f"an option of {len(longest)} characters: {longest!r}"


def _long_key(item: Item, _: Dataset, settings: AuditSettings) -> str | None:
    assert item.gold_index is not None
    key = len(item.options[item.gold_index])
    mean = (sum(map(len, item.options)) - key) / (len(item.options) - 1)
    if key < settings.long_key_characters or key < settings.long_key_ratio * mean:
        return None
    return f"the key has {key} characters, the distractors {mean:.0f} on average"


def _lettered(item: Item, _: Dataset, __: AuditSettings) -> str | None:
    """Find options that bring a letter of their own, each another one of the first letters."""
    found = [_LETTERED.fullmatch(option.strip()) for option in item.options]
    letters = {m["letter"].upper() for m in found if m is not None}
    if None in found or letters != set(LETTERS[: len(found)]):
        return None
    return f"options bring letters of their own: {item.options[0]!r}"


def _refers(item: Item, _: Dataset, __: AuditSettings) -> str | None:
    for option in item.options:
        if _POSITION.search(option):
            return f"{option!r} refers to other options, whose places are drawn by a seed"
    return None


OPTION_CHECKS = (
    ItemCheck("equal-options", Verdict.FAIL, "with two options of the same text", _equal_texts),
    ItemCheck("equal-values", Verdict.FAIL, "with two options of the same value", _equal_values),
    ItemCheck(
        "unit-left-out",
        Verdict.WARN,
        "with a number twice, once without unit",
        _unit_left_out,
    ),
    ItemCheck("lettered-options", Verdict.FAIL, "whose options bring their own letters", _lettered),
    ItemCheck("option-reference", Verdict.WARN, "with an option about other options", _refers),
    ItemCheck("mixed-kinds", Verdict.WARN, "with options of different kinds", _mixed_kinds),
    ItemCheck("long-option", Verdict.WARN, "with an option over the limit of length", _too_long),
    ItemCheck("long-key", Verdict.WARN, "whose key is far longer than its distractors", _long_key),
)
