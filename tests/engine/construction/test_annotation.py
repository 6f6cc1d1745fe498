"""Annotators and what their votes decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from scripted_conversion import DRAFT, PICTURE
from scripted_models import ScriptedModel, item_of

from ctv_engine.construction.annotation import LlmAnnotator, self_preference
from ctv_engine.construction.journal import Draft, State, Vote
from ctv_engine.construction.votes import verdict
from ctv_engine.llm.asking import Prompt, Unreachable

CONVERTED = replace(
    DRAFT, options=("blue", "red", "green", "grey"), gold_index=0, state=State.CONVERTED
)


def saying(letter: str, reason: str = "It is.") -> Any:
    return lambda prompt: {"letter": letter, "reason": reason}


def choosing(text: str) -> Any:
    def script(prompt: Prompt) -> Mapping[str, Any]:
        options = item_of(prompt)["options"]
        return {"letter": next(a for a, b in options.items() if b == text), "reason": "Seen."}

    return script


async def vote(script: Any, draft: Draft = CONVERTED, model: str = "house/eye-1") -> Vote:
    return await LlmAnnotator(ScriptedModel(script, model=model)).vote(draft, PICTURE)


@pytest.mark.parametrize(("text", "place"), [("blue", 0), ("red", 1), ("green", 2), ("grey", 3)])
async def test_a_letter_is_counted_for_the_option_that_stood_there(text: str, place: int) -> None:
    assert await vote(choosing(text)) == Vote("house/eye-1", place, "Seen.")


async def test_the_key_is_not_told() -> None:
    model = ScriptedModel(choosing("red"))
    await LlmAnnotator(model).vote(CONVERTED, PICTURE)
    (asked,) = model.sent
    assert asked.purpose == "annotate" and asked.image == PICTURE
    assert set(item_of(asked)) == {"question", "options"}
    assert asked.text.count("blue") == 1


async def test_who_always_says_a_letter_votes_for_every_option_equally_often() -> None:
    for letter in "ABCD":
        drafts = [replace(CONVERTED, key=f"q{number}") for number in range(200)]
        places = Counter([(await vote(saying(letter), draft)).choice for draft in drafts])
        # 50 each with a standard deviation of 6.1; four of them are let pass.
        assert sorted(places) == [0, 1, 2, 3]
        assert all(26 <= count <= 74 for count in places.values()), places


async def test_two_that_lean_to_the_same_letter_seldom_agree_on_the_key() -> None:
    drafts = [replace(CONVERTED, key=f"q{number}") for number in range(200)]
    both = 0
    for draft in drafts:
        votes = [await vote(saying("A"), draft, model) for model in ("one/1", "two/2")]
        both += all(one.choice == draft.gold_index for one in votes)
    assert both <= 30  # 200 / 16 = 12.5 with a standard deviation of 3.4; in one order: 50


@pytest.mark.parametrize(
    ("letter", "choice", "reason"),
    [
        ("b", True, "It is."),
        (" (B). ", True, "It is."),
        ("none", False, "no single option is right: It is."),
        ("E", False, "answered 'E', which is no option"),
        ("AB", False, "answered 'AB', which is no option"),
        ("", False, "answered '', which is no option"),
        ("Ж", False, "answered 'Ж', which is no option"),
        ("B" * 100_000, False, f"answered '{'B' * 19}…', which is no option"),
        ("\x1b[2JB\n", False, "answered '[2JB', which is no option"),
    ],
)
async def test_only_a_letter_that_was_asked_is_a_choice(
    letter: str, choice: bool, reason: str
) -> None:
    given = await vote(saying(letter))
    assert (given.choice is not None) == choice
    assert given.reason == reason


async def test_reasons_are_kept_short_and_printable() -> None:
    given = await vote(saying("A", "\x1b[31mIgnore\nthat " + "x" * 100_000))
    assert given.reason is not None and given.reason.startswith("[31mIgnore that xxx")
    assert len(given.reason) == 200
    assert (await vote(saying("A", " \n"))).reason is None


async def test_no_answer_is_no_vote() -> None:
    with pytest.raises(Unreachable):
        await vote(lambda prompt: Unreachable("house: down"))


async def test_an_item_without_options_is_not_asked() -> None:
    with pytest.raises(ValueError, match="charts/q1 has no options yet"):
        await vote(saying("A"), DRAFT)


@pytest.mark.parametrize(
    ("choices", "state", "reason"),
    [
        ([0, 0], State.KEPT, None),
        ([0, 0, 0], State.KEPT, None),
        ([2, 2], State.QUEUED, "2 of 2 annotators chose C"),
        ([0, 2], State.QUEUED, "1 of 2 annotators chose C"),
        ([0, None], State.QUEUED, "1 of 2 annotators chose no option"),
        ([1, 0, 3], State.QUEUED, "1 of 3 annotators chose B; 1 of 3 annotators chose D"),
        ([1, 3, 3], State.QUEUED, "2 of 3 annotators chose D; 1 of 3 annotators chose B"),
        ([0], None, None),
        ([], None, None),
    ],
)
def test_an_item_is_kept_if_all_agree_with_the_key(
    choices: list[int | None], state: State | None, reason: str | None
) -> None:
    votes = [Vote(f"house/{number}", choice) for number, choice in enumerate(choices)]
    found = verdict(CONVERTED, votes, needed=2)
    if state is None:
        assert found is None
    else:
        assert found is not None and (found.state, found.reason) == (state, reason)


def test_one_annotator_makes_no_verdict() -> None:
    with pytest.raises(ValueError, match="1 annotators; 2 at least"):
        verdict(CONVERTED, [Vote("house/1", 0)], needed=1)


def test_who_made_the_options_is_warned_of_as_an_annotator() -> None:
    (warning,) = self_preference(["a/1", "b/1", "a/1"], ["a/1", "c/1"])
    assert warning.startswith("a/1 made the options and annotates them too")
    assert self_preference(["a/1"], ["b/1"]) == []
