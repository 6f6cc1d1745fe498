"""Is a suite fit to measure with? Checks over what it asks, without a model."""

from ctv_engine.construction.audit.blind import (
    BLIND_CHECKS,
    EVERYTHING,
    BlindAnswer,
    blind_findings,
)
from ctv_engine.construction.audit.checks import CHECKS, audit
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.verdicts import Audit, Concern, Finding, Measure, Verdict

__all__ = [
    "BLIND_CHECKS",
    "CHECKS",
    "EVERYTHING",
    "Audit",
    "AuditSettings",
    "BlindAnswer",
    "Concern",
    "Finding",
    "Measure",
    "Verdict",
    "audit",
    "blind_findings",
]
