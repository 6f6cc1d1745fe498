"""Exact match, but for the noise of format."""

from __future__ import annotations

import re
from collections.abc import Sequence


def exact_match(text: str, answers: Sequence[str]) -> float:
    """Return 1.0 if the text equals an accepted answer, else 0.0.

    Case, surrounding and repeated white space and one final full stop do not count: format noise
    of that kind is known to swamp ability.
    """
    given = plain(text)
    return float(any(given == plain(answer) for answer in answers))


def plain(text: str) -> str:
    """Return text as :func:`exact_match` compares it."""
    return re.sub(r"\s+", " ", text.strip().removesuffix(".").strip().lower())
