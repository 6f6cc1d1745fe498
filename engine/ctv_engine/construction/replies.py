"""The forms in which a language model must answer while a suite is made.

They hold nothing that a strict JSON schema can't say: no lengths, no defaults. What is in them is
still untrusted; numbers are checked against what was asked, texts are cleaned by ``candidates``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Judgement = Literal["keep", "harden", "could_be_correct"]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Distractor(_Form):
    """One wrong answer and why somebody would fall for it."""

    text: str
    reason: str


class Proposals(_Form):
    """Wrong answers, best first."""

    distractors: list[Distractor]


class Remark(_Form):
    """What a reviewer says of the proposal of that number."""

    number: int
    judgement: Judgement
    comment: str


class Review(_Form):
    """One remark for each proposal."""

    remarks: list[Remark]


class Selection(_Form):
    """The numbers of the chosen candidates; their texts stay as they are."""

    reason: str
    numbers: list[int]


class Rating(_Form):
    """How surely the key is the only right option, 5 is surest, and which others are at fault."""

    reasoning: str
    score: Literal[1, 2, 3, 4, 5]
    issue: str
    faulty: list[int]


class Answer(_Form):
    """An annotator's answer: the letter of an option, or ``none``."""

    reason: str
    letter: str
