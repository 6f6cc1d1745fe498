"""Closed scores without the preference for letters, written as results land.

``batch`` needs what is stored anyway; ``cyclic`` asks every item in all rotations of its options,
``pride`` a few items, from which it takes the letters' prior. What the formulas are, says
:mod:`ctv_engine.stats.debias`. Standard errors are those of the items, clustered by picture; with
``pride`` what the prior adds, which is estimated from few items, is in them: the variance of the
score over priors from these items drawn anew, picture by picture. As the items that the prior is
from are few among those that it is taken out of, the two are taken as independent.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ctv_engine.settings import Debias
from ctv_engine.stats.bootstrap import Floats, numbered
from ctv_engine.stats.debias import (
    PRIOR_RESAMPLES,
    batch_calibrated,
    cyclic,
    gained_by_priors,
    letter_prior,
    normalised,
    resampled_priors,
    without_prior,
)
from ctv_engine.store.rows import MACRO
from ctv_engine.store.scores import Score, clustered_error, macro_of
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Item

METRIC = "accuracy_debiased"
PRIOR_SHARE = 0.05
"""Of the items with as many options, those that ``pride`` asks in all rotations."""
PRIOR_LEAST = 10
"""How many these are at least, should there be as many."""
BATCH_LEAST = 2
"""One item calibrated with itself has all options alike."""


def rotated_items(items: Iterable[Item], method: Debias) -> frozenset[tuple[str, str]]:
    """Return the (dataset, key) of the items that are asked in all rotations.

    Which ones ``pride`` takes depends on their names alone, so that every checkpoint is asked the
    same.
    """
    alike: dict[int, list[tuple[str, str]]] = defaultdict(list)
    if method in ("cyclic", "pride"):
        for item in items:
            if item.gold_index is not None:
                alike[len(item.options)].append((item.dataset, item.key))
    if method == "cyclic":
        return frozenset(name for names in alike.values() for name in names)
    return frozenset(
        name
        for names in alike.values()
        for name in sorted(names, key=_lot)[: max(PRIOR_LEAST, math.ceil(PRIOR_SHARE * len(names)))]
    )


def _lot(name: tuple[str, str]) -> bytes:
    return hashlib.sha256("\0".join(name).encode()).digest()


def other_method_before(
    writer: Writer, method: Debias, checkpoint_dir: str, suite_digest: str, gold_digest: str | None
) -> str | None:
    """Return what to say if a run has scores of another method, as its last start was set."""
    found = writer.query(
        "SELECT r.config_json FROM runs r WHERE r.checkpoint_dir = ? AND r.suite_digest = ?"
        " AND r.gold_digest IS ? AND EXISTS (SELECT 1 FROM checkpoints c"
        " JOIN evaluations e ON e.checkpoint_id = c.id JOIN scores s ON s.evaluation_id = e.id"
        " WHERE c.run_id = r.id AND s.metric = ?)",
        checkpoint_dir,
        suite_digest,
        gold_digest,
        METRIC,
    )
    before = json.loads(found[0][0]).get("debias", "none") if found else "none"
    if "none" in (before, method) or before == method:
        return None
    return (
        f"{METRIC} is by {before} up to here and by {method} from now on: not one trajectory;"
        " another --db keeps them apart"
    )


@dataclass(frozen=True, slots=True)
class _Answered:
    dataset: str
    image: str
    gold_index: int
    logprobs: list[float]


@dataclass(slots=True)
class _Evaluation:
    """What has been read of an evaluation: items as asked, their rotations, and what follows."""

    last_prediction: int = 0
    last_rotation: int = 0
    items: dict[int, _Answered] = field(default_factory=dict)
    rotations: dict[int, dict[int, list[float]]] = field(default_factory=dict)
    averaged: dict[int, int] = field(default_factory=dict)
    whole: dict[int, list[tuple[str, list[list[float]]]]] = field(default_factory=dict)
    """By number of options: picture and rotations of the items that have all of these."""


class Debiasing:
    """Keeps the metric ``accuracy_debiased`` of evaluations under way up to date."""

    def __init__(self, writer: Writer, method: Debias) -> None:
        """Begin with nothing read; with method ``none`` nothing ever is."""
        self._writer = writer
        self._method = method
        self._known: dict[int, _Evaluation] = {}

    def refresh(self, evaluation_id: int) -> None:
        """Write the scores of a closed evaluation's answers so far."""
        if self._method == "none":
            return
        known = self._known.setdefault(evaluation_id, _Evaluation())
        if self._read(evaluation_id, known):
            rows = self._scores(evaluation_id, known)
            self._writer.add_scores(evaluation_id, rows)

    def forget(self, evaluation_id: int) -> None:
        """Let go of what was read of an evaluation that has ended."""
        self._known.pop(evaluation_id, None)

    def catch_up(self, run_id: int) -> None:
        """Calibrate the evaluations that ended before ``batch`` was asked for."""
        if self._method != "batch":
            return
        for (number,) in self._writer.query(
            "SELECT e.id FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
            " WHERE c.run_id = ? AND e.mode = 'closed' AND e.state = 'done' AND NOT EXISTS"
            " (SELECT 1 FROM scores s WHERE s.evaluation_id = e.id AND s.metric = ?)",
            run_id,
            METRIC,
        ):
            self.refresh(number)
            self.forget(number)

    # --- reading ------------------------------------------------------------------------------

    def _read(self, evaluation_id: int, known: _Evaluation) -> bool:
        """Take in what is new; return whether anything is."""
        answered = self._writer.query(
            "SELECT p.id, p.item_id, i.dataset, i.image_digest, i.gold_index,"
            " p.option_logprobs_json FROM predictions p JOIN items i ON i.id = p.item_id"
            " WHERE p.evaluation_id = ? AND p.permutation = 0 AND p.id > ?"
            " AND p.option_logprobs_json IS NOT NULL ORDER BY p.id",
            evaluation_id,
            known.last_prediction,
        )
        for number, item_id, dataset, image, gold_index, logprobs in answered:
            known.last_prediction = number
            known.items[item_id] = _Answered(dataset, image, gold_index, json.loads(logprobs))
        rotated = self._writer.query(
            "SELECT id, item_id, permutation, option_logprobs_json FROM rotations"
            " WHERE evaluation_id = ? AND id > ? AND option_logprobs_json IS NOT NULL ORDER BY id",
            evaluation_id,
            known.last_rotation,
        )
        for number, item_id, permutation, logprobs in rotated:
            known.last_rotation = number
            known.rotations.setdefault(item_id, {})[permutation] = json.loads(logprobs)
        for item_id in [key for key in known.rotations if key in known.items]:
            self._complete(known, item_id)
        return bool(answered or rotated)

    @staticmethod
    def _complete(known: _Evaluation, item_id: int) -> None:
        """Average an item over its rotations once all of them are there."""
        own = known.items[item_id].logprobs
        further = known.rotations[item_id]
        if len(further) == len(own) - 1:
            del known.rotations[item_id]
            rotations = [own, *(further[place] for place in range(1, len(own)))]
            known.averaged[item_id] = int(cyclic(rotations).argmax())
            image = known.items[item_id].image
            known.whole.setdefault(len(own), []).append((image, rotations))

    # --- scores -------------------------------------------------------------------------------

    def _answers(self, known: _Evaluation) -> dict[int, int]:
        """Return the index of each item's most probable option; without those it can't be told of.

        The items that ``pride`` takes the prior from are averaged, as they can be, and the others
        divided by it (Zheng et al., arXiv 2309.03882, 2024).
        """
        if self._method == "batch":
            return _batch(known.items)
        if self._method == "cyclic":
            return known.averaged
        priors = {
            n: letter_prior([rotations for _, rotations in items])
            for n, items in known.whole.items()
        }
        return {
            item_id: int(without_prior(item.logprobs, priors[len(item.logprobs)]).argmax())
            for item_id, item in known.items.items()
            if len(item.logprobs) in priors
        } | known.averaged

    def _scores(self, evaluation_id: int, known: _Evaluation) -> list[Score]:
        right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        for item_id, answer in self._answers(known).items():
            item = known.items[item_id]
            right[item.dataset][item.image].append(answer == item.gold_index)
        rows: list[Score] = []
        for dataset, by_image in right.items():
            counts = np.array([len(part) for part in by_image.values()], dtype=np.float64)
            sums = np.array([sum(part) for part in by_image.values()], dtype=np.float64)
            rows.append((dataset, METRIC, *_mean(counts, sums), int(counts.sum())))
        names = self._writer.query(
            "SELECT d.name FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id"
            " JOIN runs r ON r.id = c.run_id JOIN datasets d ON d.suite_digest = r.suite_digest"
            " WHERE e.id = ?",
            evaluation_id,
        )
        rows += macro_of(rows, {name for (name,) in names})
        if self._method == "pride":
            return _with_noise_of_prior(rows, _gained(known))
        return rows


def _gained(known: _Evaluation) -> dict[str, Floats]:
    """Return by dataset how many items are right more under each prior that was drawn anew.

    Not a number where all items that a prior is from are about one picture: then nothing is known
    of how sure it is.
    """
    gained: dict[str, Floats] = defaultdict(lambda: np.zeros(PRIOR_RESAMPLES))
    for n, whole in known.whole.items():
        rest = [
            item
            for item_id, item in known.items.items()
            if len(item.logprobs) == n and item_id not in known.averaged
        ]
        if not rest:
            continue
        images, rotations = [image for image, _ in whole], [rows for _, rows in whole]
        groups, _ = numbered([item.dataset for item in rest])
        names = list(dict.fromkeys(item.dataset for item in rest))
        found = gained_by_priors(
            normalised(np.array([item.logprobs for item in rest])),
            np.array([item.gold_index for item in rest]),
            groups,
            letter_prior(rotations),
            resampled_priors(rotations, images, seed=n),
        )
        for place, name in enumerate(names):
            gained[name] = gained[name] + (found[:, place] if len(set(images)) > 1 else math.nan)
    return gained


def _with_noise_of_prior(rows: Sequence[Score], gained: dict[str, Floats]) -> list[Score]:
    """Add to the standard errors what the priors' own add; datasets share it, so the macro does."""
    counts = {dataset: n for dataset, _, _, _, n in rows if dataset != MACRO}
    found: list[Score] = []
    for dataset, metric, value, error, n in rows:
        parts = list(counts) if dataset == MACRO else [dataset]
        moved = sum(gained[name] / counts[name] for name in parts) / len(parts)
        both = None if error is None else math.hypot(error, float(np.std(moved, ddof=1)))
        found.append(
            (dataset, metric, value, None if both is None or math.isnan(both) else both, n)
        )
    return found


def _mean(counts: Floats, sums: Floats) -> tuple[float, float | None]:
    """Return the mean over items and its standard error, from each picture's items and sum."""
    n = int(counts.sum())
    mean = float(sums.sum()) / n
    error = clustered_error(
        n,
        mean,
        len(counts),
        float(counts @ counts),
        float(counts @ sums),
        float(sums @ sums),
    )
    return mean, error


def _batch(items: dict[int, _Answered]) -> dict[int, int]:
    """Return the answers calibrated among the items of a dataset with as many options."""
    alike: dict[tuple[str, int], list[int]] = defaultdict(list)
    for item_id, item in items.items():
        alike[item.dataset, len(item.logprobs)].append(item_id)
    found: dict[int, int] = {}
    for numbers in alike.values():
        if len(numbers) >= BATCH_LEAST:
            found |= zip(numbers, _most_probable(items, numbers), strict=True)
    return found


def _most_probable(items: dict[int, _Answered], numbers: Sequence[int]) -> list[int]:
    calibrated = batch_calibrated([items[number].logprobs for number in numbers])
    return [int(logprobs.argmax()) for logprobs in calibrated]
