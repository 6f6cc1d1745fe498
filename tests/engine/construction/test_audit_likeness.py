"""What makes two options the same, and what kind of answer an option is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from audit_suites import DATASETS, Maker, answered, with_options

from ctv_engine.construction.audit.likeness import kind_of, normalised, value_of
from ctv_engine.construction.audit.pairs import accepted


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The  Red-car!", "red car"),
        ("CAFE\u0301", "caf\u00e9"),
        ("\uff21\uff22", "ab"),
        ("STRASSE", "stra\u00dfe"),
        ("it's", "its"),
        ("an  \u201capple\u201d", "Apple."),
        ("(2)", "2"),
        ("\u22125", "-5"),
        ("\u0663", "3"),
        ("\u00bd", "1/2"),
        ("1\u00bd", "1 1/2"),
        ("\\frac{1}{2}", "$1/2$"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_same_texts(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C#", "C"),
        ("C++", "C"),
        ("50%", "50"),
        ("-5", "5"),
        ("1.5", "15"),
        ("1,5", "15"),
        ("10:30", "1030"),
        ("10\u00b2", "102"),
        ("2x-1", "2x+1"),
        ("a > b", "a < b"),
        ("Vitamin A", "Vitamin"),
        ("A B", "B"),
        ("A-B", "B"),
        ("?", "!"),
        ("the", ""),
        ("$5", "5"),
    ],
)
def test_different_texts(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("1,000", "1000", ""),
        ("1e3", "1000", ""),
        ("50%", "1/2", ""),
        ("3/4 %", "3/400", ""),
        ("-1 1/2", "-3/2", ""),
        ("\\dfrac{15}{2}", "15/2", ""),
        ("twelve", "12", ""),
        ("$1.50", "3/2", "dollar"),
        ("5 million", "5000000", ""),
        ("250 ml", "1/4", "volume"),
        ("2 hours", "7200", "time"),
        ("7 apples", "7", "apple"),
        (".5", "1/2", ""),
    ],
)
def test_values(text: str, amount: str, unit: str) -> None:
    value = value_of(text)
    assert value is not None
    assert (value.amount, value.unit) == (Fraction(amount), unit)


@pytest.mark.parametrize("text", ["", "1/0", "x", "10-20", "1e999999", "9" * 70, "12 May", "5 6"])
def test_no_values(text: str) -> None:
    assert value_of(text) is None


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (
            "number",
            ["7", "7 kg", "7kg", "$7k", "12.5 %", "three", "1/2", "5\u221a2", "$6\\sqrt{2}$"],
        ),
        ("date", ["Jan 5, 2010", "5 March", "2010-01-05", "1/2/2010", "10:30 am", "6 p.m."]),
        ("yes or no", ["Yes", "no.", "TRUE"]),
        ("text", ["5th", "7up", "red", "10 Downing Street", "maybe", "()", "x = 2"]),
    ],
)
def test_kinds(kind: str, texts: list[str]) -> None:
    assert [kind_of(text) for text in texts] == [kind] * len(texts)


@pytest.mark.parametrize(
    ("text", "answer", "said"),
    [
        ("a cat", "The Cat", True),
        ("3", "three", True),
        ("tea", "coffee<OR>tea", True),
        ("hot water<AND>salt", "Hot water <and> salt", True),
        ("hot water salt", "hot water<AND>salt", True),
        ("tea", "coffee<AND>tea", False),
        ("a cat on a mat", "cat", False),
        ("cathedral", "cat", False),
    ],
)
def test_where_a_model_would_judge_equal_texts_and_values_are_accepted(
    text: str, answer: str, said: bool
) -> None:
    item = answered(with_options(Maker(0).item("Scenes", 0), text, ["x", "y", "z"]), answer)
    assert accepted(text, item, DATASETS[5]) is said
