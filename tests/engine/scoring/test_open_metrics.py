"""Open metrics as tables that anyone can extend: one file in ``cases/`` for each metric.

A case has a ``text``, the accepted ``answers``, the item's ``meta`` where the metric needs it, the
``score`` (a fraction may be written "2/3") and, where it is not plain, ``why``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.models.answers import OpenAnswer, Unanswered
from ctv_engine.runtime.answering import open_result
from ctv_engine.scoring.mathvista import extract
from ctv_engine.scoring.open_metrics import METRICS, metric_defaults, score_open
from ctv_engine.suite import OPEN_METRICS, Dataset, Item, Meta, OpenMetric
from ctv_engine.suite.metrics import check_meta, read_meta

CASES = Path(__file__).parent / "cases"


def cases() -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}-{number}")
        for path in sorted(CASES.glob("*.json"))
        for number, case in enumerate(json.loads(path.read_text("utf-8"))["cases"])
    ]


def meta_of(case: dict[str, Any]) -> Meta:
    faults: list[str] = []
    meta = read_meta(case.get("meta"), faults)
    assert not faults
    return meta


@pytest.mark.parametrize(("metric", "case"), cases())
def test_case(metric: OpenMetric, case: dict[str, Any]) -> None:
    score = score_open(metric, case["text"], case.get("answers", []), meta_of(case))
    assert score == pytest.approx(float(Fraction(case["score"])), abs=1e-12), case.get("why")


BY_RULE = [metric for metric in OPEN_METRICS if metric != "judge"]


@pytest.mark.parametrize("metric", BY_RULE)
def test_the_cases_have_right_and_wrong_answers_and_an_empty_one(metric: OpenMetric) -> None:
    table = json.loads((CASES / f"{metric}.json").read_text("utf-8"))["cases"]
    scores = {float(Fraction(case["score"])) for case in table}
    assert {0.0, 1.0} <= scores
    assert any(case["text"] == "" and case["score"] == 0 for case in table)


def test_every_metric_of_the_suite_is_there_and_has_its_table() -> None:
    assert set(METRICS) == set(BY_RULE)
    assert {path.stem for path in CASES.glob("*.json")} == set(BY_RULE)


def test_what_a_judge_scores_has_no_score_here() -> None:
    assert score_open("judge", "", ["red"]) is None
    assert metric_defaults("judge").max_new_tokens == 1024


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("exact_match", 0.0),
        ("anls", 0.75),
        ("anls_harness", 0.75),
        ("relaxed", 0.0),
        ("relaxed_harness", 0.0),
    ],
)
def test_the_metric_is_chosen_by_name(metric: OpenMetric, score: float) -> None:
    assert score_open(metric, "redd", ["red"]) == score


@pytest.mark.parametrize("metric", BY_RULE)
def test_every_metric_has_a_wording_and_a_cap(metric: OpenMetric) -> None:
    defaults = metric_defaults(metric)
    assert defaults.open_instruction.strip() and defaults.max_new_tokens >= 16


@pytest.mark.parametrize(
    ("metric", "meta", "words"),
    [
        ("vqa_soft", Meta(), "meta.annotators"),
        ("vqa_majority", Meta(), "meta.annotators"),
        ("mathvista", Meta(), "meta.answer_type or meta.choices"),
        ("mathvista", Meta(answer_type="float"), "meta.precision"),
    ],
)
def test_what_a_metric_lacks_is_an_error_not_a_zero(
    metric: OpenMetric, meta: Meta, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        score_open(metric, "14", ["14"], meta)
    assert words.split(" or ")[0] in check_meta(metric, ["14"], meta)[0]


def test_an_answer_that_no_rule_finds_is_none() -> None:
    integer = Meta(answer_type="integer")
    assert extract("The bar of 2010 is 14.", integer) is None
    assert extract("The answer is 14.", integer) == 14
    assert extract("the second", Meta(choices=("first", "second"))) == "second"
    assert extract("neither", Meta(choices=("first", "second"))) is None


def test_the_engine_scores_an_answer_with_the_items_own_meta() -> None:
    item = Item("d", "1", "How long?", "i", "", (), None, ("0.33",), Meta("float", 2))
    dataset = Dataset("d", "mathvista", 64)
    scores = [
        open_result(item, dataset, OpenAnswer(text, 1, 1, "stop", 0.1, 0.1)).score
        for text in ("0.333", "0.3", "")
    ]
    assert scores == [1.0, 0.0, 0.0]


def test_an_item_without_an_answer_has_no_score() -> None:
    item = Item("d", "1", "Who?", "i", "", (), None, ("me",), Meta(annotators=("me",) * 10))
    result = open_result(item, Dataset("d", "vqa_soft", 8), Unanswered("image too large"))
    assert (result.score, result.reason) == (None, "image too large")


HOSTILE = [
    piece * (20_000 // len(piece))
    for piece in (
        "1,11", "1 111", "$", "answer is ", "(", "\\boxed{", "1/", "9", "=1", "1 ", "[1,",
        "\\frac{", "\n", "\u200b", "a. ", "-", "\\text{", "{}",
    )
]  # fmt: skip
METAS = {
    "choices": Meta(choices=("1", "11", "a")),
    "integer": Meta(answer_type="integer"),
    "float": Meta(answer_type="float", precision=2),
    "list": Meta(answer_type="list"),
    "annotators": Meta(annotators=("1",) * 10),
}


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text[:8]) for text in HOSTILE])
def test_a_hostile_answer_costs_no_time(text: str) -> None:
    started = time.process_time()
    for meta in METAS.values():
        if meta.annotators:
            score_open("vqa_soft", text, [], meta)
        else:
            score_open("mathvista", text, ["1"], meta)
    score_open("relaxed", text, ["1"])
    score_open("relaxed_harness", text, ["1"])
    assert time.process_time() - started < 2.0


def test_scoring_text_needs_no_torch(tmp_path: Path) -> None:

    code = (
        "import sys, ctv_engine.scoring.open_metrics\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
