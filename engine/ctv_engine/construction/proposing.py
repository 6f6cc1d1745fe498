"""Five proposers of wrong answers, each with a reviewer of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ctv_engine.construction import prompts
from ctv_engine.construction.candidates import (
    MAX_OPTION_LENGTH,
    Truth,
    shaped,
    shortened,
    usable,
)
from ctv_engine.construction.prompts import KINDS, Kind
from ctv_engine.construction.prompts.asking import ShownItem
from ctv_engine.construction.replies import Distractor, Proposals, Review
from ctv_engine.llm.asking import Asker, AskError, Unreadable, gravest

MIN_PROPOSERS = 3
"""As many of the five must answer readably; with fewer an item is left for another run."""


@dataclass(slots=True)
class AskedItem:
    """What the stages know of the item they work on.

    ``shown`` is what a prompt says of it. ``unread`` gathers the calls whose replies could not be
    read and were done without.
    """

    seed: bytes
    shown: ShownItem
    truth: Truth
    picture: bytes
    unread: list[str] = field(default_factory=list)


class Proposers:
    """The first stage: proposals of every kind of mistake, reviewed where there is a reviewer."""

    def __init__(self, propose: Asker, review: Asker | None, count: int) -> None:
        self._propose = propose
        self._review = review
        self._count = count

    async def all_kinds(self, item: AskedItem, attempt: int) -> list[tuple[Kind, Distractor]]:
        """Let all proposers work at once; return what they found, kind by kind.

        One that fails does not call off the others: what they answer is stored and paid for.

        Raises:
            AskError: a model did not answer, or fewer than three proposers answered readably.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._of_kind(kind, item, attempt)) for kind in KINDS]
        outcomes = [task.result() for task in tasks]
        errors = [outcome for outcome in outcomes if isinstance(outcome, AskError)]
        if errors:
            worst = gravest(errors)
            if not isinstance(worst, Unreadable) or len(KINDS) - len(errors) < MIN_PROPOSERS:
                raise worst
        found: list[tuple[Kind, Distractor]] = []
        for kind, outcome in zip(KINDS, outcomes, strict=True):
            if isinstance(outcome, AskError):
                item.unread.append(f"propose {kind}")
            else:
                found += [(kind, distractor) for distractor in outcome]
        return found

    async def _of_kind(
        self, kind: Kind, item: AskedItem, attempt: int
    ) -> list[Distractor] | AskError:
        try:
            asked = prompts.propose(kind, item.shown, self._count, item.picture, attempt)
            reply = await self._propose.ask(asked, Proposals)
            proposals = cleaned(reply, self._count, item.truth.key)
            if self._review is None or not proposals:
                return proposals
            return await self._reviewed(self._review, kind, item, proposals)
        except AskError as error:
            return error

    async def _reviewed(
        self, reviewer: Asker, kind: Kind, item: AskedItem, proposals: list[Distractor]
    ) -> list[Distractor]:
        """Return the proposals with those replaced that the reviewer objects to.

        What could be correct goes in any case, what should be harder stays if nothing better comes.
        """
        try:
            review = await reviewer.ask(
                prompts.review(kind, item.shown, proposals, item.picture), Review
            )
        except Unreadable:
            item.unread.append(f"review {kind}")
            return proposals
        remarks = {
            remark.number: remark.model_copy(update={"comment": shortened(remark.comment)})
            for remark in reversed(review.remarks)
            if 1 <= remark.number <= len(proposals) and remark.judgement != "keep"
        }
        if not remarks:
            return proposals
        objections = [remarks[number] for number in sorted(remarks)]
        left = [
            proposal
            for number, proposal in enumerate(proposals, 1)
            if number not in remarks or remarks[number].judgement == "harden"
        ]
        kept = [proposal for number, proposal in enumerate(proposals, 1) if number not in remarks]
        try:
            revised = await self._propose.ask(
                prompts.revise(kind, item.shown, proposals, objections, item.picture), Proposals
            )
        except Unreadable:
            item.unread.append(f"revise {kind}")
            return left
        texts = [proposal.text for proposal in proposals]
        new = cleaned(revised, len(objections), item.truth.key)
        fresh = [new[place] for place in usable([one.text for one in new], item.truth, texts)]
        return kept + fresh if len(kept) + len(fresh) >= len(left) else left + fresh


def cleaned(reply: Proposals, count: int, key: str) -> list[Distractor]:
    """Return at most ``count`` proposals as printable lines, without empty and endless ones."""
    lines = [
        Distractor(text=shaped(one.text, key), reason=shortened(one.reason))
        for one in reply.distractors[:count]
    ]
    return [one for one in lines if one.text and len(one.text) <= MAX_OPTION_LENGTH]
