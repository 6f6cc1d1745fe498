"""From counts to a finding: the verdict, its line, and the items behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ctv_engine.construction.audit.chance import SMALLEST_P, Count, judged
from ctv_engine.construction.audit.verdicts import Concern, Finding, Measure, Verdict
from ctv_engine.suite import Item


@dataclass(frozen=True, slots=True)
class Statistic:
    """One check that compares counts with chance.

    ``phrase`` says what is counted, with ``{}`` for the subject. ``concern`` tells of an item why
    it is behind a measure of that subject, or None. ``tests`` and ``two_sided`` are those of
    :func:`~ctv_engine.construction.audit.chance.judged`.
    """

    check: str
    phrase: str
    counts: Sequence[Count]
    concern: Callable[[Item, str], str | None]
    tests: int | None = None
    two_sided: bool = False

    def finding(self, items: Sequence[Item], level: float, margin: float) -> Finding:
        """Return the finding; its items are those behind the shares that are too large.

        Of all datasets together only where no dataset stands out alone.
        """
        measures = judged(
            self.counts, level=level, margin=margin, tests=self.tests, two_sided=self.two_sided
        )
        return Finding(
            self.check,
            Verdict.worst(one.verdict for one in measures),
            self._line(measures, level, margin),
            self._concerns(measures, items),
            tuple(measures),
        )

    def _concerns(self, measures: Sequence[Measure], items: Sequence[Item]) -> tuple[Concern, ...]:
        off = [
            one for one in measures if one.verdict is not Verdict.PASS and one.value > one.chance
        ]
        own = [one for one in off if one.dataset is not None] or off
        by_dataset: dict[str | None, list[Item]] = {None: list(items)} if own else {}
        for item in items if own else ():
            by_dataset.setdefault(item.dataset, []).append(item)
        reasons: dict[tuple[str, str], list[str]] = {}
        for one in own:
            for item in by_dataset[one.dataset]:
                why = self.concern(item, one.subject)
                if why is not None:
                    reasons.setdefault((item.dataset, item.key), []).append(why)
        return tuple(Concern(*name, "; ".join(whys)) for name, whys in reasons.items())

    def _line(self, measures: Sequence[Measure], level: float, margin: float) -> str:
        if not measures:
            return "nothing occurs often enough to be told from chance"
        off = [one for one in measures if one.verdict is not Verdict.PASS]
        worst = min(off or measures, key=lambda one: (one.verdict is Verdict.WARN, one.p))
        rest = f", the least likely of {len(measures)}"
        if off:
            rest = f"; {len(off) - 1} more beyond chance" if len(off) > 1 else ""
        limits = f"fails at p < {level:.2g} and {margin * 100:.0f} points off chance"
        return f"{said(worst, self.phrase)}{rest}; {limits}"


def said(measure: Measure, phrase: str) -> str:
    """Return a measure as words."""
    scope = "all datasets" if measure.dataset is None else measure.dataset
    what = phrase.format(measure.subject)
    p = f"< {SMALLEST_P:.0e}" if measure.p <= SMALLEST_P else f"{measure.p:.2g}"
    return (
        f"{scope}: {what} in {measure.value:.1%} of {measure.n}"
        f" (95 % {measure.low:.1%} to {measure.high:.1%}, chance {measure.chance:.1%}),"
        f" corrected p {p}"
    )
