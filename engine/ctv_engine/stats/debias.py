"""Taking a preference for letters out of stored option log-probabilities.

Log-probabilities are natural; they need not be normalised over the options. Every function returns
log-probabilities that are: the options' probabilities sum to one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ctv_engine.stats.bootstrap import Floats, resampled_means

PRIOR_RESAMPLES = 200
"""A standard error needs fewer than an interval's ends (Efron & Tibshirani, 1993, section 6.4)."""


def normalised(logprobs: Sequence[float] | Floats) -> Floats:
    """Return log-probabilities over the options alone; along the last axis.

    Raises:
        ValueError: there are no options, or a value is not finite.
    """
    given = np.asarray(logprobs, dtype=np.float64)
    if not given.size:
        raise ValueError("no options")
    if not np.isfinite(given).all():
        raise ValueError("a log-probability is not finite")
    around = given - given.max(axis=-1, keepdims=True)
    return np.asarray(around - np.log(np.exp(around).sum(axis=-1, keepdims=True)))


def cyclic(rotations: Sequence[Sequence[float]]) -> Floats:
    """Return each option's log-probability, averaged over every place that it stood in.

    The mean is of probabilities normalised over the options (Zheng et al., arXiv 2309.03882, 2024).

    Args:
        rotations: shape ``(n, n)``; row k has the log-probabilities of the letters when the options
            were rotated left by k, so that the i-th letter stood for option (i + k) mod n.

    Returns:
        Shape ``(n,)``, in the order of the options unrotated.

    Raises:
        ValueError: not every rotation is there, or a value is not finite.
    """
    by_letter = _square(rotations)
    n = len(by_letter)
    option, rotation = np.arange(n)[:, np.newaxis], np.arange(n)
    by_option = np.exp(by_letter)[rotation, (option - rotation) % n]
    return np.asarray(np.log(by_option.mean(axis=1)))


def letter_prior(items: Sequence[Sequence[Sequence[float]]]) -> Floats:
    """Return the log-probability that each letter has before any content: PriDe's prior.

    For one item it is the soft-max of the letters' mean log-probabilities over all rotations, in
    which every option has stood behind every letter; over items, the mean of those probabilities
    (Zheng et al., arXiv 2309.03882, 2024). A few per cent of the items are enough.

    Args:
        items: rotations of each item as for :func:`cyclic`; all with the same number of options.

    Raises:
        ValueError: no items, different numbers of options, or as for :func:`cyclic`.
    """
    return np.asarray(np.log(_priors(items).mean(axis=0)))


def _priors(items: Sequence[Sequence[Sequence[float]]]) -> Floats:
    """Return each item's own prior as probabilities, shape ``(items, n)``."""
    if not items:
        raise ValueError("no items to estimate the prior from")
    priors = [np.exp(normalised(_square(rotations).mean(axis=0))) for rotations in items]
    if len({len(prior) for prior in priors}) > 1:
        raise ValueError("items with different numbers of options have no prior in common")
    return np.asarray(priors)


def resampled_priors(
    items: Sequence[Sequence[Sequence[float]]],
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = PRIOR_RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Return PriDe's prior from items drawn anew, shape ``(resamples, n)``: how sure it is.

    Args:
        items: as for :func:`letter_prior`.
        clusters: image of each item; whole images are drawn.
        resamples: how many to draw.
        seed: of the draws.

    Raises:
        ValueError: as for :func:`letter_prior`.
    """
    drawn = resampled_means(_priors(items), clusters, resamples=resamples, seed=seed)
    return np.asarray(np.log(drawn))


def gained_by_priors(
    logprobs: Floats,
    keys: NDArray[np.intp],
    groups: NDArray[np.intp],
    prior: Floats,
    priors: Floats,
) -> Floats:
    """Return how many more items of each group are right under each prior than under ``prior``.

    Only items whose two best options are closer than the priors are apart can change their answer,
    so that no others are looked at.

    Args:
        logprobs: shape ``(items, n)``.
        keys: index of each item's key, shape ``(items,)``.
        groups: number of each item's group, shape ``(items,)``; every number up to the largest.
        prior: shape ``(n,)``.
        priors: others in its place, shape ``(priors, n)``.

    Returns:
        Shape ``(priors, groups)``.
    """
    n_groups = int(groups.max(initial=-1)) + 1
    without = logprobs - prior
    apart = np.ptp(priors - prior, axis=1).max(initial=0.0)
    if logprobs.shape[1] < 2 or not len(logprobs):
        return np.zeros((len(priors), n_groups))
    best = np.partition(without, -2, axis=1)
    near = best[:, -1] - best[:, -2] <= apart
    given, key, group = logprobs[near], keys[near], groups[near]
    was_right = without[near].argmax(axis=1) == key
    gained = np.zeros((len(priors), n_groups))
    for row, other in zip(gained, priors, strict=True):
        is_right = (given - other).argmax(axis=1) == key
        row += np.bincount(group, is_right.astype(np.float64) - was_right, n_groups)
    return gained


def without_prior(logprobs: Sequence[float], prior: Sequence[float] | Floats) -> Floats:
    """Return an item's log-probabilities less those that its letters have anyway (PriDe).

    Raises:
        ValueError: the prior is for another number of options, or a value is not finite.
    """
    if len(logprobs) != len(prior):
        raise ValueError(f"a prior of {len(prior)} letters for {len(logprobs)} options")
    return normalised(np.asarray(logprobs, dtype=np.float64) - np.asarray(prior))


def batch_calibrated(items: Sequence[Sequence[float]]) -> list[Floats]:
    """Return the items' log-probabilities less the log of each letter's mean probability.

    Batch calibration (Zhou et al., arXiv 2309.17249, 2024): the mean over the batch stands for what
    the letters have without content. It costs no forward pass, but it takes keys as spread evenly
    over the letters. Items are calibrated with those that have as many options as they have.

    Raises:
        ValueError: an item without options, or a value that is not finite.
    """
    alike: dict[int, list[int]] = defaultdict(list)
    for number, logprobs in enumerate(items):
        alike[len(logprobs)].append(number)
    found: dict[int, Floats] = {}
    for numbers in alike.values():
        own = normalised(np.asarray([items[number] for number in numbers], dtype=np.float64))
        calibrated = normalised(own - np.log(np.exp(own).mean(axis=0)))
        found |= dict(zip(numbers, calibrated, strict=True))
    return [found[number] for number in range(len(items))]


def _square(rotations: Sequence[Sequence[float]]) -> Floats:
    n = len(rotations)
    if not n or any(len(row) != n for row in rotations):
        lengths = sorted({len(row) for row in rotations})
        raise ValueError(
            f"{n} rotations of {', '.join(map(str, lengths)) or 'no'} options;"
            " there must be one rotation for every option"
        )
    return normalised(np.asarray(rotations, dtype=np.float64))
