"""Two checkpoints on the same items: SciPy's bootstrap and binomial test, published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ctv_engine.stats.bootstrap import resampled_means
from ctv_engine.stats.comparison import McNemar, mcnemar, paired_bootstrap
from ctv_engine.stats.sampling import standard_error


def answers(n: int, seed: int, better: float = 0.0) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    skill = rng.random(n)
    before = (rng.random(n) < skill).astype(float)
    after = (rng.random(n) < skill + better).astype(float)
    return before.tolist(), after.tolist()


@pytest.mark.parametrize("better", [0.0, 0.1])
def test_the_interval_is_scipys(better: float) -> None:
    before, after = answers(300, 1, better)
    found = paired_bootstrap(before, after, resamples=20_000)
    change = np.subtract(after, before)
    theirs = stats.bootstrap(
        (change,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.value == pytest.approx(change.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert found.n == 300


def test_images_are_drawn_whole() -> None:
    rng = np.random.default_rng(3)
    change = np.repeat(rng.normal(0, 1, 80), 5).tolist()
    images = [k // 5 for k in range(400)]
    drawn = resampled_means(np.asarray(change)[:, None], images, resamples=20_000)[:, 0]
    # The bootstrap divides by G where the standard error divides by G − 1.
    wanted = standard_error(change, images) * math.sqrt(79 / 80)  # type: ignore[operator]
    assert np.std(drawn) == pytest.approx(wanted, rel=0.03)
    alone = paired_bootstrap([0.0] * 400, change)
    whole = paired_bootstrap([0.0] * 400, change, images)
    assert whole.high - whole.low > 1.8 * (alone.high - alone.low)


def test_datasets_weigh_the_same_whatever_their_size() -> None:
    datasets = ["small"] * 10 + ["large"] * 90
    found = paired_bootstrap([0.0] * 100, [1.0] * 10 + [0.0] * 90, datasets=datasets)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_p_is_small_only_where_there_is_a_difference() -> None:
    assert paired_bootstrap(*answers(2000, 4, 0.1)).p < 0.01
    assert paired_bootstrap(*answers(2000, 5)).p > 0.05
    same = paired_bootstrap([0.5] * 20, [0.5] * 20)
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_same_answers_give_the_same_interval() -> None:
    before, after = answers(50, 6)
    assert paired_bootstrap(before, after) == paired_bootstrap(list(before), list(after))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [5, 60, 3000])
def test_mcnemar_is_scipys_binomial_test_of_the_items_that_differ(n: int, seed: int) -> None:
    before, after = ([int(v) for v in part] for part in answers(n, seed, 0.05))
    found = mcnemar(before, after)
    differ = found.only_before + found.only_after
    if differ:
        theirs = stats.binomtest(found.only_before, differ).pvalue
        assert found.p == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    # Six items differ, one of them to one side: 2 · (1 + 6) / 64.
    before, after = [1, 0, 0, 0, 0, 0, 1, 0], [0, 1, 1, 1, 1, 1, 1, 0]
    assert mcnemar(before, after) == McNemar(1, 5, pytest.approx(14 / 64))  # type: ignore[arg-type]
    assert mcnemar([1, 0], [1, 0]) == McNemar(0, 0, 1.0)
    assert mcnemar([1, 0], [0, 1]).p == 1.0


def test_mcnemar_on_a_published_table() -> None:
    # Agresti, Categorical Data Analysis, table 10.1 (approval of the Prime Minister): of 1,600
    # people 150 changed one way and 86 the other; z² = 17.36, so p is about 3·10⁻⁵.
    before = [1] * 794 + [1] * 150 + [0] * 86 + [0] * 570
    after = [1] * 794 + [0] * 150 + [1] * 86 + [0] * 570
    found = mcnemar(before, after)
    assert (found.only_before, found.only_after) == (150, 86)
    assert found.p == pytest.approx(stats.chi2.sf(17.36, 1), rel=0.35)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: paired_bootstrap([1.0], [1.0, 0.0]), "must answer the same ones"),
        (lambda: paired_bootstrap([], []), "no items"),
        (lambda: paired_bootstrap([1.0, math.nan], [0.0, 1.0]), "not finite"),
        (lambda: paired_bootstrap([1.0, 0.0], [0.0, 1.0], ["a"]), "1 clusters for 2 items"),
        (lambda: paired_bootstrap([1.0], [0.0], None, ["a", "b"]), "2 datasets for 1 items"),
        (lambda: mcnemar([1], [1, 0]), "must answer the same ones"),
        (lambda: mcnemar([0.5], [1]), "right .1. or wrong .0."),  # type: ignore[list-item]
    ],
)
def test_bad_input_is_said(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
