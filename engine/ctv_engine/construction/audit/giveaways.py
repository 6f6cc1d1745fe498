"""What the wording of the options tells about the key, whatever the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ctv_engine.construction.audit.chance import Count
from ctv_engine.construction.audit.likeness import kind_of, normalised, value_of
from ctv_engine.construction.audit.statistic import Statistic
from ctv_engine.suite import Item


def giveaway_texts(items: Sequence[Item]) -> Statistic:
    """Return how often an option's text is the key where it occurs (``unanswerable``: always)."""
    counts: dict[tuple[str, str], Count] = {}
    for item in items:
        texts = [normalised(option) for option in item.options]
        assert item.gold_index is not None
        for text in dict.fromkeys(texts):
            count = counts.setdefault((item.dataset, text), Count(item.dataset, text))
            count.add(hit=texts[item.gold_index] == text, chance=texts.count(text) / len(texts))

    def concern(item: Item, text: str) -> str | None:
        key = _key(item)
        return f"the key is {key!r}" if normalised(key) == text else None

    return Statistic("giveaway-option", "'{}' is the key", [*counts.values()], concern)


def giveaway_words(items: Sequence[Item]) -> Statistic:
    """Return how often a word of an option is in the key where it tells options apart.

    Words that only one text has are passed by: :func:`giveaway_texts` counts it.
    """
    counts: dict[tuple[str, str], Count] = {}
    texts_of: dict[tuple[str, str], str | None] = {}
    for item in items:
        options = [normalised(option) for option in item.options]
        words = [set(option.split()) for option in options]
        assert item.gold_index is not None
        for word in dict.fromkeys(word for option in options for word in option.split()):
            name = item.dataset, word
            holders = [option for option, own in zip(options, words, strict=True) if word in own]
            first = texts_of.setdefault(name, holders[0])
            if first is not None and any(holder != first for holder in holders):
                texts_of[name] = None
            if len(holders) < len(options):
                count = counts.setdefault(name, Count(item.dataset, word))
                hit = word in words[item.gold_index]
                count.add(hit=hit, chance=len(holders) / len(options))
    several = [count for name, count in counts.items() if texts_of[name] is None]

    def concern(item: Item, word: str) -> str | None:
        holders = [word in normalised(option).split() for option in item.options]
        if item.gold_index is None or all(holders) or not holders[item.gold_index]:
            return None
        return f"{word!r} is in the key {_key(item)!r}"

    return Statistic("giveaway-word", "'{}' is in the key", several, concern)


@dataclass(frozen=True, slots=True)
class Format:
    """Something that an option's form has or has not; None where the question makes no sense."""

    has: str
    lacks: str
    test: Callable[[str, Item], object]


def _unit(option: str, _: Item) -> bool | None:
    value = value_of(option)
    return None if value is None else value.complete


def _decimals(option: str, _: Item) -> bool | None:
    value = value_of(option)
    return None if value is None else "." in option.rstrip(". ")


def _capital(option: str, _: Item) -> bool | None:
    first = option.lstrip()[:1]
    return first.isupper() if first.upper() != first.lower() else None


def _full_stop(option: str, _: Item) -> bool:
    return option.rstrip().endswith(".")


def _in_question(option: str, item: Item) -> bool:
    return f" {normalised(option)} " in f" {normalised(item.question)} "


FORMATS = (
    Format("has a unit", "has no unit", _unit),
    Format("has decimals", "has no decimals", _decimals),
    Format("begins with a capital", "begins without a capital", _capital),
    Format("ends with a full stop", "ends without a full stop", _full_stop),
    Format("is named in the question", "is not named in the question", _in_question),
    Format("is of kind {}", "", lambda option, _: kind_of(option)),
)


def odd_key(item: Item) -> str | None:
    """Return in which formats the key alone differs from its distractors, or None if in none."""
    assert item.gold_index is not None
    told = [f"the key alone {how}" for place, how in _odd_ones(item) if place == item.gold_index]
    return f"{'; '.join(told)}: {_key(item)!r}" if told else None


def odd_ones(items: Sequence[Item]) -> Statistic:
    """Return how often the one option that differs from all others in a format is the key."""
    counts: dict[tuple[str, str], Count] = {}
    for item in items:
        for place, how in _odd_ones(item):
            count = counts.setdefault((item.dataset, how), Count(item.dataset, how))
            count.add(hit=place == item.gold_index, chance=1 / len(item.options))
    return Statistic(
        "format-giveaway",
        "the option that alone {} is the key",
        [*counts.values()],
        lambda item, how: odd_key(item),
    )


def _odd_ones(item: Item) -> list[tuple[int, str]]:
    """Return place and format of each option that alone has it or alone lacks it.

    With two options there is no odd one.
    """
    if len(item.options) < 3:
        return []
    found: list[tuple[int, str]] = []
    for one in FORMATS:
        marks = [one.test(option, item) for option in item.options]
        if None in marks or len(set(marks)) != 2:
            continue
        place = next((p for p, mark in enumerate(marks) if marks.count(mark) == 1), None)
        if place is not None:
            how = one.has.format(marks[place]) if marks[place] else one.lacks
            found.append((place, how))
    return found


def _key(item: Item) -> str:
    assert item.gold_index is not None
    return item.options[item.gold_index]
