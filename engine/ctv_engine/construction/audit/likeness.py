"""When two options are the same answer: as text, and as a number."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from ctv_engine.scoring.numerals import MAX_QUANTITY_LENGTH, read_quantity, readable

Kind = Literal["number", "date", "yes or no", "text"]

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty"
)
_NUMBER_WORDS = {word: number for number, word in enumerate(_WORDS.split())}
_YES_OR_NO = frozenset({"yes", "no", "true", "false"})

_LATEX_FRACTION = re.compile(r"\\[dt]?frac ?\{([^{}]*)\} ?\{([^{}]*)\}")
_LATEX_WORD = re.compile(r"\\(?:text|mathrm|mathbf) ?\{([^{}]*)\}")
_EXPRESSION = re.compile(r"(?=.*[\dπ])(?:\\sqrt|\\pi|[-\d\s.,+*/^(){}√π°%])+")

# Signs of punctuation that may carry the meaning of an option stay: C# and C, 50% and 50, R&D.
_MEANINGFUL = frozenset("#%&*/@\\°")
_ARTICLE = re.compile(r"(?<![\w-])(?:a|an|the) (?=[^\w\s-]*[^\W\d_]{2})")

_MIXED = re.compile(r"(?P<sign>-?)(?:(?P<whole>\d{1,9}) )?(?P<over>\d{1,9}) ?/ ?(?P<under>\d{1,9})")
_FRACTION = re.compile(rf"(?P<number>{_MIXED.pattern})(?: ?(?P<unit>[^\W\d_]+|%))?")

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)? )?{_MONTH}\.?,?(?: \d{{1,2}}(?:st|nd|rd|th)?)?(?:,? \d{{2,4}})?"
    r"|\d{1,4}([-/.])\d{1,2}\1\d{1,4}"
    r"|\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\.?)?"
    r"|\d{1,2} ?[ap]\.?m\.?"
)

# unit: (what it measures, how many of the base unit)
_UNITS: dict[str, tuple[str, Fraction]] = {
    name: (dimension, Fraction(size))
    for dimension, units in {
        "length": (
            ("mm millimeter millimetre", "1/1000"),
            ("cm centimeter centimetre", "1/100"),
            ("m meter metre", "1"),
            ("km kilometer kilometre", "1000"),
        ),
        "mass": (
            ("mg milligram", "1/1000"),
            ("g gram", "1"),
            ("kg kilogram kilo", "1000"),
        ),
        "time": (
            ("ms millisecond", "1/1000"),
            ("s sec second", "1"),
            ("min minute", "60"),
            ("h hr hour", "3600"),
        ),
        "volume": (("ml milliliter millilitre", "1/1000"), ("l liter litre", "1")),
    }.items()
    for names, size in units
    for name in names.split()
}


@dataclass(frozen=True, slots=True)
class Value:
    """A number that an option stands for.

    ``amount`` is in the base unit of ``unit``'s dimension where that is known. ``bare`` is the
    number as written, ``complete`` whether it has a unit, a per cent sign or a magnitude.
    """

    amount: Fraction
    unit: str
    bare: Fraction
    complete: bool

    def equals(self, other: Value) -> bool:
        """Whether both are the same amount of the same thing."""
        return self.amount == other.amount and self.unit == other.unit

    def same_number(self, other: Value) -> bool:
        """Whether they differ only in that one leaves out what stands beside the number."""
        return self.bare == other.bare and self.complete != other.complete


@lru_cache(maxsize=1 << 18)
def normalised(text: str) -> str:
    """Return text without what does not make two options differ.

    Unicode in its compatible composed form (NFKC; superscripts and fractions keep their meaning),
    case folded, punctuation dropped (a hyphen becomes a space) unless it is part of a number,
    articles dropped before a word, white space collapsed. A text of nothing but punctuation stays.
    """
    plain = unicodedata.normalize("NFKC", readable(_spelt_out(text))).casefold()
    out: list[str] = []
    plain = _ARTICLE.sub("", plain)
    for place, char in enumerate(plain):
        kind = unicodedata.category(char)
        if not kind.startswith("P") or char in _MEANINGFUL or _in_number(plain, place):
            out.append(char)
        elif kind in ("Pd", "Pc"):
            out.append(" ")
    return " ".join("".join(out).split()) or " ".join(plain.split())


def _in_number(text: str, place: int) -> bool:
    """Whether the sign at ``place`` stands between digits, or before one as its sign or point."""
    before = text[place - 1] if place else " "
    if text[place] not in ".,:-'" or not text[place + 1 : place + 2].isdigit():
        return False
    if text[place] in "-.":
        return not before.isalpha()
    return before.isdigit()


def _spelt_out(text: str) -> str:
    """Return text with what stands for a fraction or a power written in a line."""
    if "\\" in text:
        text = _LATEX_WORD.sub(r"\1", _LATEX_FRACTION.sub(r"\1/\2", text))
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1]
    if text.isascii():
        return text
    out: list[str] = []
    for char in text:
        kind = unicodedata.decomposition(char).partition(" ")[0]
        if kind == "<super>":
            out.append(f"^{unicodedata.normalize('NFKC', char)}")
        elif kind == "<fraction>":
            space = " " if out and out[-1].isdigit() else ""
            out.append(space + unicodedata.normalize("NFKC", char).replace("\u2044", "/"))
        else:
            out.append("/" if char == "\u2044" else char)
    return "".join(out)


@lru_cache(maxsize=1 << 18)
def value_of(text: str) -> Value | None:
    """Return the number that the whole text is, or None.

    Reads what :func:`~ctv_engine.scoring.numerals.read_quantity` reads but for dates, fractions
    (``1/2``, ``1 1/2``, ``½``, LaTeX's) and number words up to twenty; converts metric lengths,
    masses and volumes, and times.
    """
    if len(text) > MAX_QUANTITY_LENGTH:
        return None
    plain = readable(_spelt_out(text)).lower().removesuffix(".").rstrip()
    if plain in _NUMBER_WORDS:
        number = Fraction(_NUMBER_WORDS[plain])
        return Value(number, "", number, complete=False)
    if (fraction := _FRACTION.fullmatch(plain)) is not None:
        return _fraction(fraction)
    quantity = None if _DATE.fullmatch(plain) else read_quantity(plain)
    if quantity is None:
        return None
    factor = Fraction(quantity.factor)
    return _value(Fraction(quantity.number), factor, quantity.unit)


def _fraction(match: re.Match[str]) -> Value | None:
    if not int(match["under"]):
        return None
    number = int(match["whole"] or 0) + Fraction(int(match["over"]), int(match["under"]))
    number = -number if match["sign"] else number
    if not match["unit"]:
        return _value(number, Fraction(1), "")
    beside = read_quantity(f"1 {match['unit']}")
    if beside is None:
        return None
    return _value(number, Fraction(beside.factor), beside.unit)


def _value(number: Fraction, factor: Fraction, unit: str) -> Value:
    complete = bool(unit) or factor != 1
    dimension, size = _UNITS.get(unit, (unit, Fraction(1)))
    return Value(number * factor * size, dimension, number, complete)


@lru_cache(maxsize=1 << 18)
def kind_of(text: str) -> Kind:
    """Return what sort of answer a text is.

    Roots, multiples of π and sums of numbers are numbers too. A unit that is written onto its
    number counts only where it is a sign or a known unit: ``5th`` and ``7up`` are texts.
    """
    plain = readable(_spelt_out(text)).lower()
    bare = plain.removesuffix(".")
    if bare in _YES_OR_NO:
        return "yes or no"
    if _DATE.fullmatch(plain):
        return "date"
    value = value_of(text)
    if value is None:
        return "number" if _EXPRESSION.fullmatch(bare) else "text"
    glued = re.search(r"\d([^\W\d_]+)$", bare)
    if glued and glued[1] not in {*_UNITS, "e", "k", "bn"} and not _is_scale(glued[1]):
        return "text"
    return "number"


def _is_scale(word: str) -> bool:
    quantity = read_quantity(f"1{word}")
    return quantity is not None and quantity.factor != Decimal(1)
