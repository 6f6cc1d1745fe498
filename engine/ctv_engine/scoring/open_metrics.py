"""Open task: from stored text to a score in 0 … 1. Repeatable without a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rapidfuzz.distance import Levenshtein

from ctv_engine.suite import OpenMetric

ANLS_THRESHOLD = 0.5


def exact_match(text: str, answers: Sequence[str]) -> float:
    """Return 1.0 if the text equals an accepted answer, else 0.0.

    Case, surrounding and repeated white space and one final full stop do not count: format noise
    of that kind is known to swamp ability.
    """
    given = _plain(text)
    return float(any(given == _plain(answer) for answer in answers))


def anls(text: str, answers: Sequence[str]) -> float:
    """Return the average normalised Levenshtein similarity of one answer (its best match).

    1 − NL if NL < 0.5 else 0, where NL is the edit distance over the longer length, both sides
    lower-cased and stripped (Biten et al., "Scene Text Visual Question Answering", ICCV 2019).
    """
    given = text.strip().lower()
    best = 0.0
    for answer in answers:
        wanted = answer.strip().lower()
        longest = max(len(given), len(wanted))
        distance = Levenshtein.distance(given, wanted) / longest if longest else 0.0
        if distance < ANLS_THRESHOLD:
            best = max(best, 1.0 - distance)
    return best


METRICS: dict[OpenMetric, Callable[[str, Sequence[str]], float]] = {
    "exact_match": exact_match,
    "anls": anls,
}


def score_open(metric: OpenMetric, text: str, answers: Sequence[str]) -> float:
    """Score ``text`` against the accepted answers with the named metric."""
    return METRICS[metric](text, answers)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().removesuffix(".").strip().lower())
