"""What the votes of annotators make of an item. No model and none of its packages is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.construction.journal import Draft, State, Vote
from ctv_engine.suite import LETTERS

MIN_ANNOTATORS = 2
"""One that agrees with the key proves little: it may have the converter's own blind spots."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the votes make of an item: ``kept``, or ``queued`` for a person with the reason."""

    state: State
    reason: str | None = None


def verdict(draft: Draft, votes: Sequence[Vote], needed: int) -> Verdict | None:
    """Return what ``votes`` decide, None while fewer than ``needed`` annotators have answered.

    An item is kept if all of them, two at least, chose the key. Letters in the reason are those of
    the draft's own order.

    Raises:
        ValueError: ``needed`` is below two.
    """
    if needed < MIN_ANNOTATORS:
        raise ValueError(f"{needed} annotators; {MIN_ANNOTATORS} at least make a verdict")
    if len({vote.annotator for vote in votes}) < needed:
        return None
    if all(vote.choice == draft.gold_index for vote in votes):
        return Verdict(State.KEPT)
    counted = Counter(vote.choice for vote in votes if vote.choice != draft.gold_index)
    parts = [
        f"chose {LETTERS[choice]}" if choice is not None else "chose no option"
        for choice, _ in counted.most_common()
    ]
    said = [
        f"{times} of {len(votes)} annotators {part}"
        for part, (_, times) in zip(parts, counted.most_common(), strict=True)
    ]
    return Verdict(State.QUEUED, "; ".join(said))
