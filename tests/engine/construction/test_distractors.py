"""Distractors by rule: of the key's kind, never right, and without a hint in size or place."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from ctv_engine.construction.candidates import normalised, same_number
from ctv_engine.construction.converting import Converted, Rejected
from ctv_engine.construction.distractors import Known, RulesConverter, named_beside
from ctv_engine.construction.journal import Draft
from ctv_engine.construction.shapes import opposite, shape_of
from ctv_engine.construction.source import Origin
from ctv_engine.scoring.open_metrics import score_open
from ctv_engine.suite import NO_META, Meta

WORDS = "river bridge garden market tower castle school harbour station valley".split()  # noqa: SIM905


def draft(answers: Sequence[str], *, key: str = "1", options: tuple[str, ...] = (),
          gold: int | None = None, meta: Meta = NO_META, dataset: str = "d") -> Draft:  # fmt: skip
    return Draft(
        1, dataset, key, "What is it?", tuple(answers), "i.png", meta, "", Origin("f", 0),
        options, gold,
    )  # fmt: skip


def known(seed: int = 0, count: int = 400) -> list[Known]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        answer = rng.choice(
            [
                str(rng.randint(0, 60)),
                f"{rng.uniform(1, 99):.1f}%",
                str(rng.randint(1950, 2020)),
                f"${rng.randint(1000, 900_000):,}",
                f"May {rng.randint(1, 30)}, {rng.randint(1980, 2020)}",
                " ".join(rng.sample(WORDS, rng.randint(1, 3))),
                ", ".join(rng.sample(WORDS, 2)),
            ]
        )
        made.append(Known(f"What is number {number}?", answer))
    return made


CONVERTER = RulesConverter({"d": known()})

KEYS = [
    ("17", r"\d+"),
    ("3", r"\d+"),
    ("0", r"\d+"),
    ("45.3%", r"\d+\.\d%"),
    ("1998", r"\d{4}"),
    ("$12,500", r"\$\d[\d,]*"),
    ("-4.5", r"-?\d+\.\d"),
    ("1,234,567", r"[\d,]+"),
    ("3.5 million", r"\d+\.\d million"),
    ("May 4, 1999", r"\D* ?\d+, \d{4}"),
    ("garden market", r"[a-z ]+"),
    ("river, tower", r"[a-z]+, [a-z]+"),
    ("B-52", None),
]


@pytest.mark.parametrize(("key", "pattern"), KEYS)
@pytest.mark.parametrize("metric", ["exact_match", "anls", "relaxed"])
def test_options_are_of_the_keys_kind_and_none_is_right(
    key: str, pattern: str | None, metric: str
) -> None:
    import re

    made = CONVERTER.options_of(draft([key]), metric)
    if metric == "anls" and key == "3.5 million":
        # Whatever the number, more than half of the characters are the key's.
        assert isinstance(made, Rejected)
        return
    assert isinstance(made, Converted), made
    assert len(made.options) == 4
    assert made.options[made.gold_index] == key
    wrong = [option for option in made.options if option != key]
    for option in wrong:
        assert score_open(metric, option, [key]) == 0.0  # type: ignore[arg-type]
        assert not same_number(option, key)
        if pattern:
            assert re.fullmatch(pattern, option), option
    assert len({normalised(option) for option in made.options}) == 4


def test_a_percentage_stays_within_a_hundred() -> None:
    for number in range(60):
        made = RulesConverter({}).options_of(
            draft([f"{60 + number / 2}%"], key=str(number)), "relaxed"
        )
        assert isinstance(made, Converted)
        assert all(Decimal(option.rstrip("%")) <= 100 for option in made.options)


@pytest.mark.parametrize(
    ("key", "other"),
    [("Yes", "No"), ("no", "yes"), ("TRUE", "FALSE"), ("Yes.", "No"), ("maybe", None)],
)
def test_yes_or_no(key: str, other: str | None) -> None:
    assert opposite(key) == other
    if other:
        assert CONVERTER.options_of(draft([key]), "exact_match") == Converted(
            (key, other), 0, {"converter": "rules"}
        )


def test_yes_or_no_where_people_said_both() -> None:
    people = Meta(annotators=("yes",) * 6 + ("no",) * 4)
    made = CONVERTER.options_of(draft(["yes", "no"], meta=people), "vqa_soft")
    assert made == Rejected("'no' is accepted, too")


def test_the_same_item_gets_the_same_options_and_others_get_others() -> None:
    again = RulesConverter({"d": known()})
    one, two = draft(["17"], key="a"), draft(["17"], key="b")
    assert CONVERTER.options_of(one, "relaxed") == again.options_of(one, "relaxed")
    assert CONVERTER.options_of(one, "relaxed") != CONVERTER.options_of(two, "relaxed")


@pytest.mark.parametrize("kind", ["number", "text"])
def test_neither_size_nor_length_tells_the_key(kind: str) -> None:
    rng = random.Random(5)
    places: Counter[int] = Counter()
    for number in range(400):
        key = str(rng.randint(30, 60)) if kind == "number" else " ".join(rng.sample(WORDS, 2))
        made = CONVERTER.options_of(draft([key], key=str(number)), "exact_match")
        assert isinstance(made, Converted)
        size = (lambda text: float(text)) if kind == "number" else (lambda text: (len(text), text))
        places[sorted(made.options, key=size).index(key)] += 1
    # Each place is right for a quarter; 400 draws stray from 100 by 8.7 (one deviation).
    assert all(100 - 4 * 8.7 < places[place] < 100 + 4 * 8.7 for place in range(4)), places


def test_a_frequent_key_is_no_hint() -> None:
    answers = known(1, 700) + [Known("?", "unanswerable")] * 300
    converter = RulesConverter({"d": answers})
    as_distractor = 0
    texts = [one.answer for one in answers if shape_of(one.answer).kind == "text"]
    others = [text for text in texts if text != "unanswerable"]
    for number, text in enumerate(others):
        made = converter.options_of(draft([text], key=str(number)), "exact_match")
        assert isinstance(made, Converted)
        as_distractor += "unanswerable" in made.options
    # Three times as often a distractor as a key would make it worthless as a hint; there are too
    # few texts for that here, so every one of them has it.
    assert as_distractor == len(others)


def test_of_two_options_a_frequent_key_is_wrong_as_often_as_it_is_right() -> None:
    answers = [*(Known("?", f"{a} {b}") for a in WORDS for b in WORDS[:7]),
               *[Known("?", "unanswerable")] * 30]  # fmt: skip
    converter = RulesConverter({"d": answers}, 2)
    wrong = 0
    for number, one in enumerate(answers[:70]):
        made = converter.options_of(draft([one.answer], key=str(number)), "exact_match")
        assert isinstance(made, Converted)
        wrong += "unanswerable" in made.options
    # It is right for 30 of 100, so it is to be wrong for 30 of the other 70: a binomial count
    # with a deviation of 4.1.
    assert 30 - 4 * 4.1 < wrong < 30 + 4 * 4.1


@pytest.mark.parametrize(
    ("key", "question", "named"),
    [
        ("men", "Which is larger, men or women?", ["women"]),
        ("women", "Is the share higher for men or women?", ["men"]),
        ("New York", "Who has more, New York or Los Angeles?", ["Los Angeles"]),
        ("garden", "Which is larger, men or women?", []),
        ("men", "How many men are there?", []),
    ],
)
def test_the_other_choice_of_the_question(key: str, question: str, named: list[str]) -> None:
    assert named_beside(key, question) == named
    made = CONVERTER.options_of(replace(draft([key]), question=question), "exact_match")
    assert isinstance(made, Converted)
    assert set(named) <= set(made.options)


def test_too_few_that_are_wrong() -> None:
    made = RulesConverter({"d": [Known("?", "a"), Known("?", "b")]}).options_of(
        draft(["c"]), "exact_match"
    )
    assert made == Rejected("only 2 of 3 distractors found that exact_match would not accept")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [(["..."], "says nothing"), (["x" * 400], "400 characters")],
)
def test_answers_that_are_no_options(answers: list[str], reason: str) -> None:
    made = CONVERTER.options_of(draft(answers), "exact_match")
    assert isinstance(made, Rejected) and reason in made.reason


def test_options_of_the_benchmark_itself_are_checked_and_kept() -> None:
    kept = CONVERTER.options_of(draft(["b"], options=("a", "b", "c"), gold=1), "exact_match")
    assert kept == Converted(("a", "b", "c"), 1, {"converter": "given"})
    people = Meta(annotators=("b",) * 5 + ("c",) * 5)
    refused = CONVERTER.options_of(
        draft(["b", "c"], options=("a", "b", "c"), gold=1, meta=people), "vqa_soft"
    )
    assert isinstance(refused, Rejected) and "its option 'c' equals an accepted" in refused.reason


@pytest.mark.parametrize("count", [2, 6, 10])
def test_the_number_of_options_is_a_setting(count: int) -> None:
    made = RulesConverter({"d": known()}, count).options_of(draft(["17"]), "exact_match")
    assert isinstance(made, Converted) and len(made.options) == count


def test_a_number_of_options_that_can_not_be() -> None:
    with pytest.raises(ValueError, match="11 options; choose 2 to 10"):
        RulesConverter({}, 11)
