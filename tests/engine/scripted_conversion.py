"""An item, and a language model that makes options for it without any trouble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripted_models import ScriptedModel, distractors, item_of, kind_of, rated

from ctv_engine.construction.converting import Converted, Pool, Rejected
from ctv_engine.construction.journal import Draft
from ctv_engine.construction.llm_converter import LlmConverter, Rules
from ctv_engine.construction.source import Origin
from ctv_engine.llm.asking import Prompt
from ctv_engine.suite import NO_META

PICTURE = b"\x89PNG picture"
EXACT = Pool("exact_match")
DRAFT = Draft(
    id=1,
    dataset="charts",
    key="q1",
    question="Which colour is the tallest bar?",
    answers=("blue",),
    image="images/x.png",
    meta=NO_META,
    stratum="",
    origin=Origin("charts.jsonl", 0),
)
COLOURS = {
    "concept": ("navy", "cyan", "teal"),
    "reasoning": ("red", "green", "black"),
    "visual": ("purple", "grey", "white"),
    "data": ("orange", "yellow", "pink"),
    "bias": ("brown", "gold", "silver"),
}


def maker(prompt: Prompt) -> Mapping[str, Any] | Exception:
    """Proposes three colours of each kind, selects the first ones, rates everything 5."""
    match prompt.purpose:
        case "propose":
            return distractors(*COLOURS[kind_of(prompt)])
        case "review":
            remarks = [
                {"number": proposal["number"], "judgement": "keep", "comment": ""}
                for proposal in item_of(prompt)["proposals"]
            ]
            return {"remarks": remarks}
        case "select":
            return {"reason": "", "numbers": [1, 2, 3]}
        case "rate":
            return rated(5)
        case "refine":
            return distractors("lime", "mauve", "olive", "beige", "ivory")
    raise AssertionError(prompt.purpose)


class Otherwise:
    """Answers as ``maker`` does but for some purposes; a list of replies is used up in turn."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies

    def __call__(self, prompt: Prompt) -> Mapping[str, Any] | Exception:
        other = self.replies.get(prompt.purpose)
        if isinstance(other, list):
            other = other.pop(0)
        if callable(other):
            other = other(prompt)
        return maker(prompt) if other is None else other


async def converted(
    model: ScriptedModel, *, review: bool = False, draft: Draft = DRAFT, **rules: int
) -> Converted | Rejected:
    converter = LlmConverter(model, model, model if review else None, rules=Rules(**rules))
    return await converter.convert(draft, PICTURE, EXACT)
