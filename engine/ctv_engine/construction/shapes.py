"""What kind of answer a text is, and others of its kind that nobody gave: numbers, years, lists."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["yes or no", "year", "number", "date", "list", "coded", "text"]

_ONE_NUMBER = re.compile(
    r"(?P<before>[^\d]*?)(?P<number>-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?P<after>[^\d]*)"
)
_DATE = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b[^a-z]*\d"
    r"|\d[^a-z]{0,3}\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
    r"|\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b",
    re.IGNORECASE,
)
_YEARS = range(1500, 2101)
_LONGEST_NUMBER = 24
"""Digits of the longest number that others are made of; decimal arithmetic keeps 28."""
_AROUND = " .,;:!\"'()"
_SMALL = 12
_OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_LEAST_APART = 0.06
"""Numbers nearer than this to the key would pass a relaxed metric (5 %)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A text's kind. Of a number: what stands around it, its value and its decimal places."""

    kind: Kind
    before: str = ""
    after: str = ""
    value: Decimal | None = None
    decimals: int = 0
    grouped: bool = False

    def alike(self, other: Shape) -> bool:
        """Whether a text of the other shape could stand beside one of this without standing out."""
        if self.kind != other.kind:
            return False
        around = self.before.strip().lower(), self.after.strip().lower()
        return around == (other.before.strip().lower(), other.after.strip().lower()) and (
            self.decimals > 0
        ) == (other.decimals > 0)


def shape_of(text: str) -> Shape:
    """Return the shape of an answer."""
    if opposite(text) is not None:
        return Shape("yes or no")
    found = _ONE_NUMBER.fullmatch(text.strip())
    if found and len(found["before"].split()) <= 1 and len(found["after"].split()) <= 3:
        digits = found["number"].replace(",", "")
        if len(digits) > _LONGEST_NUMBER:
            return Shape("coded")
        value = Decimal(digits)
        bare = not found["before"] and not found["after"]
        if bare and digits.isdigit() and len(digits) == 4 and int(digits) in _YEARS:
            return Shape("year", value=value)
        return Shape(
            "number",
            found["before"],
            found["after"],
            value,
            len(digits.partition(".")[2]),
            "," in found["number"],
        )
    if _DATE.search(text):
        return Shape("date")
    parts = elements(text)
    if len(parts) > 1 and len({shape_of(part).kind for part in parts} | {"coded"}) == 2:
        return Shape("list")
    return Shape("coded" if any(c.isdigit() for c in text) else "text")


def opposite(text: str) -> str | None:
    """Return *no* for *yes* and the like, written in the same case; None for any other text.

    What stands around the word (a stop, quotes) does not count.
    """
    shown = text.strip(_AROUND)
    other = _OPPOSITES.get(shown.lower())
    if other is None:
        return None
    return other.upper() if shown.isupper() else other.title() if shown[0].isupper() else other


def elements(text: str) -> list[str]:
    """Return the elements of an enumeration; a text that is none is one element."""
    return [part.strip() for part in re.split(r",\s+|;\s+|\s+and\s+", text) if part.strip()]


def nearby(shape: Shape, rng: random.Random, count: int) -> Iterator[str]:
    """Yield up to ``count`` other numbers or years, written like the one with this shape.

    Of the same magnitude (a third to three times) and as round; a share of a hundred stays one.
    """
    value = shape.value
    if value is None:
        return
    for _ in range(count):
        other = _other_year(value, rng) if shape.kind == "year" else _other(shape, value, rng)
        if other is not None and not too_near(other, value, shape.kind):
            yield written(other, shape)


def too_near(one: Decimal, key: Decimal, kind: Kind) -> bool:
    """Whether a number is the key, or so near that a relaxed metric takes it for the key."""
    if kind == "year":
        return one == key
    return abs(one - key) <= abs(key) * Decimal(str(_LEAST_APART))


def written(value: Decimal, shape: Shape) -> str:
    """Return a number as the shape writes it: decimals, separators, signs and units."""
    number = f"{value:,.{shape.decimals}f}" if shape.grouped else f"{value:.{shape.decimals}f}"
    return f"{shape.before}{number}{shape.after}"


def _other_year(value: Decimal, rng: random.Random) -> Decimal:
    return value + rng.choice((-1, 1)) * rng.randint(1, 15)


def _other(shape: Shape, value: Decimal, rng: random.Random) -> Decimal | None:
    if not shape.decimals and abs(value) <= _SMALL:
        least = -int(abs(value)) - 6 if value < 0 else 0
        return Decimal(rng.randint(least, int(abs(value)) + 6))
    factor = math.exp(rng.uniform(math.log(0.35), math.log(2.8)))
    other = value * Decimal(repr(factor))
    if "%" in shape.after and abs(value) <= 100 < abs(other):
        other = value * Decimal(repr(rng.uniform(0.3, 0.9)))
    return other.quantize(Decimal(1).scaleb(_roundness(shape, value)))


def _roundness(shape: Shape, value: Decimal) -> int:
    """Return the power of ten of which both numbers are multiples."""
    if shape.decimals:
        return -shape.decimals
    digits = str(abs(int(value)))
    zeros = len(digits) - len(digits.rstrip("0"))
    return min(zeros, max(0, len(digits) - 2))


def recombined(text: str, others: Sequence[str], rng: random.Random, count: int) -> Iterator[str]:
    """Yield enumerations that have an element of others in place of one of their own."""
    own = elements(text)
    for _ in range(count if others else 0):
        place, other = rng.randrange(len(own)), rng.choice(others)
        if other not in own:
            changed = [*own[:place], other, *own[place + 1 :]]
            yield ", ".join(changed)


def renumbered(text: str, rng: random.Random, count: int) -> Iterator[str]:
    """Yield texts with other digits in the same places: dates, codes, addresses."""

    def other(found: re.Match[str]) -> str:
        return rng.choice("123456789") if rng.random() < 0.7 else found[0]

    for _ in range(count):
        yield re.sub(r"\d", other, text)
