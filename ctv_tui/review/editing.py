"""What a person may write into an item, and how a text of several lines is shown on one."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.construction.candidates import Truth, accepted, normalised, one_line, same_number
from ctv_engine.construction.journal import Draft
from ctv_engine.suite import LETTERS

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


def options_fault(options: Sequence[str]) -> str | None:
    """Return why these options can't stand together: one is empty, or two are the same."""
    for place, option in enumerate(options):
        if not normalised(option):
            return f"{LETTERS[place]} is empty"
        for other, text in enumerate(options[:place]):
            if normalised(option) == normalised(text) or same_number(option, text):
                return f"{LETTERS[other]} and {LETTERS[place]} are the same"
    return None


def edit_fault(draft: Draft, options: Sequence[str], place: int, metric: str | None) -> str | None:
    """Return why the option at ``place`` can't be changed so, None if it can.

    Beside what :func:`options_fault` finds: a wrong option must not be accepted as an answer.
    """
    if draft.gold_index not in (None, place):
        truth = Truth(options[draft.gold_index or 0], draft.answers, metric or "", draft.meta)
        if normalised(options[place]) and _is_right(options[place], truth):
            others = [text for n, text in enumerate(options) if n != place]
            if not any(normalised(options[place]) == normalised(text) for text in others):
                return f"{LETTERS[place]} is accepted as an answer, so it can't be a wrong option"
    return options_fault(options)


def differs_from_answers(draft: Draft, place: int) -> bool:
    """Whether the open form accepts other answers than the option at ``place``."""
    option = draft.options[place]
    return not any(
        normalised(option) == normalised(answer) or same_number(option, answer)
        for answer in draft.answers
    )


def _is_right(option: str, truth: Truth) -> bool:
    if normalised(option) in truth.forms:
        return True
    if any(same_number(option, answer) for answer in truth.answers):
        return True
    try:
        return accepted(option, truth)
    except ValueError:  # the item lacks what its metric needs: the equality above has to do
        return False
