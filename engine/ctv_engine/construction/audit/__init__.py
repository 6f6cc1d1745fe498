"""Is a suite fit to measure with? Checks over what it asks, without a model."""

from ctv_engine.construction.audit.checks import audit
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.verdicts import Audit, Concern, Finding, Measure, Verdict

__all__ = ["Audit", "AuditSettings", "Concern", "Finding", "Measure", "Verdict", "audit"]
