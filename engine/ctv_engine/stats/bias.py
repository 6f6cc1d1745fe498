"""Does a checkpoint prefer a letter whatever stands behind it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LetterRecall:
    """Of the items whose key is the i-th letter, how many were answered with it.

    ``recall`` is None where no item has the letter as its key.
    """

    letter: str
    items: int
    recall: float | None
    chosen: int


@dataclass(frozen=True, slots=True)
class LetterBias:
    """Recall per letter and its population standard deviation over the letters that have one."""

    letters: tuple[LetterRecall, ...]
    deviation: float | None


def letter_bias(chosen: Sequence[int], keys: Sequence[int]) -> LetterBias:
    """Return recall per letter and their standard deviation, between 0 and 0.5.

    A checkpoint that knows nothing and always says "A" has recalls 1, 0, 0, 0; one without a
    preference has equal ones, whatever its accuracy. The deviation is the measure RStd of Zheng et
    al. (arXiv 2309.03882, 2024), there times 100. With fewer than two letters it is None.

    Args:
        chosen: place of the answer of each item, 0 for A.
        keys: place of the key of each item.

    Raises:
        ValueError: the lengths differ, or a place is not one of A … Z.
    """
    if len(chosen) != len(keys):
        raise ValueError(f"{len(chosen)} answers to {len(keys)} items")
    if not all(0 <= place < 26 for place in (*chosen, *keys)):
        raise ValueError("a place is not one of the letters A … Z")
    found: list[LetterRecall] = []
    for place in range(max((*chosen, *keys), default=-1) + 1):
        answers = [answer for answer, key in zip(chosen, keys, strict=True) if key == place]
        right = sum(answer == place for answer in answers)
        found.append(
            LetterRecall(
                letter=chr(ord("A") + place),
                items=len(answers),
                recall=right / len(answers) if answers else None,
                chosen=sum(answer == place for answer in chosen),
            )
        )
    recalls = [one.recall for one in found if one.recall is not None]
    return LetterBias(tuple(found), float(np.std(recalls)) if len(recalls) > 1 else None)
