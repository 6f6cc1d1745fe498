"""Rows of evidence: values counted anew in the test, and a reason for every one that is missing."""

from __future__ import annotations

import math
import random
import statistics
from itertools import combinations, pairwise

import pytest
from scipy import stats

from ctv_engine.stats.evidence import NO_GOLD, NO_PAIR, ONE_BOTH, TOO_FEW, Evidence
from ctv_engine.stats.track import ScoreRow
from ctv_engine.store.rows import EvidenceRow

Values = dict[str, list[float]]


def scores(dataset: str = "macro", **series: list[float]) -> list[ScoreRow]:
    return [
        (mode, dataset, 100 * n, "accuracy" if mode == "closed" else "score", value)
        for mode, values in series.items()
        for n, value in enumerate(values, 1)
    ]


def by_key(rows: list[EvidenceRow]) -> dict[tuple[str, str], EvidenceRow]:
    found = {(row.mode, row.measure): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_measure_is_what_counting_and_scipy_find(seed: int) -> None:
    chance = random.Random(seed)
    closed, gold = ([chance.randint(0, 9) / 9 for _ in range(30)] for _ in range(2))
    found = by_key(Evidence().update(scores(closed=closed, gold=gold)))
    told = [(a, b) for a, b in combinations(range(30), 2) if gold[a] != gold[b]]
    alike = sum((closed[a] - closed[b]) * (gold[a] - gold[b]) > 0 for a, b in told)
    row = found["closed", "decision_accuracy"]
    assert (row.pairs, row.n, row.step, row.reason) == (len(told), 30, 3000, None)
    assert row.value == pytest.approx(alike / len(told), abs=1e-12)
    assert row.low is not None and row.low <= row.value <= (row.high or 0.0)  # type: ignore[operator]
    noise = statistics.stdev(b - a for a, b in pairwise(closed))
    assert found["closed", "step_noise"].value == pytest.approx(noise, abs=1e-12)
    rise = stats.spearmanr(range(30), closed).statistic
    assert found["closed", "monotonicity"].value == pytest.approx(rise, abs=1e-9)
    one = noise / math.sqrt(2)
    signal = math.sqrt(max(0.0, statistics.variance(closed) - one**2)) / one
    assert found["closed", "signal_to_noise"].value == pytest.approx(signal, abs=1e-9)
    assert ("gold", "decision_accuracy") not in found and ("gold", "step_noise") in found


RISE = [0.1, 0.3, 0.2, 0.5, 0.4, 0.6]


@pytest.mark.parametrize(
    ("series", "measure", "reason"),
    [
        ({"closed": RISE}, "decision_accuracy", NO_GOLD),
        ({"closed": RISE, "gold": [0.5]}, "decision_accuracy", ONE_BOTH),
        ({"closed": RISE, "gold": [0.5] * 6}, "decision_accuracy", NO_PAIR),
        ({"closed": [0.5]}, "step_noise", "fewer than three points"),
        ({"closed": [0.5]}, "monotonicity", "fewer than three points"),
        ({"closed": [0.5] * 6}, "monotonicity", "a series does not vary"),
        ({"closed": [0.5] * 6}, "signal_to_noise", "the scores have no noise"),
    ],
)
def test_what_is_not_defined_has_no_value_but_a_reason(
    series: Values, measure: str, reason: str
) -> None:
    row = by_key(Evidence().update(scores(**series)))["closed", measure]
    assert (row.value, row.low, row.high, row.reason) == (None, None, None, reason)


def test_few_checkpoints_have_a_value_and_no_interval() -> None:
    found = by_key(Evidence().update(scores(closed=[0.1, 0.3, 0.2], gold=[0.2, 0.4, 0.5])))
    for measure in ("decision_accuracy", "step_noise", "monotonicity"):
        row = found["closed", measure]
        assert row.value is not None and (row.low, row.high, row.reason) == (None, None, TOO_FEW)
    assert found["closed", "decision_accuracy"].value == pytest.approx(2 / 3)


def test_what_is_no_number_is_left_out() -> None:
    odd = [0.1, math.inf, 0.2, 0.5, 0.4, 0.6]
    found = by_key(Evidence().update(scores(closed=odd, gold=RISE)))
    assert (found["closed", "decision_accuracy"].n, found["closed", "step_noise"].n) == (5, 5)


def test_only_series_that_changed_are_looked_at_anew() -> None:
    evidence = Evidence()
    both = [*scores(closed=RISE, gold=RISE), *scores("ChartQA", closed=RISE, gold=RISE)]
    assert {row.scope for row in evidence.update(both)} == {"macro", "dataset:ChartQA"}
    assert evidence.update(list(reversed(both))) == []
    more = [*both, ("gold", "macro", 700, "score", 0.7)]
    rows = evidence.update(more)
    assert {(row.mode, row.scope, row.measure) for row in rows} == {
        ("gold", "macro", "step_noise"),
        ("gold", "macro", "monotonicity"),
        ("gold", "macro", "signal_to_noise"),
        ("closed", "macro", "decision_accuracy"),
    }
