"""When a person is told, and when not: one table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ctv_engine.stats.alerts import Facts, alerts


def facts(step: int, **more: Any) -> Facts:
    return Facts(step, more.pop("mode", "closed"), **more)


def kinds(*history: Facts) -> list[str]:
    *before, now = history
    return [alert.kind for alert in alerts(now, before)]


def scores(*values: tuple[float | None, float | None]) -> Sequence[Facts]:
    return [facts(n, score=value, stderr=error) for n, (value, error) in enumerate(values)]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        # 1.96 · hypot(0.01, 0.01) = 0.0277
        (scores((0.60, 0.01), (0.57, 0.01)), ["drop"]),
        (scores((0.60, 0.01), (0.5724, 0.01)), []),
        (scores((0.60, 0.01), (0.70, 0.01)), []),
        (scores((0.60, 0.01)), []),
        (scores((0.60, None), (0.10, 0.01)), []),
        (scores((0.60, 0.01), (None, None)), []),
        (scores((0.60, 0.01), (None, None), (0.50, 0.01)), ["drop"]),
        (scores((0.70, 0.01), (0.60, 0.01), (0.50, 0.01)), ["drop"]),
    ],
)
def test_a_drop_is_more_than_sampling_explains(
    history: Sequence[Facts], expected: list[str]
) -> None:
    assert kinds(*history) == expected


@pytest.mark.parametrize(
    ("masses", "expected"),
    [
        ([0.97, 0.95, 0.80], ["option mass"]),
        ([0.97, 0.95, 0.90], []),
        ([0.97, 0.80, 0.75], []),  # told when it began
        ([0.30, 0.95], []),
        ([0.40], []),
    ],
)
def test_letters_that_lose_their_probability(masses: list[float], expected: list[str]) -> None:
    assert kinds(*(facts(n, option_mass=mass) for n, mass in enumerate(masses))) == expected


@pytest.mark.parametrize(
    ("capped", "expected"),
    [
        ([0, 2, 40], ["capped answers"]),
        ([0, 2, 8], []),  # four per cent
        ([30, 30, 36], []),  # 18 % after 15 %: within 5 % of noise
        ([0, 40, 44], []),
    ],
)
def test_answers_that_hit_their_limit(capped: list[int], expected: list[str]) -> None:
    history = [facts(n, mode="open", capped=c, answers=200) for n, c in enumerate(capped)]
    assert kinds(*history) == expected


def test_stragglers_and_falling_behind_are_told_when_they_begin() -> None:
    fine = facts(1, idle=0.05, workers=4, spent_s=20.0, interval_s=60.0)
    bad = facts(2, idle=0.35, workers=4, spent_s=90.0, interval_s=60.0)
    assert kinds(fine, bad) == ["straggler", "behind"]
    assert kinds(fine, bad, bad) == []
    assert kinds(bad) == ["straggler", "behind"]
    assert kinds(facts(1, idle=0.9, workers=1, spent_s=5.0)) == []


def test_messages_name_numbers_and_consequence() -> None:
    (drop,) = alerts(*_split(scores((0.60, 0.01), (0.50, 0.01))))
    assert drop.message == (
        "closed fell from 0.600 (step 0) to 0.500: more than the ±0.028 that sampling explains"
    )


def _split(history: Sequence[Facts]) -> tuple[Facts, Sequence[Facts]]:
    return history[-1], history[:-1]
