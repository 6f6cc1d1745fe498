"""What a person would want to be woken for, from one checkpoint's facts and those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

AlertKind = Literal["drop", "option mass", "capped answers", "straggler", "behind"]

Z_95 = 1.96
FALLEN_MASS = 0.1
LEAST_CAPPED = 0.05
WAITED = 0.2
LOOKED_BACK = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """One checkpoint in one mode; what is not known is None.

    ``score`` is the macro mean, ``change`` what it gained since step ``since`` on the same
    ``items``, with a 95 % interval: the row of the ranking, see
    :class:`ctv_engine.store.rows.RankRow`. ``option_mass`` is the mean over items; ``capped``
    answers of ``answers`` hit their limit or repeated themselves; ``idle`` is the idle fraction of
    the ``workers`` that were up; ``spent_s`` is from a whole checkpoint to its last score,
    ``interval_s`` the time since the checkpoint before was whole.
    """

    step: int
    mode: Literal["closed", "open", "gold"]
    score: float | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    since: int | None = None
    items: int = 0
    option_mass: float | None = None
    capped: int = 0
    answers: int = 0
    idle: float | None = None
    workers: int = 0
    spent_s: float | None = None
    interval_s: float | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is not as it should be."""

    kind: AlertKind
    step: int
    message: str


def alerts(now: Facts, before: Sequence[Facts]) -> list[Alert]:
    """Return what is wrong with ``now`` that was not wrong with the checkpoint before.

    What lasts, such as answers that hit their limit, is told only when it begins.

    Args:
        now: the checkpoint that was finished last.
        before: those of the same mode before it, oldest first.
    """
    found = []
    last = before[-1] if before else None
    for check in (_mass, _capped, _behind):
        here = check(now, before)
        if here is not None and (last is None or check(last, before[:-1]) is None):
            found.append(here)
    return found


def straggler_alert(now: Facts, before: Facts | None) -> Alert | None:
    """Return that workers waited for others too long, if they had not at the checkpoint before.

    Apart from the others, since how long they waited is not known when an evaluation ends: what
    they do for another one meanwhile is no waiting.
    """
    found = _straggler(now)
    return None if before is not None and _straggler(before) is not None else found


def drop_alert(now: Facts) -> Alert | None:
    """Return that a score fell, each time: a change whose whole interval is below zero.

    The interval is that of the paired difference on the same items, drawn by image, so that of a
    hundred checkpoints that are as good as the one before, two or three are told of.
    """
    if now.score is None or now.change is None or now.change_low is None or now.change_high is None:
        return None
    if now.change_high >= 0:
        return None
    text = (
        f"{now.mode} fell from {now.score - now.change:.3f} (step {now.since}) to {now.score:.3f}:"
        f" by {-now.change_high:.3f} to {-now.change_low:.3f} with 95 % confidence, on the same"
        f" {now.items:,} items"
    )
    return Alert("drop", now.step, text)


def _mass(now: Facts, before: Sequence[Facts]) -> Alert | None:
    known = [one.option_mass for one in before[-LOOKED_BACK:] if one.option_mass is not None]
    if now.option_mass is None or not known:
        return None
    mean = sum(known) / len(known)
    if now.option_mass > mean - FALLEN_MASS:
        return None
    text = (
        f"the option letters have {now.option_mass:.0%} of the probability, before {mean:.0%}: the"
        " model stops answering with letters, so closed scores say less"
    )
    return Alert("option mass", now.step, text)


def _capped(now: Facts, before: Sequence[Facts]) -> Alert | None:
    known = [one for one in before[-LOOKED_BACK:] if one.answers]
    if not now.answers or not known:
        return None
    share = now.capped / now.answers
    usual = sum(one.capped for one in known) / sum(one.answers for one in known)
    noise = Z_95 * math.sqrt(max(usual * (1 - usual), 1 / now.answers) / now.answers)
    if share < LEAST_CAPPED or share <= usual + noise:
        return None
    text = (
        f"{share:.0%} of {now.mode} answers hit their limit or repeat themselves, before"
        f" {usual:.0%}"
    )
    return Alert("capped answers", now.step, text)


def _straggler(now: Facts) -> Alert | None:
    if now.idle is None or now.workers < 2 or now.idle <= WAITED:
        return None
    text = f"{now.mode}: {now.idle:.0%} of {now.workers} workers' time was spent waiting for others"
    return Alert("straggler", now.step, text)


def _behind(now: Facts, before: Sequence[Facts]) -> Alert | None:
    if now.spent_s is None or not now.interval_s or now.spent_s <= now.interval_s:
        return None
    text = (
        f"{now.mode} of a checkpoint takes {now.spent_s:.0f} s, training makes one every"
        f" {now.interval_s:.0f} s: validation falls behind"
    )
    return Alert("behind", now.step, text)
