"""One hash over everything that is said and every form in which it is answered."""

from __future__ import annotations

import hashlib
import json

from ctv_engine.construction.prompts import asking
from ctv_engine.construction.prompts.wording import KINDS, MARGINS
from ctv_engine.construction.replies import (
    Answer,
    Distractor,
    Proposals,
    Rating,
    Remark,
    Review,
    Selection,
)
from ctv_engine.llm.asking import Prompt

_FORMS = (Proposals, Review, Selection, Rating, Answer)


def prompts_hash() -> str:
    """Return the SHA-256 over all prompts, filled in with a fixed item, and all reply schemas."""
    digest = hashlib.sha256(json.dumps(MARGINS, sort_keys=True).encode() + b"\n")
    for prompt in _probes():
        pictured = prompt.image is not None
        said = [prompt.purpose, prompt.system, prompt.text, pictured]
        digest.update(json.dumps(said).encode() + b"\n")
    for form in _FORMS:
        digest.update(json.dumps(form.model_json_schema(), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _probes() -> list[Prompt]:
    item = asking.shown_item("q", "k", ("k", "l"), "")
    one = [Distractor(text="t", reason="r")]
    remarks = [Remark(number=1, judgement="harden", comment="c")]
    rating = Rating(reasoning="r", score=3, issue="i", faulty=[1])
    probes = [
        asking.select(item, [("data", one[0])], 1, b"p", 0),
        asking.rate(item, ["t"], b"p"),
        asking.refine(item, ["t"], rating, 1, b"p", 0),
        asking.annotate("q", ["k", "t"], b"p"),
    ]
    for kind in KINDS:
        probes += [
            asking.propose(kind, item, 1, b"p", 0),
            asking.review(kind, item, one, b"p"),
            asking.revise(kind, item, one, remarks, b"p"),
        ]
    return probes
