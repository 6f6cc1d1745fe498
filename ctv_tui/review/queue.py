"""The items that are looked at, one of them the current one; every decision is kept at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.construction.journal import DecidedMeanwhile, Draft, Journal, State

FILTERS: dict[str, tuple[State, ...]] = {
    "queued": (State.QUEUED,),
    "all": (State.QUEUED, State.KEPT, State.DROPPED),
    "kept": (State.KEPT,),
    "dropped": (State.DROPPED,),
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How many items are left to decide, kept and dropped, in one dataset or in all."""

    left: int
    kept: int
    dropped: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.left + self.kept + self.dropped


class Queue:
    """What a filter, a dataset and a search leave of a build's items.

    An item that is decided stays in the list until another filter is chosen, so that nothing jumps.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.filter = "queued"
        self.dataset: str | None = None
        self.search = ""
        self.drafts: list[Draft] = []
        self.at = 0
        self.load()

    def load(self) -> None:
        """Read the list anew; the current item stays the current one if it is still there."""
        before = self.current
        wanted = self.search.casefold()
        self.drafts = [
            draft
            for draft in self.journal.drafts(*FILTERS[self.filter], dataset=self.dataset)
            if not wanted or any(wanted in text.casefold() for text in _texts(draft))
        ]
        self.at = 0
        if before is not None:
            self.select(before.id)

    @property
    def current(self) -> Draft | None:
        """The item that is looked at."""
        return self.drafts[self.at] if self.drafts else None

    def select(self, draft_id: int) -> bool:
        """Make an item the current one; tell whether it is in the list."""
        for at, draft in enumerate(self.drafts):
            if draft.id == draft_id:
                self.at = at
                return True
        return False

    def go_to(self, at: int) -> None:
        """Make the item at a place the current one, as it is now in the journal."""
        if self.drafts:
            self.at = max(0, min(len(self.drafts) - 1, at))
            self._renew(self.journal.draft(self.drafts[self.at].id))

    def next_open(self, by: int = 1) -> bool:
        """Go to the next (or previous) item that is not decided, from the start after the end."""
        count, start = len(self.drafts), self.at
        for step in range(1, count):
            at = (start + by * step) % count
            if self.drafts[at].state is State.QUEUED:
                self.go_to(at)
                if self.drafts[at].state is State.QUEUED:
                    return True
        self.at = start
        return False

    def decide(
        self,
        action: str,
        state: State,
        *,
        question: str | None = None,
        options: Sequence[str] | None = None,
        gold_index: int | None = None,
        reason: str | None = None,
    ) -> Draft:
        """Keep a decision about the current item.

        Raises:
            DecidedMeanwhile: somebody else changed the item; the list shows how it is now.
            LookupError: there is no current item.
        """
        draft = self.current
        if draft is None:
            raise LookupError("no item")
        try:
            now = self.journal.decide(
                draft.id,
                action,
                state=state,
                question=question,
                options=options,
                gold_index=gold_index,
                reason=reason,
                seen=draft,
            )
        except DecidedMeanwhile as error:
            self._renew(error.draft)
            raise
        self._renew(now)
        return now

    def undo(self) -> Draft | None:
        """Take back the last decision in the journal and go to its item."""
        draft = self.journal.undo()
        if draft is not None:
            if not self.select(draft.id):
                self.dataset, self.search = None, ""
                self.filter = "queued" if draft.state is State.QUEUED else "all"
                self.load()
                self.select(draft.id)
            self._renew(draft)
        return draft

    def progress(self) -> Progress:
        """Count the items of the chosen dataset."""
        counts = dict.fromkeys(State, 0)
        for (dataset, state), count in self.journal.counts().items():
            if self.dataset in (None, dataset):
                counts[state] += count
        return Progress(counts[State.QUEUED], counts[State.KEPT], counts[State.DROPPED])

    def datasets(self) -> tuple[str, ...]:
        """Return the names of the build's datasets."""
        return tuple(sorted({dataset for dataset, _ in self.journal.counts()}))

    def metric(self, dataset: str) -> str | None:
        """Return a dataset's open metric, None where the build has not said it yet."""
        for entry in self.journal.setting("datasets") or ():
            if entry.get("name") == dataset:
                return str(entry.get("open_metric"))
        return None

    def _renew(self, draft: Draft) -> None:
        if self.current is not None and self.current.id == draft.id:
            self.drafts[self.at] = draft


def _texts(draft: Draft) -> tuple[str, ...]:
    return (draft.key, draft.question, draft.reason or "", *draft.options, *draft.answers)
