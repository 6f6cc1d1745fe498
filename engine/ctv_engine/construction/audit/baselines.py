"""What the letters and the lengths of the options tell about the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ctv_engine.construction.audit.chance import Count
from ctv_engine.construction.audit.statistic import Statistic
from ctv_engine.suite import LETTERS, Item

Extreme = Literal["longest", "shortest"]


def baselines(items: Sequence[Item]) -> list[Statistic]:
    """Return letter balance, one letter throughout, longest and shortest option."""
    scopes = _scopes(items)
    letters = [_letters(name, part) for name, part in scopes]
    every = [count for counts in letters for count in counts]
    return [
        Statistic("letter-balance", "{} is the key", every, _on_letter, len(every), two_sided=True),
        Statistic(
            "one-letter",
            "always answering {} is right",
            [_majority(counts, part) for counts, (_, part) in zip(letters, scopes, strict=True)],
            _on_letter,
            len(every),
        ),
        Statistic(
            "longest-option",
            "always answering the {} option is right",
            [_extreme(name, part, "longest") for name, part in scopes],
            _is_extreme,
        ),
        Statistic(
            "shortest-option",
            "always answering the {} option is right",
            [_extreme(name, part, "shortest") for name, part in scopes],
            _is_extreme,
        ),
    ]


def _scopes(items: Sequence[Item]) -> list[tuple[str | None, list[Item]]]:
    """Return the items of each dataset and, where there are several, of all of them."""
    parts: dict[str | None, list[Item]] = {}
    for item in items:
        parts.setdefault(item.dataset, []).append(item)
    if len(parts) > 1:
        parts[None] = list(items)
    return list(parts.items())


def _letters(name: str | None, items: Sequence[Item]) -> list[Count]:
    """Count the keys on each letter; an item without the letter can't be a hit."""
    counts = [Count(name, letter) for letter in LETTERS[: max(len(i.options) for i in items)]]
    for item in items:
        options = len(item.options)
        for place, count in enumerate(counts):
            chance = 1 / options if place < options else 0.0
            count.add(hit=item.gold_index == place, chance=chance)
    return counts


def _majority(letters: Sequence[Count], items: Sequence[Item]) -> Count:
    """Return the most frequent letter's count, to be compared with a blind guess."""
    most = max(letters, key=lambda count: count.hits)
    guess = sum(1 / len(item.options) for item in items)
    return Count(most.dataset, most.subject, most.n, most.hits, most.credit, guess, most.chances)


def _extreme(name: str | None, items: Sequence[Item], which: Extreme) -> Count:
    """Count the keys that are as long as the longest option; equals share the credit."""
    count = Count(name, which)
    for item in items:
        ties, hit = _ties(item, which)
        options = len(item.options)
        credit = 1 / ties if hit else 0.0
        count.add(hit=hit, chance=ties / options, credit=credit, expected=1 / options)
    return count


def _ties(item: Item, which: str) -> tuple[int, bool]:
    """Return how many options have the extreme length, and whether the key is one of them."""
    assert item.gold_index is not None
    lengths = [len(option.strip()) for option in item.options]
    wanted = max(lengths) if which == "longest" else min(lengths)
    return lengths.count(wanted), lengths[item.gold_index] == wanted


def _on_letter(item: Item, letter: str) -> str | None:
    if item.gold_index is None or LETTERS[item.gold_index] != letter:
        return None
    return f"the key is on {letter}"


def _is_extreme(item: Item, which: str) -> str | None:
    ties, hit = _ties(item, which)
    return f"the key is the {which} option" if hit and ties < len(item.options) else None
