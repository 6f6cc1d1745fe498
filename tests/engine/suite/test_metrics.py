"""What a metric needs beside the accepted answers, and what it brings if a suite is silent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from ctv_engine.suite import (
    OPEN_METRICS,
    Dataset,
    DraftItem,
    Meta,
    OpenMetric,
    SuiteError,
    metric_defaults,
    metrics,
    read_suite,
    write_suite,
)

RED = tiny.square_png(tiny.COLOURS["red"], 1)
TEN = ("red", "red", "red", "Red.", "crimson", "", "red", "pink", "unanswerable", "red")


def edit_head(directory: Path, old: str, new: str) -> None:
    path = directory / "suite.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def edit_row(directory: Path, **changes: Any) -> None:
    path = directory / "items.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes) + "\n", "utf-8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A suite of one item that a test may change."""
    write_suite(
        tmp_path / "suite",
        name="s",
        kind="paired",
        datasets=[Dataset("colour", "exact_match", 4, "One word.")],
        items=[DraftItem("colour", "1", "Which?", RED, ("red",), ("red", "blue", "pink"), 0)],
    )
    return tmp_path / "suite"


# --- meta is kept -------------------------------------------------------------------------------


def test_meta_is_written_and_read_back(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite",
        name="s",
        kind="gold",
        datasets=[
            Dataset("maths", "mathvista", 64, "", Meta(answer_type="float", precision=1)),
            Dataset("blind", "vqa_soft", 8),
        ],
        items=[
            DraftItem("maths", "1", "How long?", RED, ("0.5",)),
            DraftItem("maths", "2", "How long?", RED, ("0.25",), meta=Meta(precision=2)),
            DraftItem("maths", "3", "Which?", RED, ("2",), meta=Meta(choices=("1", "2"))),
            DraftItem("blind", "1", "Which?", RED, ("red",), meta=Meta(annotators=TEN)),
        ],
    )
    assert [item.meta for item in suite.items] == [
        Meta(answer_type="float", precision=1),
        Meta(answer_type="float", precision=2),
        Meta(answer_type="float", precision=1, choices=("1", "2")),
        Meta(annotators=TEN),
    ]
    assert suite.dataset("maths").meta == Meta(answer_type="float", precision=1)


def test_meta_goes_along_when_options_are_placed(directory: Path) -> None:
    edit_row(directory, meta={"annotators": TEN})
    item = read_suite(directory).items[0]
    assert item.meta == item.rotated(1).meta == Meta(annotators=TEN)


def test_a_suite_without_meta_is_written_without_it(directory: Path) -> None:
    assert "meta" not in (directory / "suite.toml").read_text("utf-8")
    assert "meta" not in (directory / "items.jsonl").read_text("utf-8")


# --- meta is checked ----------------------------------------------------------------------------

FAULTS: list[tuple[OpenMetric, list[str], Any, tuple[str, ...]]] = [
    ("exact_match", ["red"], [1], ("meta must be an object, not [1]",)),
    ("exact_match", ["red"], {"unit": "cm"}, ("meta.unit is unknown", "answer_type, precision")),
    ("exact_match", ["red"], {"answer_type": "number"}, ("is 'number'", "text, integer, float")),
    ("exact_match", ["red"], {"precision": "2"}, ("meta.precision is '2'", "0 to 12")),
    ("exact_match", ["red"], {"precision": True}, ("meta.precision is True",)),
    ("exact_match", ["red"], {"precision": 1.5}, ("meta.precision is 1.5", "whole number")),
    ("exact_match", ["red"], {"precision": -1}, ("meta.precision is -1",)),
    ("exact_match", ["red"], {"precision": 13}, ("meta.precision is 13",)),
    ("exact_match", ["red"], {"choices": ["a"]}, ("meta.choices", "two or more")),
    ("exact_match", ["red"], {"choices": "ab"}, ("meta.choices",)),
    ("exact_match", ["red"], {"choices": ["a", " "]}, ("meta.choices", "non-empty")),
    ("vqa_soft", ["red"], {"annotators": TEN[:9]}, ("10 people", "repeats", "found 9 values")),
    ("vqa_soft", ["red"], {"annotators": "red"}, ("meta.annotators", "found 'red'")),
    ("vqa_soft", ["red"], {"annotators": [1] * 10}, ("meta.annotators", "as strings")),
    ("vqa_soft", ["red"], {"annotators": [" "] * 10}, ("meta.annotators are all empty",)),
    ("vqa_soft", ["red"], {}, ("vqa_soft needs meta.annotators",)),
    ("vqa_majority", ["red"], None, ("vqa_majority needs meta.annotators",)),
    ("mathvista", ["1"], None, ("mathvista needs meta.answer_type (text, integer, float, list)",)),
    ("mathvista", ["0.5"], {"answer_type": "float"}, ("mathvista needs meta.precision",)),
    ("mathvista", ["1.5"], {"answer_type": "integer"}, ("'1.5' is no integer", "plain digits")),
    ("mathvista", ["1_0"], {"answer_type": "integer"}, ("answer '1_0' is no integer",)),
    ("mathvista", ["nan"], {"answer_type": "float", "precision": 1}, ("'nan' is no float",)),
    ("mathvista", ["1, 2"], {"answer_type": "list"}, ("answer '1, 2' is no list", "'[1, 2]'")),
    ("mathvista", ["B"], {"choices": ["1", "2"]}, ("answer 'B' is not one of", "not its letter")),
]


@pytest.mark.parametrize(("metric", "answers", "meta", "words"), FAULTS)
def test_a_fault_of_meta_is_named_with_its_place(
    directory: Path, metric: OpenMetric, answers: list[str], meta: Any, words: tuple[str, ...]
) -> None:
    edit_head(directory, '"exact_match"', f'"{metric}"')
    edit_row(directory, answers=answers, meta=meta)
    with pytest.raises(SuiteError) as caught:
        read_suite(directory)
    for word in ("items.jsonl line 1", *words):
        assert word in caught.value.problems[0]


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ("3", "suite.toml: colour: meta must be an object, not 3"),
        ("{ unit = 'cm' }", "suite.toml: colour: meta.unit is unknown"),
        (f"{{ annotators = {json.dumps(TEN)} }}", "colour: meta.annotators belongs to the items"),
    ],
)
def test_a_fault_of_a_datasets_meta_is_named(directory: Path, meta: str, words: str) -> None:
    edit_head(directory, '"One word."', f'"One word."\nmeta = {meta}')
    with pytest.raises(SuiteError, match=words):
        read_suite(directory)


def test_all_metrics_are_named_where_one_is_unknown(directory: Path) -> None:
    edit_head(directory, '"exact_match"', '"bleu"')
    with pytest.raises(SuiteError, match=f"use {', '.join(OPEN_METRICS)}"):
        read_suite(directory)


# --- what a suite leaves out --------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["exact_match", "anls", "anls_harness", "relaxed"])
def test_what_a_suite_leaves_out_is_the_metrics_own(directory: Path, metric: OpenMetric) -> None:
    edit_head(directory, '"exact_match"', f'"{metric}"')
    edit_head(directory, "max_new_tokens = 4\n", "")
    edit_head(directory, 'open_instruction = "One word."\n', "")
    read = read_suite(directory).dataset("colour")
    defaults = metric_defaults(metric)
    assert read.max_new_tokens == defaults.max_new_tokens
    assert read.open_instruction == defaults.open_instruction


def test_an_empty_instruction_is_not_left_out(directory: Path) -> None:
    edit_head(directory, '"One word."', '""')
    assert read_suite(directory).dataset("colour").open_instruction == ""


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ('open_instruction = "One word."\n', {"open_instruction": "In a word."}),
        ("max_new_tokens = 4\n", {"max_new_tokens": 99}),
    ],
)
def test_the_digest_covers_the_defaults_that_were_asked(
    directory: Path, monkeypatch: pytest.MonkeyPatch, line: str, changed: dict[str, Any]
) -> None:
    whole = (directory / "suite.toml").read_text("utf-8")
    stated = read_suite(directory).digest
    edit_head(directory, line, "")
    silent = read_suite(directory).digest
    other = replace(metric_defaults("exact_match"), **changed)
    monkeypatch.setitem(metrics._DEFAULTS, "exact_match", other)
    assert read_suite(directory).digest != silent
    (directory / "suite.toml").write_text(whole, "utf-8")
    assert read_suite(directory).digest == stated  # a suite that says all hangs on no default
