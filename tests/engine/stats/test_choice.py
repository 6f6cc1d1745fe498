"""Ranking of checkpoints: what is best, what may be, and how often that is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ctv_engine.stats.choice import may_be_best, rank_checkpoints
from ctv_engine.stats.comparison import paired_bootstrap
from ctv_engine.stats.trajectory import smoothed


def answers(levels: list[float], items: int, seed: int) -> np.ndarray:
    """Right or wrong answers of checkpoints of these accuracies; hard items are hard for all."""
    rng = np.random.default_rng(seed)
    ease = rng.uniform(-0.3, 0.3, items)
    return (rng.random((len(levels), items)) < np.asarray(levels)[:, None] + ease).astype(float)


def test_the_order_is_that_of_the_scores() -> None:
    scores = answers([0.3, 0.6, 0.5, 0.4], 2000, 1)
    found = rank_checkpoints([100, 200, 300, 400], scores)
    assert [(one.step, one.rank) for one in found] == [(200, 1), (300, 2), (400, 3), (100, 4)]
    for one in found:
        own = scores[one.step // 100 - 1]
        assert one.score == pytest.approx(own.mean(), abs=1e-12)
        half = 1.96 * stats.sem(own)
        assert (one.low, one.high) == pytest.approx((one.score - half, one.score + half), abs=0.003)
    assert [one.step for one in found if one.may_be_best] == [200]


def test_what_is_within_noise_of_the_best_may_be_best() -> None:
    found = rank_checkpoints([1, 2, 3], answers([0.6, 0.2, 0.6], 300, 2))
    assert {one.step for one in found if one.may_be_best} == {1, 3}


def test_equal_scores_share_a_rank() -> None:
    same = [[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    found = rank_checkpoints([1, 2, 3], same)
    assert [(one.step, one.rank) for one in found] == [(1, 1), (2, 1), (3, 3)]
    assert found[0].may_be_best and found[1].may_be_best


def test_datasets_weigh_the_same() -> None:
    scores = [[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    found = rank_checkpoints([1, 2], scores, datasets=["a", "a", "a", "b"])
    assert {one.step: one.score for one in found} == pytest.approx({1: 0.5, 2: 2 / 3})


def test_smoothed_scores_are_those_of_the_trajectory_and_have_less_noise() -> None:
    scores = answers([0.4, 0.45, 0.5, 0.5, 0.55, 0.5], 400, 3)
    plain = {one.step: one for one in rank_checkpoints(range(6), scores)}
    found = {one.step: one for one in rank_checkpoints(range(6), scores, window=3)}
    wanted = smoothed(scores.mean(axis=1).tolist(), 3)
    assert [found[k].score for k in range(6)] == pytest.approx(wanted, abs=1e-12)
    assert found[3].high - found[3].low < plain[3].high - plain[3].low


def test_of_two_checkpoints_the_set_is_a_one_sided_test_of_their_difference() -> None:
    for seed in range(20):
        scores = answers([0.55, 0.5], 200, seed)
        by_step = {one.step: one for one in rank_checkpoints([1, 2], scores)}
        change = scores[0] - scores[1]
        z = change.mean() / (change.std() / math.sqrt(200))
        if abs(abs(z) - stats.norm.ppf(0.95)) > 0.15:
            assert by_step[2].may_be_best == (z <= stats.norm.ppf(0.95))
            assert by_step[1].may_be_best == (-z <= stats.norm.ppf(0.95))


def test_images_count_rather_than_items() -> None:
    once = answers([0.62, 0.55], 150, 4)
    copied = np.repeat(once, 10, axis=1)
    images = [k // 10 for k in range(1500)]
    assert len([o for o in rank_checkpoints([1, 2], copied) if o.may_be_best]) == 1
    by_image = rank_checkpoints([1, 2], copied, images)
    wanted = rank_checkpoints([1, 2], once)
    for one, other in zip(by_image, wanted, strict=True):
        assert (one.score, one.may_be_best) == (pytest.approx(other.score), other.may_be_best)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.01)
    told = paired_bootstrap(copied[1].tolist(), copied[0].tolist(), images)
    single = paired_bootstrap(once[1].tolist(), once[0].tolist())
    assert (told.low, told.high) == pytest.approx((single.low, single.high), abs=0.02)


def test_the_true_best_is_in_the_set_in_at_least_95_of_100_runs() -> None:
    """Six checkpoints, two of them the best alike: the hardest case is that of near ties."""
    levels = np.array([0.0, 0.2, 0.5, 0.9, 1.0, 1.0])
    held = sizes = 0
    rng = np.random.default_rng(5)
    for _ in range(400):
        means = levels + rng.normal(0, 0.3, 6)
        kept = may_be_best(means, means + rng.normal(0, 0.3, (500, 6)))
        held += bool(kept[4])
        sizes += int(kept.sum())
    assert held >= 0.93 * 400
    assert sizes < 4.5 * 400


def test_one_checkpoint_and_none() -> None:
    (only,) = rank_checkpoints([7], [[1.0, 0.0]])
    assert (only.step, only.rank, only.may_be_best) == (7, 1, True)
    assert rank_checkpoints([], []) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rank_checkpoints([2, 1], [[1.0], [0.0]]), "not in ascending order"),
        (lambda: rank_checkpoints([1, 2], [[1.0], [0.0, 1.0]]), "did not answer the same items"),
        (lambda: rank_checkpoints([1, 2], [[1.0]]), "2 steps, but scores of 1"),
        (lambda: rank_checkpoints([1], [[]]), "no items"),
        (lambda: rank_checkpoints([1], [[math.nan]]), "not finite"),
        (lambda: rank_checkpoints([1], [[1.0]], window=2), "a window of 2"),
        (lambda: rank_checkpoints([1], [[1.0]], ["a", "b"]), "2 clusters for 1 items"),
    ],
)
def test_bad_input_is_said(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
