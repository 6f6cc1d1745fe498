"""Open metrics as tables that anyone can extend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ctv_engine.scoring.open_metrics import METRICS, anls, exact_match, score_open
from ctv_engine.suite import OPEN_METRICS


@pytest.mark.parametrize(
    ("text", "answers", "score"),
    [
        ("red", ["red"], 1.0),
        ("Red", ["red"], 1.0),
        ("RED", ["Red"], 1.0),
        ("  red \n", ["red"], 1.0),
        ("sky   blue", ["sky blue"], 1.0),
        ("sky\nblue", ["sky blue"], 1.0),
        ("sky\u00a0blue", ["sky blue"], 1.0),
        ("red.", ["red"], 1.0),
        ("red .", ["red"], 1.0),
        ("red", ["red."], 1.0),
        ("red..", ["red"], 0.0),
        ("3.5", ["3.5"], 1.0),
        ("3.5", ["35"], 0.0),
        ("14", ["14.0"], 0.0),
        ("reddish", ["red"], 0.0),
        ("a red square", ["red"], 0.0),
        ("skyblue", ["sky blue"], 0.0),
        ("blue", ["red", "green", "Blue"], 1.0),
        ("blue", ["red", "green"], 0.0),
        ("", ["red"], 0.0),
        (".", ["red"], 0.0),
        ("ÉTÉ", ["été"], 1.0),
        ("ÜBER", ["über"], 1.0),
        ("五", ["五"], 1.0),
        ("été", ["ete"], 0.0),
    ],
)
def test_exact_match(text: str, answers: list[str], score: float) -> None:
    assert exact_match(text, answers) == score


# In each row NL = edit distance / length of the longer text; the score is 1 − NL if NL < 0.5.
@pytest.mark.parametrize(
    ("text", "answers", "score"),
    [
        ("red", ["red"], 1.0),
        ("  RED ", ["red"], 1.0),
        ("Red", [" reD\n"], 1.0),
        ("rad", ["red"], 1 - 1 / 3),
        ("ref", ["red", "reef"], 1 - 1 / 4),
        ("kitten", ["sitting"], 1 - 3 / 7),
        ("red square", ["a red square"], 1 - 2 / 12),
        ("abcd", ["abxy"], 0.0),  # NL = 2/4: exactly one half does not count
        ("abcde", ["abcxy"], 1 - 2 / 5),
        ("abc", ["axy"], 0.0),  # NL = 2/3
        ("ab", ["abcd"], 0.0),  # NL = 2/4, by length alone
        ("", ["red"], 0.0),
        ("   ", ["red"], 0.0),
        ("red.", ["red"], 1 - 1 / 4),  # a full stop is a character here
        ("red", ["blue", "rod", "red"], 1.0),
        ("redd", ["blue", "rxxd", "red"], 1 - 1 / 4),
        ("ÉTÉ", ["été"], 1.0),
        ("ete", ["été"], 0.0),  # NL = 2/3
        ("五六七", ["五六八"], 1 - 1 / 3),
    ],
)
def test_anls(text: str, answers: list[str], score: float) -> None:
    assert anls(text, answers) == pytest.approx(score, abs=1e-12)


def test_every_metric_of_the_suite_is_there() -> None:
    assert set(METRICS) == set(OPEN_METRICS)


@pytest.mark.parametrize(
    ("metric", "score"), [("exact_match", 0.0), ("anls", 0.75)], ids=OPEN_METRICS
)
def test_the_metric_is_chosen_by_name(metric: str, score: float) -> None:
    assert score_open(metric, "redd", ["red"]) == score  # type: ignore[arg-type]


def test_scoring_text_needs_no_torch(tmp_path: Path) -> None:

    code = (
        "import sys, ctv_engine.scoring.open_metrics\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
