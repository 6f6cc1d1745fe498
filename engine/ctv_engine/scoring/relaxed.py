"""Relaxed accuracy: a number within 5 % of an accepted one is right (ChartQA)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from ctv_engine.scoring.exact import exact_match
from ctv_engine.scoring.numerals import Quantity, read_quantity, readable

TOLERANCE = Decimal("0.05")
YEARS = range(1800, 2101)


def relaxed(text: str, answers: Sequence[str]) -> float:
    """Return 1.0 if the text equals an accepted answer or is a number within 5 % of one, else 0.0.

    Numbers are read in their formats: separators of thousands, per cent, *million* and its kin,
    units. What one side leaves out (unit, per cent sign, magnitude) is taken from the other; where
    both have it, it must agree. A year (four bare digits, 1800 to 2100) must be met exactly: 5 % of
    a year is a century. The margin includes its end, in decimal arithmetic.
    """
    if exact_match(text, answers):
        return 1.0
    given = read_quantity(text)
    return float(given is not None and any(_near(given, answer) for answer in answers))


def relaxed_harness(text: str, answers: Sequence[str]) -> float:
    """Return relaxed accuracy as lmms-eval and VLMEvalKit compute it, to compare with their tables.

    Both sides are read as Python reads a float, a final per cent sign divides by 100. Where either
    is no number or the accepted one is 0, lower-cased strings must be equal. So years are numbers,
    ``10%`` is not ``10``, and thousands, units and a final full stop make a text of a number. After
    Masry et al., "ChartQA", ACL 2022 (findings), and Methani et al., "PlotQA", WACV 2020.
    """
    return float(any(_harness_equal(text.strip(), answer.strip()) for answer in answers))


def _near(given: Quantity, answer: str) -> bool:
    wanted = read_quantity(answer)
    if wanted is None or (given.unit and wanted.unit and given.unit != wanted.unit):
        return False
    year = re.fullmatch(r"\d{4}", readable(answer).removesuffix("."))
    tolerance = Decimal(0) if year and int(year[0]) in YEARS else TOLERANCE
    pairs = [(given.value, wanted.value)]
    if 1 in (given.factor, wanted.factor):
        pairs.append((given.number, wanted.number))
    return any(abs(mine - theirs) <= tolerance * abs(theirs) for mine, theirs in pairs)


def _harness_equal(text: str, answer: str) -> bool:
    given, wanted = _harness_number(text), _harness_number(answer)
    if given is None or not wanted:
        return text.lower() == answer.lower()
    return abs(given - wanted) / abs(wanted) <= float(TOLERANCE)


def _harness_number(text: str) -> float | None:
    try:
        if text.endswith("%"):
            return float(text.rstrip("%")) / 100
        return float(text)
    except ValueError:
        return None
