"""ANLS: how near an answer is to the nearest accepted one, by edit distance."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

ANLS_THRESHOLD = 0.5


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


def anls_harness(text: str, answers: Sequence[str]) -> float:
    """Return ANLS as lmms-eval and VLMEvalKit compute it, to compare with their tables.

    It differs from :func:`anls` in three ways: repeated white space is collapsed before the
    distance is taken; the distance is divided by the longer length of the upper-cased texts as
    they came, white space and all; and a similarity of exactly 0.5 is kept. Surrounding white
    space in an answer therefore raises its similarity.
    """
    given = _collapsed(text)
    best = 0.0
    for answer in answers:
        longest = max(len(answer.upper()), len(text.upper()))
        distance = Levenshtein.distance(given, _collapsed(answer)) / longest if longest else 0.0
        best = max(best, 1.0 - distance)
    return best if best >= ANLS_THRESHOLD else 0.0


def _collapsed(text: str) -> str:
    return " ".join(text.lower().split())
