"""Option probabilities, by hand on small vocabularies."""

from __future__ import annotations

import math

import pytest
import torch

from ctv_engine.scoring.closed import NonFiniteLogitsError, score_closed

SINGLE = ((0,), (1,), (2,))


def of_probabilities(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return logits whose soft-max is ``values``."""
    assert math.isclose(sum(values), 1.0)
    return torch.tensor([math.log(value) for value in values], dtype=torch.float64).to(dtype)


def test_probabilities_are_over_the_full_vocabulary() -> None:
    score = score_closed(of_probabilities(0.1, 0.3, 0.2, 0.4), SINGLE, 3, 1)
    wanted = [math.log(p) for p in (0.1, 0.3, 0.2)]
    assert score.option_logprobs == pytest.approx(wanted, abs=1e-6)
    assert score.gold_logprob == pytest.approx(math.log(0.3), abs=1e-6)
    assert score.option_mass == pytest.approx(0.1 + 0.3 + 0.2, abs=1e-6)
    assert score.gold_prob == pytest.approx(0.3 / (0.1 + 0.3 + 0.2), abs=1e-6)
    assert (score.answer_index, score.correct) == (1, True)


@pytest.mark.parametrize(
    ("gold_index", "gold_prob", "correct"),
    [(0, 0.5 / 0.8, True), (1, 0.1 / 0.8, False), (2, 0.2 / 0.8, False)],
)
def test_the_answer_is_the_likeliest_option(
    gold_index: int, gold_prob: float, correct: bool
) -> None:
    score = score_closed(of_probabilities(0.5, 0.1, 0.2, 0.2), SINGLE, 3, gold_index)
    assert score.gold_prob == pytest.approx(gold_prob, abs=1e-6)
    assert (score.answer_index, score.correct) == (0, correct)


def test_variants_of_a_letter_are_added() -> None:
    letters = ((0, 3), (1, 4))
    score = score_closed(of_probabilities(0.1, 0.3, 0.15, 0.25, 0.2), letters, 2, 1)
    assert score.option_logprobs == pytest.approx(
        [math.log(0.1 + 0.25), math.log(0.3 + 0.2)], abs=1e-6
    )
    assert score.option_mass == pytest.approx(0.85, abs=1e-6)
    assert score.correct


def test_letters_beyond_the_options_do_not_count() -> None:
    score = score_closed(of_probabilities(0.1, 0.2, 0.7), SINGLE, 2, 0)
    assert score.answer_index == 1
    assert score.option_mass == pytest.approx(0.3, abs=1e-6)


def test_a_constant_added_to_the_logits_changes_nothing() -> None:
    logits = of_probabilities(0.1, 0.3, 0.2, 0.4)
    near, far = (score_closed(logits + shift, SINGLE, 3, 0) for shift in (0.0, 80.0))
    assert near.option_logprobs == pytest.approx(far.option_logprobs, abs=1e-4)


def test_far_tails_keep_their_ratio() -> None:
    logits = torch.tensor([-200.0, -201.0, -202.0, 0.0])
    score = score_closed(logits, SINGLE, 3, 0)
    total = 1 + math.exp(-1) + math.exp(-2)
    assert score.option_logprobs == pytest.approx([-200.0, -201.0, -202.0], abs=1e-4)
    assert score.gold_prob == pytest.approx(1 / total, abs=1e-6)
    assert score.option_mass == pytest.approx(0.0, abs=1e-30)


def test_certainty_has_a_mass_of_at_most_one() -> None:
    score = score_closed(torch.tensor([90.0, 0.0, 0.0, -50.0]), SINGLE, 3, 0)
    assert score.option_mass == 1.0
    assert score.gold_prob == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type_is_scored_in_float32(dtype: torch.dtype) -> None:
    logits = torch.tensor([1.0, 2.0, 0.5, 3.0, -4.0], dtype=dtype)
    assert score_closed(logits, SINGLE, 3, 1) == score_closed(logits.float(), SINGLE, 3, 1)


def test_float16_does_not_overflow_in_the_sum() -> None:
    logits = torch.zeros(100_000, dtype=torch.float16)
    score = score_closed(logits, SINGLE, 3, 0)
    assert score.gold_logprob == pytest.approx(-math.log(100_000), abs=1e-4)
    assert score.gold_prob == pytest.approx(1 / 3)


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        ([1.0, NAN, 0.0, 0.0], "NaN or infinite"),
        ([1.0, 0.0, 0.0, NAN], "NaN or infinite"),
        ([INF, 0.0, 0.0, 0.0], "NaN or infinite"),
        ([1.0, 0.0, 0.0, INF], "NaN or infinite"),
        ([-INF, 0.0, 0.0, 0.0], "probability of exactly zero"),
        ([-INF, -INF, -INF, -INF], "zero"),
    ],
)
def test_logits_that_are_not_finite_are_refused(logits: list[float], words: str) -> None:
    with pytest.raises(NonFiniteLogitsError, match=words):
        score_closed(torch.tensor(logits), SINGLE, 3, 0)


def test_a_masked_token_that_is_no_letter_is_fine() -> None:
    masked = score_closed(torch.tensor([1.0, 2.0, 3.0, -INF]), SINGLE, 3, 2)
    assert masked == score_closed(torch.tensor([1.0, 2.0, 3.0]), SINGLE, 3, 2)


def test_a_masked_variant_leaves_the_letters_other_one() -> None:
    score = score_closed(torch.tensor([-INF, 0.0, 0.0]), ((0, 1), (2,)), 2, 0)
    assert score.gold_prob == pytest.approx(0.5)
