"""A suite without faults passes every check, whatever the seed."""

from __future__ import annotations

import pytest
from audit_suites import Maker

from ctv_engine.construction.audit import Verdict, audit


@pytest.mark.parametrize("seed", range(25))
def test_a_clean_suite_passes_every_check(seed: int) -> None:
    found = audit(Maker(seed).suite())
    told = {
        one.check: (one.measured, one.concerns[:3])
        for one in found.findings
        if one.verdict is not Verdict.PASS or one.concerns
    }
    assert told == {}
    assert not found.failed
