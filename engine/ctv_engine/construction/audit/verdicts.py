"""What an audit says: one finding a check, with what was measured and the items concerned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from ctv_engine.construction.audit.settings import AuditSettings


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        """Return the worst of the verdicts, ``PASS`` if there are none."""
        order = [Verdict.PASS, Verdict.WARN, Verdict.FAIL]
        return max(verdicts, key=order.index, default=Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Concern:
    """One item that a check found, and why."""

    dataset: str
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One statistic of one dataset, or of all of them together (``dataset`` is None).

    ``subject`` names what was counted (a letter, an option's text, a word, a format). ``value`` is
    a share of the ``n`` items, with its 95 % interval ``low`` … ``high`` (Wilson's); ``chance`` is
    what it would be if the key were any option alike. ``p`` is the exact probability of a count as
    extreme by chance, times the number of tests, at most 1.
    """

    dataset: str | None
    subject: str
    n: int
    value: float
    chance: float
    low: float
    high: float
    p: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's verdict; ``measured`` is one line: value, threshold and the statistics behind."""

    check: str
    verdict: Verdict
    measured: str
    concerns: tuple[Concern, ...] = ()
    measures: tuple[Measure, ...] = ()
    allowed: bool = False

    @property
    def failed(self) -> bool:
        """Whether the check failed and its failure was not allowed."""
        return self.verdict is Verdict.FAIL and not self.allowed


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings about one suite, in the order of the checks."""

    suite: str
    digest: str
    items: int
    settings: AuditSettings
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether any check failed that was not allowed to."""
        return any(finding.failed for finding in self.findings)

    def finding(self, check: str) -> Finding:
        """Return a check's finding.

        Raises:
            KeyError: there is none of that name.
        """
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)

    def joined(self, findings: Iterable[Finding]) -> Audit:
        """Return the audit with further findings at its end."""
        return replace(self, findings=(*self.findings, *findings))

    def document(self) -> dict[str, Any]:
        """Return the audit as JSON takes it."""
        return {"failed": self.failed, **asdict(self)}
