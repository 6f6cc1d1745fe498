"""Two runs on the same items: is one ahead, or is it chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.report.comparison.sides import Side, same_suite
from ctv_engine.report.snapshot import Asked
from ctv_engine.report.wording import visible
from ctv_engine.stats.bootstrap import SINGLE_IMAGE, of_single_image
from ctv_engine.stats.comparison import Difference, McNemar, mcnemar, paired_bootstrap
from ctv_engine.store.rows import MODES, Mode

AT_EQUAL_STEPS = "last step that both have"
BEST_AGAINST_BEST = "each one's best"


@dataclass(frozen=True, slots=True)
class Paired:
    """The second run's score less the first's, on the items that both answered.

    ``difference`` is None where there is nothing to compare, with ``reason``.
    """

    first: str
    second: str
    mode: Mode
    which: str
    steps: tuple[int, int] | None
    difference: Difference | None
    mcnemar: McNemar | None
    reason: str | None
    asked: tuple[Asked, ...] = ()


class Answers:
    """Reads the items' scores of an evaluation once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, int], Asked] = {}

    def of(self, side: Side, mode: Mode, step: int) -> Asked:
        """Return dataset, key, image and score of each item that has a score."""
        key = side.evaluations[mode, step]
        if (side.label, key) not in self._read:
            score = "correct" if mode == "closed" else "score"
            self._read[side.label, key] = side.snapshot.ask(
                f"items-{mode}-{step}",
                f"""
                SELECT i.dataset, i.key, i.image_digest, p.{score} AS score
                FROM predictions p JOIN items i ON i.id = p.item_id
                WHERE p.evaluation_id = {key} AND p.permutation = 0 AND p.status = 'ok'
                  AND p.{score} IS NOT NULL ORDER BY i.dataset, i.key
                """,
            )
        return self._read[side.label, key]


def compare_items(sides: Sequence[Side]) -> list[Paired]:
    """Compare each run with the first one, in every mode that both have."""
    answers = Answers()
    first = sides[0]
    return [
        _compared(first, other, mode, which, answers)
        for other in sides[1:]
        for mode in MODES
        if first.scores.of(mode) and other.scores.of(mode)
        for which in (AT_EQUAL_STEPS, BEST_AGAINST_BEST)
    ]


def _compared(first: Side, other: Side, mode: Mode, which: str, answers: Answers) -> Paired:
    def none(reason: str) -> Paired:
        return Paired(first.label, other.label, mode, which, None, None, None, reason)

    if not same_suite(first, other, mode):
        return none(_other_items(first, other, mode))
    steps = _steps(first, other, mode, which)
    if steps is None:
        what = "complete in both" if which == AT_EQUAL_STEPS else "complete"
        return none(f"no step whose {mode} evaluation is {what}")
    asked = (answers.of(first, mode, steps[0]), answers.of(other, mode, steps[1]))
    before, after = ({(row[0], row[1]): row for row in one.rows} for one in asked)
    both = sorted(before.keys() & after.keys())
    if not both:
        return none("no item that both answered")
    xs, ys = [before[key][3] for key in both], [after[key][3] for key in both]
    images, datasets = [before[key][2] or key for key in both], [key[0] for key in both]
    single = of_single_image(images, datasets)
    if single is not None:
        return none(f"{SINGLE_IMAGE}: {visible(str(single))}")
    found = paired_bootstrap(xs, ys, clusters=images, datasets=datasets)
    told = mcnemar(xs, ys) if mode == "closed" else None
    return Paired(first.label, other.label, mode, which, steps, found, told, None, asked)


def _other_items(first: Side, other: Side, mode: Mode) -> str:
    column = "gold_digest" if mode == "gold" else "suite_digest"
    one, two = (visible(side.run.row[column] or "none")[:12] for side in (first, other))
    suite = "gold suites" if mode == "gold" else "suites"
    return f"not the same items: the {suite} differ ({one} and {two})"


def _steps(first: Side, other: Side, mode: Mode, which: str) -> tuple[int, int] | None:
    mine, theirs = first.scores.complete(mode), other.scores.complete(mode)
    if which == AT_EQUAL_STEPS:
        step = max(mine.keys() & theirs.keys(), default=None)
        return None if step is None else (step, step)
    tops = first.weighed.best(mode), other.weighed.best(mode)
    return None if tops[0] is None or tops[1] is None else (tops[0].step, tops[1].step)
