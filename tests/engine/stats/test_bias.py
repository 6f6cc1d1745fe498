"""Recall per letter against scikit-learn, and debiasing of models whose bias is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import recall_score

from ctv_engine.stats.bias import letter_bias
from ctv_engine.stats.debias import (
    batch_calibrated,
    cyclic,
    gained_by_priors,
    letter_prior,
    normalised,
    resampled_priors,
    without_prior,
)
from ctv_engine.suite.items import Item

BIAS = np.log([0.55, 0.25, 0.15, 0.05])


def content(n: int, seed: int) -> np.ndarray:
    """What a model without a preference would say: log-probabilities of four options."""
    return normalised(np.random.default_rng(seed).normal(0, 1.5, (n, 4)))


def rotations_of(options: np.ndarray, bias: np.ndarray) -> list[list[float]]:
    """A model that adds its letters' bias to what it thinks of the options behind them."""
    n = len(options)
    return [
        normalised([options[(letter + k) % n] + bias[letter] for letter in range(n)]).tolist()
        for k in range(n)
    ]


# --- recall -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_recalls_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chosen, keys = rng.integers(0, 4, 200).tolist(), rng.integers(0, 4, 200).tolist()
    found = letter_bias(chosen, keys)
    wanted = recall_score(keys, chosen, average=None)
    assert [one.recall for one in found.letters] == pytest.approx(wanted, abs=1e-12)
    assert found.deviation == pytest.approx(np.std(wanted), abs=1e-12)
    assert [one.letter for one in found.letters] == ["A", "B", "C", "D"]
    assert sum(one.items for one in found.letters) == 200
    assert [one.chosen for one in found.letters] == [chosen.count(k) for k in range(4)]


def test_always_a_by_hand() -> None:
    found = letter_bias([0] * 8, [0, 1, 2, 3] * 2)
    assert [one.recall for one in found.letters] == [1.0, 0.0, 0.0, 0.0]
    # Mean 1/4: sqrt((9/16 + 3/16) / 4).
    assert found.deviation == pytest.approx(math.sqrt(12 / 64))


def test_a_letter_without_a_key_has_no_recall_and_does_not_count() -> None:
    found = letter_bias([0, 1, 3, 3], [0, 1, 1, 1])
    assert [one.recall for one in found.letters] == [1.0, pytest.approx(1 / 3), None, None]
    assert found.deviation == pytest.approx(1 / 3)
    assert letter_bias([1, 1], [1, 1]).deviation is None
    assert letter_bias([], []).letters == ()


# --- debiasing ----------------------------------------------------------------------------------


def test_a_prior_that_was_put_in_is_found_and_taken_out() -> None:
    options = content(40, 1)
    asked = [rotations_of(one, BIAS) for one in options]
    prior = letter_prior(asked)
    assert prior == pytest.approx(BIAS, abs=1e-12)
    for one, rotations in zip(options, asked, strict=True):
        assert without_prior(rotations[0], prior) == pytest.approx(one, abs=1e-12)


def test_the_cyclic_mean_does_not_depend_on_where_options_stand() -> None:
    options = content(1, 2)[0]
    straight = cyclic(rotations_of(options, BIAS))
    for k in range(4):
        shifted = cyclic(rotations_of(np.roll(options, -k), BIAS))
        assert shifted == pytest.approx(np.roll(straight, -k), abs=1e-12)
    assert np.exp(straight).sum() == pytest.approx(1.0)
    assert cyclic(rotations_of(options, np.zeros(4))) == pytest.approx(options, abs=1e-12)


def test_the_cyclic_mean_by_hand() -> None:
    # Option 0 stood behind A with 0.9, then behind B with 0.6; option 1 behind B, then A.
    rotations = np.log([[0.9, 0.1], [0.4, 0.6]]).tolist()
    assert np.exp(cyclic(rotations)) == pytest.approx([0.75, 0.25])
    # Mean log-probabilities of A: log sqrt(0.9 · 0.4), of B: log sqrt(0.1 · 0.6).
    a, b = math.sqrt(0.36), math.sqrt(0.06)
    assert np.exp(letter_prior([rotations])) == pytest.approx([a / (a + b), b / (a + b)])


def test_rotations_are_those_that_items_are_asked_in() -> None:
    item = Item("d", "k", "?", "i.png", "x", ("w", "x", "y", "z"), 0, ("w",))
    likes = {"w": 0.4, "x": 0.3, "y": 0.2, "z": 0.1}
    rotations = [[math.log(likes[o]) for o in item.rotated(k).options] for k in range(4)]
    assert np.exp(cyclic(rotations)) == pytest.approx([likes[o] for o in item.options])


def test_batch_calibration_makes_the_letters_more_even_and_answers_better() -> None:
    options = content(4000, 3)
    keys = options.argmax(axis=1)
    asked = [normalised(one + BIAS).tolist() for one in options]
    found = batch_calibrated(asked)
    before = letter_bias(np.argmax(asked, axis=1).tolist(), keys.tolist())
    after = letter_bias([int(one.argmax()) for one in found], keys.tolist())
    assert before.deviation is not None and after.deviation is not None
    assert after.deviation < before.deviation / 2
    right = np.mean(np.argmax(asked, axis=1) == keys)
    assert np.mean([one.argmax() for one in found] == keys) > right + 0.1


def test_batch_calibration_by_hand_and_per_number_of_options() -> None:
    three = [1 / 3, 1 / 3, 1 / 3]
    items = [np.log([0.9, 0.1]), np.log([0.7, 0.3]), np.log(three)]
    first, second, third = batch_calibrated([one.tolist() for one in items])
    # Means 0.8 and 0.2: 0.9/0.8 against 0.1/0.2, and 0.7/0.8 against 0.3/0.2.
    assert np.exp(first) == pytest.approx([1.125 / 1.625, 0.5 / 1.625])
    assert np.exp(second) == pytest.approx([0.875 / 2.375, 1.5 / 2.375])
    assert np.exp(third) == pytest.approx(three)


def test_a_prior_drawn_anew_is_as_unsure_as_its_mean() -> None:
    rng = np.random.default_rng(6)
    known = [rotations_of(options, BIAS + rng.normal(0, 0.7, 4)) for options in content(30, 5)]
    own = np.array([np.exp(letter_prior([rotations])) for rotations in known])
    drawn = np.exp(resampled_priors(known, resamples=20_000))
    assert drawn.mean(axis=0) == pytest.approx(own.mean(axis=0), rel=0.01)
    assert drawn.std(axis=0) == pytest.approx(own.std(axis=0) / math.sqrt(30), rel=0.03)
    pairs = [k // 2 for k in range(30)]
    by_pair = own.reshape(15, 2, 4).mean(axis=1)
    drawn = np.exp(resampled_priors(known, pairs, resamples=20_000))
    assert drawn.std(axis=0) == pytest.approx(by_pair.std(axis=0) / math.sqrt(15), rel=0.03)
    sure = [rotations_of(options, BIAS) for options in content(30, 5)]
    assert np.ptp(resampled_priors(sure), axis=0) == pytest.approx([0.0] * 4, abs=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
def test_answers_under_other_priors_are_counted_one_by_one(spread: float) -> None:
    rng = np.random.default_rng(7)
    items, keys, groups = content(120, 8), rng.integers(0, 4, 120), np.arange(120) % 3
    prior = normalised(BIAS)
    priors = normalised(prior + rng.normal(0, spread, (15, 4)))
    found = gained_by_priors(items, keys, groups, prior, priors)

    def right(item: int, one: np.ndarray) -> bool:
        return bool(without_prior(items[item].tolist(), one).argmax() == keys[item])

    wanted = [
        [sum(right(n, one) - right(n, prior) for n in range(group, 120, 3)) for group in range(3)]
        for one in priors
    ]
    assert found.tolist() == wanted
    assert (spread > 0) == bool(found.any())


def test_stored_log_probabilities_of_a_full_vocabulary_are_normalised_first() -> None:
    rotations = rotations_of(content(1, 4)[0], BIAS)
    lower = [[value - 3.0 - k for value in row] for k, row in enumerate(rotations)]
    assert cyclic(lower) == pytest.approx(cyclic(rotations), abs=1e-12)
    assert letter_prior([lower]) == pytest.approx(letter_prior([rotations]), abs=1e-12)
    assert batch_calibrated(lower)[1] == pytest.approx(batch_calibrated(rotations)[1], abs=1e-12)
    assert normalised([-2000.0, -2001.0])[0] == pytest.approx(-math.log1p(math.exp(-1)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: letter_bias([0], [0, 1]), "1 answers to 2 items"),
        (lambda: letter_bias([-1], [0]), "not one of the letters"),
        (lambda: cyclic([[0.0, 0.0]]), "1 rotations of 2 options"),
        (lambda: cyclic([]), "0 rotations of no options"),
        (lambda: cyclic([[0.0, -math.inf], [0.0, 0.0]]), "not finite"),
        (lambda: letter_prior([]), "no items to estimate"),
        (
            lambda: letter_prior([[[0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 3]),
            "different numbers of options",
        ),
        (lambda: without_prior([0.0, 0.0, 0.0], [0.0, 0.0]), "a prior of 2 letters for 3 options"),
        (lambda: batch_calibrated([[]]), "no options"),
        (lambda: batch_calibrated([[0.0, math.nan]]), "not finite"),
    ],
)
def test_bad_input_is_said(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
