"""Numbers as people and models write them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

MAX_QUANTITY_LENGTH = 64
MAX_EXPONENT = 300
"""Longer texts and wilder exponents are no measured quantity, and would cost time and memory."""

_MINUS_SIGNS = "\u2010\u2011\u2012\u2013\u2212\u207b\ufe63"

NUMBER = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d{1,3}(?:[ '\u2019]\d{3})+|\d+)(?:\.\d+)?|\.\d+"
"""An unsigned number in ASCII digits, with or without separators of thousands."""

_NUMBER = re.compile(rf"(?P<sign>[-+]?) ?(?P<digits>{NUMBER}|\d+\.)(?P<exponent>e[-+]?\d{{1,3}})?")
_QUANTITY = re.compile(
    rf"(?P<minus>[-+]?) ?(?P<before>us\$|[$€£¥₹]|(?:usd|eur|gbp|jpy|inr) )? ?"
    rf"(?P<number>[-+]?(?:{NUMBER})(?:e[-+]?\d{{1,3}})?)"
    r" ?(?P<percent>%|per ?cents?\b)?"
    r" ?(?P<scale>(?:k|thousands?|bn|millions?|billions?|trillions?)(?![a-z]))?"
    r" ?(?P<unit>[$€£¥₹]|(?:(?:square|cubic|us) )?[^\W\d_][^\d\s]*(?: per [^\d\s]+)?|°[cf]?)?"
)

_SCALES = {
    "k": 3,
    "thousand": 3,
    "million": 6,
    "bn": 9,
    "billion": 9,
    "trillion": 12,
}
_UNITS = {
    "$": "dollar",
    "us$": "dollar",
    "usd": "dollar",
    "us dollar": "dollar",
    "€": "euro",
    "eur": "euro",
    "£": "pound",
    "gbp": "pound",
    "¥": "yen",
    "jpy": "yen",
    "₹": "rupee",
    "inr": "rupee",
    "inche": "inch",
    "feet": "foot",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with what stands beside it.

    ``factor`` is what a per cent sign or a word such as *million* multiplies ``number`` by, 1 if
    there is none. ``unit`` is "" if there is none.
    """

    number: Decimal
    factor: Decimal = Decimal(1)
    unit: str = ""

    @property
    def value(self) -> Decimal:
        """The number times its factor."""
        return self.number * self.factor


def readable(text: str) -> str:
    """Return text without control and invisible characters, digits and signs in their plain form.

    Decimal digits of any script become ASCII, full-width characters their narrow twins, every
    kind of minus a hyphen, white space of any kind one space.
    """
    out: list[str] = []
    for char in text:
        category = unicodedata.category(char)
        if char.isspace():
            out.append(" ")
        elif category in ("Cc", "Cf"):
            continue
        elif category == "Nd":
            out.append(str(unicodedata.decimal(char)))
        elif char in _MINUS_SIGNS:
            out.append("-")
        elif "\uff01" <= char <= "\uff5e":
            out.append(chr(ord(char) - 0xFEE0))
        else:
            out.append(char)
    return " ".join("".join(out).split())


def read_number(text: str) -> Decimal | None:
    """Return the number that the whole text is, or None.

    Thousands may be separated by commas, spaces or apostrophes. Infinity and NaN are no numbers.
    """
    text = readable(text).lower()
    if len(text) > MAX_QUANTITY_LENGTH:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = re.sub(r"[ ,'\u2019]", "", match["digits"])
    number = Decimal(f"{match['sign']}{digits}{match['exponent'] or ''}")
    return number if number == 0 or abs(number.adjusted()) <= MAX_EXPONENT else None


def read_quantity(text: str) -> Quantity | None:
    """Return the quantity that the whole text is (``$1,234``, ``12 %``, ``3.5 million``), or None.

    One final full stop does not count.
    """
    text = readable(text).lower().removesuffix(".").rstrip()
    if len(text) > MAX_QUANTITY_LENGTH:
        return None
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    twice_signed = match["minus"] and match["number"][0] in "+-"
    if twice_signed or (match["unit"] or "")[:1].isnumeric():  # a superscript is no unit
        return None
    number = read_number(f"{match['minus']}{match['number']}")
    units = [_unit(part) for part in (match["before"], match["unit"]) if part]
    if number is None or len(set(units)) > 1:
        return None
    factor = Decimal(1)
    if match["scale"]:
        factor = Decimal(10) ** _SCALES[match["scale"].removesuffix("s")]
    if match["percent"]:
        factor /= 100
    return Quantity(number, factor, units[0] if units else "")


def _unit(text: str) -> str:
    unit = text.strip().removesuffix(".")
    singular = unit.removesuffix("s") if len(unit) > 2 else unit
    return _UNITS.get(singular, singular)
