"""Thresholds of the audit, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Named thresholds.

    ``significance`` is family-wise: the probability that a suite whose keys are placed by chance
    gets a warning or failure from any statistical check. It is divided evenly among these checks
    and, within each, among its tests (Bonferroni). The checks that take a checkpoint are a family
    of their own.

    A statistical check fails only where a count is beyond chance by its test *and* its share is off
    by a margin: ``baseline_margin`` for letters and for the longest and shortest option,
    ``giveaway_margin`` for texts, words and formats that tell the key, ``blind_margin`` for a
    checkpoint that sees a part of the question. Beyond chance by less than the margin is a warning.

    ``option_characters`` is the longest option that passes. ``long_key_ratio``: a key is too long
    from this many times the distractors' mean length on, if it has ``long_key_characters`` at
    least (AutoConverter's authors shortened keys from 2.5 times the options' mean length on).
    """

    significance: float = 0.01
    baseline_margin: float = 0.05
    giveaway_margin: float = 0.25
    blind_margin: float = 0.10
    option_characters: int = 300
    long_key_ratio: float = 2.5
    long_key_characters: int = 20
