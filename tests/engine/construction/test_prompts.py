"""What is said to a model: pinned by a hash, the same each time, and counted before it is sent."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from scripted_conversion import DRAFT, EXACT, PICTURE, Otherwise
from scripted_models import ScriptedModel, distractors, rated

from ctv_engine.construction.estimate import annotation_load, calls_per_item, conversion_load
from ctv_engine.construction.llm_converter import LlmConverter, Rules
from ctv_engine.construction.prompts import prompts_hash, wording
from ctv_engine.construction.prompts.pinned import _FORMS


def test_the_hash_is_the_same_in_every_process() -> None:
    code = "from ctv_engine.construction.prompts import prompts_hash; print(prompts_hash())"
    paths = json.dumps([path for path in sys.path if path])
    other = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == prompts_hash()


@pytest.mark.parametrize(
    "name", ["PROPOSE", "REVIEW", "REVISE", "SELECT", "RATE", "REFINE", "ANNOTATE"]
)
def test_the_hash_tells_every_change_of_wording(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompts_hash()
    monkeypatch.setattr(wording, name, getattr(wording, name) + " ")
    assert prompts_hash() != before


@pytest.mark.parametrize("kind", wording.KINDS)
def test_the_hash_tells_every_change_of_a_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompts_hash()
    monkeypatch.setitem(wording.MISTAKES, kind, "Something else.")
    assert prompts_hash() != before


@pytest.mark.parametrize("form", _FORMS)
def test_the_forms_fit_a_strict_schema(form: type) -> None:
    def objects(schema: object) -> list[dict[str, object]]:
        if isinstance(schema, list):
            return [found for part in schema for found in objects(part)]
        if not isinstance(schema, dict):
            return []
        inner = [found for part in schema.values() for found in objects(part)]
        return [schema, *inner] if schema.get("type") == "object" else inner

    found = objects(form.model_json_schema())  # type: ignore[attr-defined]
    assert found
    for schema in found:
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])  # type: ignore[call-overload]


@pytest.mark.parametrize("review", [False, True])
async def test_least_and_most_calls_are_what_an_item_can_take(review: bool) -> None:
    least, typical, most = calls_per_item(Rules(), review=review)
    easy = ScriptedModel(Otherwise())
    await LlmConverter(easy, easy, easy if review else None).convert(DRAFT, PICTURE, EXACT)
    assert len(easy.sent) == least

    objection = {"number": 1, "judgement": "harden", "comment": ""}
    hard = ScriptedModel(
        Otherwise(
            propose=lambda p: distractors("red") if not p.attempt else None,
            review=lambda p: {"remarks": [objection]},
            revise=lambda p: distractors("blue"),
            select=lambda p: {"reason": "", "numbers": []} if not p.attempt else None,
            rate=lambda p: rated(4, "Close.", (1,)),
            refine=lambda p: distractors("blue" if not p.attempt else f"mix {len(hard.sent)}"),
        )
    )
    await LlmConverter(hard, hard, hard if review else None).convert(DRAFT, PICTURE, EXACT)
    assert len(hard.sent) == most
    assert least < typical < most


def test_the_estimate_counts_pictures() -> None:
    small = conversion_load(Rules(), review=True, picture_tokens=0)
    large = conversion_load(Rules(), review=True, picture_tokens=1_000)
    more = {stage: large[stage].input_tokens - small[stage].input_tokens for stage in small}
    # Four of five proposers and revisers, selection and 0.3 refinements; five reviews; 1.3 ratings.
    assert more == {"propose": 9_300, "review": 5_000, "rate": 1_300}
    annotator = annotation_load(Rules(), 1_000).input_tokens
    assert annotator - annotation_load(Rules(), 0).input_tokens == 1_000
