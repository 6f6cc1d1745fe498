"""Which texts may stand beside a key: a table of candidates and what is wrong with them."""

from __future__ import annotations

import pytest

from ctv_engine.construction.candidates import (
    Truth,
    fault,
    key_text,
    normalised,
    one_line,
    same_number,
    shaped,
    shortened,
    usable,
)
from ctv_engine.suite import Meta


@pytest.mark.parametrize(
    ("metric", "answers", "text", "wrong"),
    [
        ("exact_match", ("blue",), "green", None),
        ("exact_match", ("blue",), "  ", "empty"),
        ("exact_match", ("blue",), "\u200b\u202e", "empty"),
        ("exact_match", ("blue",), "...", "empty"),
        ("exact_match", ("blue",), "Blue.", "equals an accepted"),
        ("exact_match", ("blue",), "the “BLUE”", "equals an accepted"),
        ("exact_match", ("blue",), "bl\u200bue", "equals an accepted"),
        ("exact_match", ("blue", "navy"), "navy", "equals an accepted"),
        ("exact_match", ("5",), "5.0", "same number"),
        ("exact_match", ("1,200",), "1200", "same number"),
        ("exact_match", ("3 million",), "3000000", "same number"),
        ("exact_match", ("12%",), "12", "same number"),
        ("exact_match", ("12%",), "0.12", "same number"),
        ("exact_match", (".5",), "5", None),
        ("exact_match", ("12 cm",), "12 kg", None),
        ("exact_match", ("-4",), "4", None),
        ("exact_match", ("3",), "a number that is larger", "far longer"),
        ("exact_match", ("blue",), "None of the above", "speaks of the other"),
        ("exact_match", ("blue",), "neither of these", "speaks of the other"),
        ("exact_match", ("blue",), "all of the options are right", "speaks of the other"),
        ("exact_match", ("blue",), "both", None),
        ("relaxed", ("100",), "104", "accepted by relaxed"),
        ("relaxed", ("100",), "106", None),
        ("relaxed", ("2008",), "2010", None),  # a year must be met
        ("relaxed_harness", ("2008",), "2010", "accepted by relaxed_harness"),
        ("anls", ("John Smith",), "Jon Smith", "accepted by anls"),
        ("anls", ("John Smith", "Brown"), "Browne", "accepted by anls"),
        ("anls", ("John Smith",), "Ann Miller", None),
        ("vqa_soft", ("cat",), "a kitty", "equals an accepted"),
        ("mathvista", ("7",), "7.0", "same number"),
        ("mathvista", ("7",), "seven", "accepted by mathvista"),
        ("judge", ("apple <AND> pear",), "pear", "equals an accepted"),
        ("judge", ("apple <OR> pear",), "Apple.", "equals an accepted"),
        ("judge", ("apple <OR> pear",), "plum", None),
    ],
)
def test_a_candidate_is_wrong_of_itself(
    metric: str, answers: tuple[str, ...], text: str, wrong: str | None
) -> None:
    meta = {
        "vqa_soft": Meta(annotators=("cat",) * 9 + ("kitty",)),
        "mathvista": Meta(answer_type="integer"),
    }.get(metric, Meta())
    found = fault(text, Truth(key_text(answers), answers, metric, meta))
    assert (found is None) if wrong is None else (found is not None and wrong in found), found


def test_of_candidates_that_say_the_same_the_first_stays() -> None:
    truth = Truth("blue", ("blue",), "exact_match")
    texts = ["red", "Red.", "blue", "10", "10.0", "the red", "green", "10 %"]
    assert [texts[place] for place in usable(texts, truth)] == ["red", "10", "green"]
    assert [texts[place] for place in usable(texts, truth, ["RED"])] == ["10", "green"]


def test_what_the_metric_lacks_is_said() -> None:
    with pytest.raises(ValueError, match=r"meta\.annotators"):
        fault("dog", Truth("cat", ("cat",), "vqa_soft"))


@pytest.mark.parametrize(
    ("answers", "key"),
    [
        (("  blue\n sky ",), "blue sky"),
        (("a <AND> b <AND> c",), "a, b and c"),
        (("a<OR>b",), "a"),
        (("a <and> b <OR> c",), "a and b"),
        (("<AND>",), ""),
        ((), ""),
    ],
)
def test_the_key_is_the_first_accepted_answer(answers: tuple[str, ...], key: str) -> None:
    assert key_text(answers) == key


def test_texts_are_made_printable() -> None:
    assert one_line("a\x1b[31m\r\nb\u2028c\ud800 \u202ed\x00") == "a[31m b c d"
    assert shaped("paris.\n", "Rome") == "Paris"
    assert shaped("paris.", "It is Rome.") == "Paris."
    assert shaped("Paris", "rome") == "Paris"
    assert shortened("x" * 300, 10) == "x" * 9 + "…"
    assert len(shaped("y" * 100_000, "key")) < 3_000
    assert normalised("A") == "a" and normalised("an apple") == "apple"


@pytest.mark.parametrize("texts", [("5", "five"), ("$5", "€5"), ("", "0"), ("1e9999", "1e9999")])
def test_what_is_not_the_same_number(texts: tuple[str, str]) -> None:
    assert not same_number(*texts)
