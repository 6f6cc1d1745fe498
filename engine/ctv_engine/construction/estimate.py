"""How many calls and tokens a conversion and its annotation take, before the first one is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ctv_engine.construction import prompts
from ctv_engine.construction.llm_converter import Rules
from ctv_engine.construction.prompts.asking import shown_item
from ctv_engine.construction.prompts.wording import KINDS
from ctv_engine.construction.replies import Distractor, Rating, Remark
from ctv_engine.llm.asking import Prompt

Stage = Literal["propose", "review", "rate", "annotate"]

CHARACTERS_PER_TOKEN = 4
PICTURE_TOKENS = 1_100
"""A megapixel at most providers; between 765 and 1,600 at the large ones."""

SCHEMA_TOKENS = 150
REFINED_SHARE = 0.3
"""Items that a first rating does not let pass: 132 of AutoConverter's 450 hand-labelled ones."""

_QUESTION = "What was the value of the second largest category in the year before the peak?"
_WRITTEN = {"distractor": 35, "remark": 30, "selection": 60, "rating": 180, "answer": 60}


@dataclass(frozen=True, slots=True)
class Load:
    """What one stage takes for one item. Tokens are those of the typical number of calls."""

    calls_min: int
    calls_typical: float
    calls_max: int
    input_tokens: int
    output_tokens: int


def calls_per_item(rules: Rules, *, review: bool) -> tuple[int, float, int]:
    """Return the least, typical and largest number of calls that convert one item."""
    loads = conversion_load(rules, review=review).values()
    return (
        sum(load.calls_min for load in loads),
        sum(load.calls_typical for load in loads),
        sum(load.calls_max for load in loads),
    )


def conversion_load(
    rules: Rules, *, review: bool, picture_tokens: int = PICTURE_TOKENS
) -> dict[Stage, Load]:
    """Return what converting one item takes of the model of each stage.

    Least: every review keeps everything, the first rating lets the item pass. Typical: every
    reviewer objects to something, and the share of :data:`REFINED_SHARE` is refined once. Largest:
    too few usable proposals at first, an unreadable selection, every refinement asked twice.
    """
    item = shown_item(_QUESTION, "1,234", (), "relaxed")
    texts = [Distractor(text="1,243", reason="r" * 80)] * rules.proposals
    remarks = [Remark(number=1, judgement="harden", comment="c" * 80)]
    options = ["1,243"] * rules.distractors
    rating = Rating(reasoning="", score=3, issue="i" * 150, faulty=[1])
    pool = [(kind, text) for kind in KINDS for text in texts]
    kinds = len(KINDS)

    def size(prompt: Prompt) -> int:
        return _input_tokens(prompt, picture_tokens)

    proposing = sum(size(prompts.propose(kind, item, 6, b"p", 0)) for kind in KINDS)
    selecting = size(prompts.select(item, pool, rules.distractors, b"p", 0))
    refining = size(prompts.refine(item, options, rating, 3, b"p", 0))
    refined = REFINED_SHARE if rules.max_refinements and rules.accept_at > 1 else 0.0
    least = kinds + 1
    typical = kinds + 1 + refined
    most = 2 * kinds + 2 + 2 * rules.max_refinements
    propose_in = proposing + selecting + refined * refining
    propose_out: float = kinds * rules.proposals * _WRITTEN["distractor"] + _WRITTEN["selection"]
    propose_out += refined * 3 * _WRITTEN["distractor"]
    loads: dict[Stage, Load] = {}
    if review:
        reviewing = sum(size(prompts.review(kind, item, texts, b"p")) for kind in KINDS)
        propose_in += sum(size(prompts.revise(kind, item, texts, remarks, b"p")) for kind in KINDS)
        propose_out += kinds * 2 * _WRITTEN["distractor"]
        typical += kinds
        most += 2 * kinds
        written = kinds * rules.proposals * _WRITTEN["remark"]
        loads["review"] = Load(kinds, kinds, 2 * kinds, reviewing, written)
    loads["propose"] = Load(least, typical, most, math.ceil(propose_in), math.ceil(propose_out))
    rate_calls = 1 + refined
    loads["rate"] = Load(
        1,
        rate_calls,
        1 + rules.max_refinements,
        math.ceil(rate_calls * size(prompts.rate(item, options, b"p"))),
        math.ceil(rate_calls * _WRITTEN["rating"]),
    )
    return loads


def annotation_load(rules: Rules, picture_tokens: int = PICTURE_TOKENS) -> Load:
    """Return what one annotator takes for one converted item."""
    asked = prompts.annotate(_QUESTION, ["1,234"] * (rules.distractors + 1), b"p")
    return Load(1, 1, 1, _input_tokens(asked, picture_tokens), _WRITTEN["answer"])


def _input_tokens(prompt: Prompt, picture_tokens: int) -> int:
    text = math.ceil((len(prompt.system) + len(prompt.text)) / CHARACTERS_PER_TOKEN)
    return text + SCHEMA_TOKENS + (picture_tokens if prompt.image is not None else 0)
