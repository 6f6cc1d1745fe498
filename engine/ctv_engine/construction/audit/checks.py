"""The audit: every check over a suite, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ctv_engine.construction.audit.options import OPTION_CHECKS, ItemCheck
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.verdicts import Audit, Concern, Finding, Verdict
from ctv_engine.suite import Suite

ITEM_CHECKS = OPTION_CHECKS
CHECKS = tuple(check.name for check in ITEM_CHECKS)


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
    unknown = sorted(set(allowed) - {*CHECKS})
    if unknown:
        raise ValueError(f"no check {unknown[0]!r}; use {', '.join(CHECKS)}")
    findings = [_over_items(check, suite, settings) for check in ITEM_CHECKS]
    return Audit(
        suite=suite.name,
        digest=suite.digest,
        items=len(suite.items),
        settings=settings,
        findings=tuple(replace(one, allowed=one.check in allowed) for one in findings),
    )


def _over_items(check: ItemCheck, suite: Suite, settings: AuditSettings) -> Finding:
    datasets = {dataset.name: dataset for dataset in suite.datasets}
    asked = [item for item in suite.items if item.gold_index is not None]
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
