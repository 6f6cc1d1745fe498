"""From an item to the prompt of each stage. The same item gives the same prompt, to the byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctv_engine.construction.prompts import wording
from ctv_engine.construction.prompts.wording import MISTAKES, Kind
from ctv_engine.construction.replies import Distractor, Rating, Remark
from ctv_engine.llm.asking import Prompt
from ctv_engine.suite import LETTERS

ALSO_ACCEPTED = 9
"""Accepted answers beside the key that a prompt shows at most."""


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item as the prompts show it, and how far from the key its metric wants wrong answers."""

    data: Mapping[str, Any]
    margin: str = ""


def shown_item(question: str, key: str, answers: Sequence[str], metric: str) -> ShownItem:
    """Return the question with its key and some of what else is accepted."""
    also = [answer for answer in dict.fromkeys(answers) if answer != key][:ALSO_ACCEPTED]
    data: dict[str, Any] = {"question": question, "right_answer": key}
    margin = wording.MARGINS.get(metric)
    return ShownItem(
        data | ({"also_accepted": also} if also else {}), f" {margin}" if margin else ""
    )


def propose(kind: Kind, item: ShownItem, count: int, picture: bytes, attempt: int) -> Prompt:
    """Ask for wrong answers of one kind of mistake; that of question bias gets no picture."""
    return Prompt(
        "propose",
        wording.PROPOSE.format(mistake=MISTAKES[kind]),
        f"{_quoted(item.data)}\nWrite {count} wrong answers.{item.margin}",
        None if kind == "bias" else picture,
        attempt,
    )


def review(
    kind: Kind,
    item: ShownItem,
    proposals: Sequence[Distractor],
    picture: bytes,
) -> Prompt:
    """Ask for a remark on each proposal of one kind."""
    shown = {**item.data, "proposals": _numbered(proposals)}
    count = len(proposals)
    return Prompt(
        "review",
        wording.REVIEW.format(mistake=MISTAKES[kind]),
        f"{_quoted(shown)}\nGive {count} remarks, for the proposals 1 to {count}.",
        picture,
    )


def revise(
    kind: Kind,
    item: ShownItem,
    proposals: Sequence[Distractor],
    objections: Sequence[Remark],
    picture: bytes,
) -> Prompt:
    """Ask for new proposals in place of those that the reviewer objects to."""
    shown = {
        **item.data,
        "proposals": _numbered(proposals),
        "objections": [objection.model_dump() for objection in objections],
    }
    return Prompt(
        "revise",
        wording.REVISE.format(mistake=MISTAKES[kind]),
        f"{_quoted(shown)}\nWrite {len(objections)} new wrong answers.{item.margin}",
        None if kind == "bias" else picture,
    )


def select(
    item: ShownItem,
    candidates: Sequence[tuple[Kind, Distractor]],
    count: int,
    picture: bytes,
    attempt: int,
) -> Prompt:
    """Ask for the numbers of the best candidates."""
    texts = _numbered([candidate for _, candidate in candidates])
    shown = {
        **item.data,
        "candidates": [
            {**text, "mistake": kind} for text, (kind, _) in zip(texts, candidates, strict=True)
        ],
    }
    return Prompt(
        "select",
        wording.SELECT,
        f"{_quoted(shown)}\nChoose exactly {count} different numbers from 1 to {len(candidates)}.",
        picture,
        attempt,
    )


def rate(item: ShownItem, options: Sequence[str], picture: bytes) -> Prompt:
    """Ask how surely the key is the only right option."""
    shown = {**item.data, "other_options": dict(enumerate(options, 1))}
    return Prompt(
        "rate", wording.RATE, f"{_quoted(shown)}\nExamine it and give the score.", picture
    )


def refine(
    item: ShownItem,
    options: Sequence[str],
    rating: Rating,
    count: int,
    picture: bytes,
    attempt: int,
) -> Prompt:
    """Ask for new wrong options in place of ``rating.faulty``."""
    shown = {
        **item.data,
        "other_options": dict(enumerate(options, 1)),
        "options_that_go": rating.faulty,
        "issue": rating.issue,
    }
    return Prompt(
        "refine",
        wording.REFINE,
        f"{_quoted(shown)}\nWrite {count} wrong answers.{item.margin}",
        picture,
        attempt,
    )


def annotate(question: str, options: Sequence[str], picture: bytes) -> Prompt:
    """Ask for the letter of the right option; nothing in it tells the key."""
    lettered = dict(zip(LETTERS, options, strict=False))
    return Prompt(
        "annotate",
        wording.ANNOTATE,
        f"{_quoted({'question': question, 'options': lettered})}\n"
        f"Answer with one of {', '.join(lettered)}, or none.",
        picture,
    )


def _numbered(texts: Sequence[Distractor]) -> list[dict[str, Any]]:
    return [
        {"number": number, "text": one.text, "reason": one.reason}
        for number, one in enumerate(texts, 1)
    ]


def _quoted(data: Mapping[str, Any]) -> str:
    """Return data between the marks; without ``<`` and new lines in it, it can't end them."""
    inner = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    for separator in "\u2028\u2029\x85":  # line ends that JSON leaves alone
        inner = inner.replace(separator, f"\\u{ord(separator):04x}")
    return f"<item>\n{inner}\n</item>"
