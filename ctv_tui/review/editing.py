"""What a person may write into an item, and how a text of several lines is shown on one."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.construction.candidates import Truth, accepted, normalised, one_line, same_number
from ctv_engine.construction.journal import Draft

LONGEST = 4000
"""Characters that can be edited on the input line."""

_LINE_END = "↵"


def as_line(text: str) -> str:
    """Return a text to edit on one line: line ends are ``↵``, what can't be seen is left out."""
    return _LINE_END.join(map(one_line, text.splitlines()))


def from_line(text: str) -> str:
    """Return what was written on the line."""
    return "\n".join(map(one_line, text.split(_LINE_END))).strip()


def question_fault(text: str) -> str | None:
    """Return why a question can't be that, None if it can."""
    return None if from_line(text) else "a question can't be empty"


def options_fault(
    draft: Draft, options: Sequence[str], gold_index: int, metric: str | None
) -> str | None:
    """Return why these options with this key can't stand in the suite, None if they can.

    No option may be empty, equal to another one (also as a number), or be accepted as an answer
    beside the key.
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for place, option in enumerate(options):
        if not normalised(option):
            return f"{letters[place]} is empty"
        for other in range(place):
            if normalised(option) == normalised(options[other]) or same_number(
                option, options[other]
            ):
                return f"{letters[other]} and {letters[place]} are the same"
    truth = Truth(options[gold_index], draft.answers, metric or "", draft.meta)
    for place, option in enumerate(options):
        if place != gold_index and _is_right(option, truth):
            return f"{letters[place]} is accepted as an answer, so it can't be a wrong option"
    return None


def _is_right(option: str, truth: Truth) -> bool:
    if normalised(option) in truth.forms:
        return True
    if any(same_number(option, answer) for answer in truth.answers):
        return True
    try:
        return accepted(option, truth)
    except ValueError:  # the item lacks what its metric needs: the equality above has to do
        return False
