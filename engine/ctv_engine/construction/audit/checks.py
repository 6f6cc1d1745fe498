"""The audit: every check over a suite, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ctv_engine.construction.audit.baselines import baselines
from ctv_engine.construction.audit.blind import BLIND_CHECKS
from ctv_engine.construction.audit.giveaways import (
    giveaway_texts,
    giveaway_words,
    odd_key,
    odd_ones,
)
from ctv_engine.construction.audit.options import OPTION_CHECKS, ItemCheck
from ctv_engine.construction.audit.pairs import PAIR_CHECKS
from ctv_engine.construction.audit.repeats import repeats
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.verdicts import Audit, Concern, Finding, Verdict
from ctv_engine.suite import Item, Suite

STATISTICAL = (
    "letter-balance",
    "one-letter",
    "longest-option",
    "shortest-option",
    "giveaway-option",
    "giveaway-word",
    "format-giveaway",
)
ITEM_CHECKS = (*OPTION_CHECKS, *PAIR_CHECKS)
CHECKS = (
    *STATISTICAL,
    *(check.name for check in ITEM_CHECKS),
    "repeated-item",
    "contradiction",
)
"""What :func:`audit` checks, in its order; with a checkpoint come ``BLIND_CHECKS``."""


def audit(
    suite: Suite,
    settings: AuditSettings = AuditSettings(),  # noqa: B008  (frozen)
    *,
    allowed: Collection[str] = (),
) -> Audit:
    """Check a suite that :func:`ctv_engine.suite.read_suite` returned.

    Args:
        suite: items without options are asked openly only, most checks pass them by.
        settings: thresholds.
        allowed: names of checks that may fail.

    Raises:
        ValueError: ``allowed`` names a check that does not exist.
    """
    known = (*CHECKS, *BLIND_CHECKS)
    for name in sorted(set(allowed).difference(known)):
        raise ValueError(f"no check {name!r}; use {', '.join(known)}")
    asked = [item for item in suite.items if item.gold_index is not None]
    findings: list[Finding] = []
    if asked:
        findings += _statistics(asked, settings)
        findings += [_over_items(check, suite, asked, settings) for check in ITEM_CHECKS]
    findings += repeats(suite.items)
    return Audit(
        suite=suite.name,
        digest=suite.digest,
        items=len(suite.items),
        settings=settings,
        findings=tuple(replace(one, allowed=one.check in allowed) for one in findings),
    )


def _statistics(items: Sequence[Item], settings: AuditSettings) -> list[Finding]:
    level = settings.significance / len(STATISTICAL)
    close, wide = settings.baseline_margin, settings.giveaway_margin
    return [
        *(one.finding(items, level, close) for one in baselines(items)),
        giveaway_texts(items).finding(items, level, wide),
        giveaway_words(items).finding(items, level, wide),
        _format_giveaway(items, level, wide),
    ]


def _format_giveaway(items: Sequence[Item], level: float, margin: float) -> Finding:
    """Return the finding of all odd keys: a warning each, a failure where the format tells keys."""
    tested = odd_ones(items).finding(items, level, margin)
    concerns = tuple(
        Concern(item.dataset, item.key, why) for item in items if (why := odd_key(item)) is not None
    )
    verdict = Verdict.worst([tested.verdict, Verdict.WARN if concerns else Verdict.PASS])
    line = f"{len(concerns)} of {len(items)} items whose key alone has its format"
    if tested.measures:
        line = f"{line}; {tested.measured}"
    return replace(tested, verdict=verdict, measured=line, concerns=concerns)


def _over_items(
    check: ItemCheck, suite: Suite, asked: Sequence[Item], settings: AuditSettings
) -> Finding:
    datasets = {dataset.name: dataset for dataset in suite.datasets}
    concerns = tuple(
        Concern(item.dataset, item.key, why)
        for item in asked
        if (why := check.find(item, datasets[item.dataset], settings)) is not None
    )
    return Finding(
        check=check.name,
        verdict=check.severity if concerns else Verdict.PASS,
        measured=f"{len(concerns)} of {len(asked)} items {check.fault}",
        concerns=concerns,
    )
