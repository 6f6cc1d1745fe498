"""The wording of the closed and the open question."""

from __future__ import annotations

import pytest

from ctv_engine.suite import Dataset, Item, closed_text, open_text, question_hash

ITEM = Item("d", "k", "Which colour?", "i.png", "", ("red", "sky blue", "5 %"), 1, ("sky blue",))
BARE = Item("d", "k", "Which colour?", "i.png", "", (), None, ("sky blue",))


def test_closed_question() -> None:
    assert closed_text(ITEM) == (
        "Which colour?\nA. red\nB. sky blue\nC. 5 %\nAnswer with the option's letter."
    )


def test_26_options_reach_the_last_letter() -> None:
    options = tuple(str(number) for number in range(26))
    text = closed_text(Item("d", "k", "q", "i", "", options, 0, ("0",)))
    assert text.splitlines()[1] == "A. 0"
    assert text.splitlines()[26] == "Z. 25"


def test_an_item_without_options_has_no_closed_question() -> None:
    with pytest.raises(ValueError, match="d/k has no options"):
        closed_text(BARE)


@pytest.mark.parametrize(
    ("instruction", "text"),
    [("", "Which colour?"), ("One word.", "Which colour?\nOne word.")],
)
def test_open_question(instruction: str, text: str) -> None:
    assert open_text(ITEM, Dataset("d", "anls", 3, instruction)) == text


def test_both_forms_begin_with_the_same_words() -> None:
    assert closed_text(ITEM).startswith(open_text(ITEM, Dataset("d", "anls", 3)))


def test_the_hash_of_the_wording_changes_with_the_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    before = question_hash()
    assert before == question_hash()
    monkeypatch.setattr("ctv_engine.suite.questions.CLOSED_INSTRUCTION", "Answer with a letter.")
    assert question_hash() != before
