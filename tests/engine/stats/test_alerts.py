"""When a person is told, and when not: one table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ctv_engine.stats.alerts import Facts, alerts, drop_alert, straggler_alert


def facts(step: int, **more: Any) -> Facts:
    return Facts(step, more.pop("mode", "closed"), **more)


def kinds(*history: Facts) -> list[str]:
    *before, now = history
    return [alert.kind for alert in alerts(now, before)]


def changed(step: int, score: float | None, *change: float | None) -> Facts:
    """A checkpoint's score and its change since the one before, with the interval's ends."""
    value, low, high = change or (None, None, None)
    return facts(
        step, score=score, change=value, change_low=low, change_high=high, since=0, items=1200
    )


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([changed(1, 0.57, -0.03, -0.058, -0.002)], ["drop"]),
        ([changed(1, 0.57, -0.03, -0.062, 0.002)], []),
        ([changed(1, 0.57, -0.03, -0.06, 0.0)], []),
        ([changed(1, 0.70, 0.10, 0.08, 0.12)], []),
        ([changed(1, 0.60)], []),  # the first, or without items to compare on
        ([changed(1, 0.60, -0.30, None, None)], []),
        ([changed(1, None)], []),
        ([changed(1, 0.6, -0.1, -0.2, -0.05), changed(2, 0.5, -0.1, -0.2, -0.05)], ["drop"]),
    ],
)
def test_a_drop_is_more_than_sampling_explains(
    history: Sequence[Facts], expected: list[str]
) -> None:
    found = drop_alert(history[-1])
    assert ([found.kind] if found else []) == expected
    assert kinds(*history) == []


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
    assert kinds(fine, bad) == ["behind"]
    assert kinds(fine, bad, bad) == []
    assert kinds(bad) == ["behind"]
    told = straggler_alert(bad, fine)
    assert told is not None and told.kind == "straggler"
    assert told.message == "closed: 35% of 4 workers' time was spent waiting for others"
    assert straggler_alert(bad, bad) is None
    assert straggler_alert(bad, None) == told
    assert straggler_alert(facts(1, idle=0.9, workers=1, spent_s=5.0), None) is None


def test_messages_name_numbers_and_consequence() -> None:
    drop = drop_alert(changed(300, 0.50, -0.10, -0.128, -0.072))
    assert drop is not None
    assert drop.message == (
        "closed fell from 0.600 (step 0) to 0.500: by 0.072 to 0.128 with 95 % confidence, on the"
        " same 1,200 items"
    )
