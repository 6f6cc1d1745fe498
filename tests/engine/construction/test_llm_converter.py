"""Conversion by language models that answer by a script: the ways through it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from scripted_conversion import COLOURS, DRAFT, EXACT, PICTURE, Otherwise, converted, maker
from scripted_models import ScriptedModel, distractors, item_of, kind_of, rated

from ctv_engine.construction.converting import Converted, Pool, Rejected
from ctv_engine.construction.llm_converter import LlmConverter, Rules
from ctv_engine.llm.asking import BudgetSpent, Prompt, Unreadable
from ctv_engine.suite import Item


async def test_an_item_that_is_rated_5_takes_seven_calls() -> None:
    model = ScriptedModel(maker)
    outcome = await converted(model)
    assert isinstance(outcome, Converted)
    assert model.purposes == {"propose": 5, "select": 1, "rate": 1}
    assert outcome.options[outcome.gold_index] == "blue"
    assert len(set(outcome.options)) == 4
    wrong = dict(zip(outcome.options, outcome.provenance["mistakes"], strict=True))
    assert wrong.pop("blue") is None
    assert all(text in COLOURS[kind] for text, kind in wrong.items())
    assert outcome.provenance["ratings"] == [5]
    assert outcome.provenance["refinements"] == 0
    assert outcome.provenance["models"] == {"propose": "house/maker-1", "rate": "house/maker-1"}
    assert len(outcome.provenance["prompts"]) == 64


async def test_the_proposer_of_question_bias_does_not_see_the_picture() -> None:
    model = ScriptedModel(maker)
    await converted(model, review=True)
    blind = [prompt for prompt in model.sent if prompt.image is None]
    assert [(prompt.purpose, kind_of(prompt)) for prompt in blind] == [("propose", "bias")]


async def test_the_proposers_are_told_what_the_metric_would_accept() -> None:
    model = ScriptedModel(maker)
    await LlmConverter(model, model).convert(DRAFT, PICTURE, Pool("relaxed"))
    told = {prompt.purpose for prompt in model.sent if "more than 5 per cent" in prompt.text}
    assert told == {"propose"}


async def test_the_proposers_are_asked_together() -> None:
    waiting = asyncio.Barrier(5)

    class Meeting(ScriptedModel):
        async def ask(self, prompt: Prompt, reply: Any) -> Any:
            if prompt.purpose == "propose":
                async with asyncio.timeout(10):
                    await waiting.wait()
            return await super().ask(prompt, reply)

    assert isinstance(await converted(Meeting(maker)), Converted)


async def test_stages_may_be_of_different_providers() -> None:
    asked = [ScriptedModel(maker, model=f"{name}/1") for name in ("a", "b", "c")]
    outcome = await LlmConverter(asked[0], asked[1], asked[2]).convert(DRAFT, PICTURE, EXACT)
    assert isinstance(outcome, Converted)
    assert [set(model.purposes) for model in asked] == [{"propose", "select"}, {"rate"}, {"review"}]
    assert outcome.provenance["models"] == {"propose": "a/1", "rate": "b/1", "review": "c/1"}


async def test_what_a_reviewer_objects_to_is_replaced() -> None:
    def remarks(prompt: Prompt) -> Mapping[str, Any] | None:
        if kind_of(prompt) != "visual":
            return None
        judged = ["could_be_correct", "keep", "harden"]
        return {
            "remarks": [
                {"number": number, "judgement": judgement, "comment": f"because {number}"}
                for number, judgement in enumerate(judged, 1)
            ]
        }

    model = ScriptedModel(Otherwise(review=remarks, revise=[distractors("violet", "maroon")]))
    await converted(model, review=True)
    assert model.purposes == {"propose": 5, "review": 5, "revise": 1, "select": 1, "rate": 1}
    (revision,) = [item_of(prompt) for prompt in model.sent if prompt.purpose == "revise"]
    assert [objection["comment"] for objection in revision["objections"]] == [
        "because 1",
        "because 3",
    ]
    assert revision["proposals"][0]["reason"] == "why purple"
    (selection,) = [item_of(prompt) for prompt in model.sent if prompt.purpose == "select"]
    seen = {one["text"] for one in selection["candidates"] if one["mistake"] == "visual"}
    assert seen == {"Grey".lower(), "violet", "maroon"}


@pytest.mark.parametrize(
    ("revised", "left"),
    [
        (distractors("grey", "purple"), {"grey", "white"}),  # nothing new: what was easy stays
        (Unreadable("house: no JSON"), {"grey", "white"}),
        (distractors("violet"), {"grey", "violet"}),
    ],
)
async def test_what_could_be_correct_goes_even_without_anything_better(
    revised: Any, left: set[str]
) -> None:
    def remarks(prompt: Prompt) -> Mapping[str, Any] | None:
        if kind_of(prompt) != "visual":
            return None
        return {
            "remarks": [
                {"number": 1, "judgement": "could_be_correct", "comment": ""},
                {"number": 3, "judgement": "harden", "comment": ""},
                {"number": 9, "judgement": "could_be_correct", "comment": "no such proposal"},
            ]
        }

    model = ScriptedModel(Otherwise(review=remarks, revise=[revised]))
    await converted(model, review=True)
    (selection,) = [item_of(prompt) for prompt in model.sent if prompt.purpose == "select"]
    assert {one["text"] for one in selection["candidates"] if one["mistake"] == "visual"} == left


async def test_a_rating_below_the_threshold_is_refined_and_rated_again() -> None:
    ratings = [rated(3, "One bar is nearly as tall.", (2,)), rated(5)]
    model = ScriptedModel(Otherwise(rate=ratings))
    outcome = await converted(model)
    assert isinstance(outcome, Converted)
    assert model.purposes == {"propose": 5, "select": 1, "rate": 2, "refine": 1}
    assert outcome.provenance["ratings"] == [3, 5]
    assert outcome.provenance["refinements"] == 1
    first, second = [item_of(p)["other_options"] for p in model.sent if p.purpose == "rate"]
    assert list(second.values()) == [first["1"], first["3"], "lime"]
    (refined,) = [item_of(prompt) for prompt in model.sent if prompt.purpose == "refine"]
    assert refined["issue"] == "One bar is nearly as tall."
    assert refined["options_that_go"] == [2]
    assert outcome.options == ("blue", *second.values())
    assert outcome.provenance["mistakes"][-1] == "refined"


@pytest.mark.parametrize(
    ("rules", "scores", "accepted"),
    [
        ({}, [4, 4, 4], False),
        ({}, [4, 4, 5], True),
        ({"max_refinements": 0}, [4], False),
        ({"max_refinements": 1}, [4, 4], False),
        ({"accept_at": 4}, [3, 4], True),
        ({"accept_at": 1}, [1], True),
    ],
)
async def test_the_threshold_decides(
    rules: dict[str, int], scores: list[int], accepted: bool
) -> None:
    script = Otherwise(
        rate=[rated(score, "Too close.", (1,)) for score in scores],
        refine=[distractors("lime"), distractors("mauve")],
    )
    model = ScriptedModel(script)
    outcome = await converted(model, **rules)
    assert isinstance(outcome, Converted if accepted else Rejected)
    assert model.purposes["rate"] == len(scores)
    if isinstance(outcome, Rejected):
        assert f"rated {scores[-1]} of 5" in outcome.reason
        assert "Too close." in outcome.reason


async def test_without_a_named_fault_all_options_go() -> None:
    script = Otherwise(rate=[rated(2, "Unclear.", (0, 7, -1)), rated(5)])
    outcome = await converted(ScriptedModel(script))
    assert isinstance(outcome, Converted)
    assert outcome.options == ("blue", "lime", "mauve", "olive")


async def test_a_refinement_that_brings_nothing_new_rejects_the_item() -> None:
    old = [text for texts in COLOURS.values() for text in texts]
    script = Otherwise(
        rate=[rated(2, "All right.", (1, 2, 3))], refine=lambda p: distractors("Blue", *old[:2])
    )
    model = ScriptedModel(script)
    outcome = await converted(model, distractors=3)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("rated 2 of 5, 5 is needed: All right.; no 3 usable new")
    assert [p.attempt for p in model.sent if p.purpose == "refine"] == [0, 1]


async def test_too_few_usable_proposals_are_asked_for_once_more() -> None:
    def proposals(prompt: Prompt) -> Mapping[str, Any] | None:
        return distractors("Blue.", "red", "RED", " ") if prompt.attempt == 0 else None

    model = ScriptedModel(Otherwise(propose=proposals))
    outcome = await converted(model)
    assert isinstance(outcome, Converted)
    assert model.purposes["propose"] == 10
    assert "Blue." not in outcome.options


async def test_too_few_usable_proposals_twice_reject_the_item() -> None:
    model = ScriptedModel(Otherwise(propose=lambda p: distractors("blue", "red", "Red", "green")))
    outcome = await converted(model)
    assert outcome == Rejected("2 of 40 proposed distractors can be used, 3 are needed")
    assert model.purposes == {"propose": 10}


@pytest.mark.parametrize("numbers", [[1, 1, 1], [0, 16, -3, 99], [], [1, 2]])
async def test_a_selection_of_what_is_not_there_is_asked_again_then_rejected(
    numbers: list[int],
) -> None:
    script = Otherwise(
        select=lambda p: {"reason": "", "numbers": numbers} if not p.attempt else None
    )
    assert isinstance(await converted(ScriptedModel(script)), Converted)
    script = Otherwise(select=lambda p: {"reason": "", "numbers": numbers})
    model = ScriptedModel(script)
    outcome = await converted(model)
    assert outcome == Rejected("the selection twice named fewer than 3 of the candidates")
    assert model.purposes["select"] == 2


async def test_a_selection_never_alters_a_text() -> None:
    script = Otherwise(select=[{"reason": "", "numbers": [15, 15, 2, 7, 1]}])
    model = ScriptedModel(script)
    outcome = await converted(model)
    assert isinstance(outcome, Converted)
    (selection,) = [item_of(prompt) for prompt in model.sent if prompt.purpose == "select"]
    texts = {one["number"]: one["text"] for one in selection["candidates"]}
    assert outcome.options == ("blue", texts[15], texts[2], texts[7])


@pytest.mark.parametrize("spent", range(1, 9))
async def test_a_build_that_was_killed_repeats_no_call(spent: int) -> None:
    script = {"rate": [rated(3, "Close.", (1,)), rated(5)]}
    whole = ScriptedModel(Otherwise(rate=list(script["rate"])))
    expected = await converted(whole)
    shared = Otherwise(rate=list(script["rate"]))
    first = ScriptedModel(shared, budget=spent)
    with pytest.raises(BudgetSpent):
        await converted(first)
    second = ScriptedModel(shared, store=first.store)
    assert await converted(second) == expected
    assert len(first.sent) == spent
    assert Counter(first.sent + second.sent) == Counter(whole.sent)


async def test_the_key_is_on_every_letter_equally_often() -> None:
    places: Counter[int | None] = Counter()
    model = ScriptedModel(maker)
    for number in range(200):
        draft = replace(DRAFT, key=f"q{number}")
        outcome = await converted(model, draft=draft)
        assert isinstance(outcome, Converted)
        item = Item(
            draft.dataset, draft.key, draft.question, "", "", outcome.options, outcome.gold_index,
            draft.answers,
        )  # fmt: skip
        places[item.placed().gold_index] += 1
    # 50 each with a standard deviation of 6.1; four of them are let pass.
    assert sorted(places) == [0, 1, 2, 3]
    assert all(26 <= count <= 74 for count in places.values()), places


async def test_no_kind_of_mistake_comes_first_throughout() -> None:
    model = ScriptedModel(maker)
    for number in range(20):
        await converted(model, draft=replace(DRAFT, key=f"q{number}"))
    firsts = {item_of(p)["candidates"][0]["mistake"] for p in model.sent if p.purpose == "select"}
    assert len(firsts) >= 4


@pytest.mark.parametrize(
    "wrong", [{"distractors": 0}, {"distractors": 26}, {"accept_at": 6}, {"max_refinements": -1}]
)
def test_rules_out_of_bounds_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)
