"""Can a checkpoint find the key without the picture, or the question, or either?

The answers are given by whoever has a model; here they are compared with chance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ctv_engine.construction.audit.chance import Count, judged
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.statistic import Statistic, said
from ctv_engine.construction.audit.verdicts import Finding, Verdict
from ctv_engine.suite import Item, Suite

EVERYTHING = "everything"
HIDDEN = {
    "no-image": "without the picture the checkpoint is right",
    "no-question": "without the question the checkpoint is right",
    "options-only": "from the options alone the checkpoint is right",
}
BLIND_CHECKS = tuple(HIDDEN)


@dataclass(frozen=True, slots=True)
class BlindAnswer:
    """Whether an item was answered right, or why it was not answered (``correct`` is None)."""

    dataset: str
    key: str
    correct: bool | None
    reason: str | None = None


def blind_findings(
    suite: Suite,
    answers: Mapping[str, Sequence[BlindAnswer]],
    settings: AuditSettings,
    allowed: Collection[str] = (),
) -> tuple[Finding, ...]:
    """Return one finding for each of :data:`BLIND_CHECKS`, a family of tests of their own.

    A checkpoint that is not above chance with everything in sight can't show that a suite is sound:
    then what would pass is a warning.

    Args:
        suite: the whole suite.
        answers: by check, and under :data:`EVERYTHING` the same items with nothing hidden.
        settings: thresholds.
        allowed: names of checks that may fail.
    """
    items = {(item.dataset, item.key): item for item in suite.items}
    level = settings.significance / len(BLIND_CHECKS)
    seen = judged(_counts(answers[EVERYTHING], items), level=level, margin=0.0)
    whole = next((one for one in seen if one.dataset is None), seen[0] if seen else None)
    knows = whole is not None and whole.p < level
    reference = said(whole, "with everything right") if whole else "with everything: no answers"
    if not knows:
        reference += ": too little to tell anything"
    found: list[Finding] = []
    for check, phrase in HIDDEN.items():
        right = {(one.dataset, one.key) for one in answers[check] if one.correct}

        def concern(
            item: Item, _: str, right: Collection[object] = right, phrase: str = phrase
        ) -> str | None:
            return phrase if (item.dataset, item.key) in right else None

        counts = _counts(answers[check], items)
        one = Statistic(check, phrase, counts, concern).finding(
            suite.items, level, settings.blind_margin
        )
        lines = [one.measured, reference]
        missing = [answer for answer in answers[check] if answer.correct is None]
        if missing:
            lines.append(f"{len(missing)} items without an answer, the first: {missing[0].reason}")
        least = Verdict.PASS if knows else Verdict.WARN
        found.append(
            replace(
                one,
                verdict=Verdict.worst([one.verdict, least]),
                measured="; ".join(lines),
                allowed=check in allowed,
            )
        )
    return tuple(found)


def _counts(answers: Sequence[BlindAnswer], items: Mapping[tuple[str, str], Item]) -> list[Count]:
    """Count the right answers of each dataset and, where there are several, of all of them."""
    counts: dict[str | None, Count] = {}
    whole = Count(None)
    for answer in answers:
        if answer.correct is None:
            continue
        chance = 1 / len(items[answer.dataset, answer.key].options)
        own = counts.setdefault(answer.dataset, Count(answer.dataset))
        for count in (own, whole):
            count.add(hit=answer.correct, chance=chance)
    return [*counts.values(), whole] if len(counts) > 1 else [*counts.values()]
