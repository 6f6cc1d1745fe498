"""Wrong options from language models: propose, review, select, rate, and refine or reject.

After the idea of AutoConverter (Zhang et al., "Automated Generation of Challenging Multiple-Choice
Questions for Vision Language Model Evaluation", CVPR 2025), with the rating as a gate: an item goes
through at ``accept_at`` or not at all.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctv_engine.construction import prompts
from ctv_engine.construction.candidates import (
    MAX_OPTION_LENGTH,
    Truth,
    accepted,
    key_text,
    one_line,
    shortened,
    usable,
)
from ctv_engine.construction.converting import Converted, Pool, Rejected
from ctv_engine.construction.journal import Draft
from ctv_engine.construction.prompts import Kind, prompts_hash
from ctv_engine.construction.prompts.asking import shown_item
from ctv_engine.construction.proposing import AskedItem, Proposers, cleaned
from ctv_engine.construction.replies import Distractor, Proposals, Rating, Selection
from ctv_engine.llm.asking import Asker
from ctv_engine.suite import LETTERS

MAX_QUESTION_LENGTH = 8_000
"""Characters; what is longer is a document, and would be paid for in every call."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How many wrong options an item gets, and when its rating is good enough.

    ``proposals`` are asked of each proposer. The defaults of ``accept_at`` and ``max_refinements``
    follow hand-labelled items of AutoConverter's authors: at 5 about 3.5 % were bad, at 4 and more
    5.2 %.
    """

    distractors: int = 3
    proposals: int = 6
    accept_at: int = 5
    max_refinements: int = 2

    def __post_init__(self) -> None:
        bounds = {
            "distractors": (1, len(LETTERS) - 1),
            "proposals": (1, 20),
            "accept_at": (1, 5),
            "max_refinements": (0, 10),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; use {low} to {high}")


class LlmConverter:
    """Converts one item after the other; several may be under way at once.

    ``propose`` also selects, revises and refines; ``review`` may be None, then proposals are taken
    as they come; ``rate`` is best a model of another provider.
    """

    name = "llm"

    def __init__(
        self,
        propose: Asker,
        rate: Asker,
        review: Asker | None = None,
        *,
        rules: Rules | None = None,
    ) -> None:
        self._propose = propose
        self._review = review
        self._rate = rate
        self.rules = rules or Rules()
        self._proposers = Proposers(propose, review, self.rules.proposals)
        self._prompts = prompts_hash()

    @property
    def models(self) -> dict[str, str]:
        """The pinned model of each stage."""
        models = {"propose": self._propose.model, "rate": self._rate.model}
        return models | ({"review": self._review.model} if self._review is not None else {})

    async def convert(self, draft: Draft, picture: bytes, pool: Pool) -> Converted | Rejected:
        """Return the item's options, the key first, or why it gets none.

        Raises:
            AskError: a model did not answer, or not readably; nothing is decided about the item.
        """
        item = _item(draft, picture, pool)
        if isinstance(item, Rejected):
            return item
        candidates = await self._candidates(item)
        if isinstance(candidates, Rejected):
            return candidates
        chosen = await self._selected(item, candidates)
        if isinstance(chosen, Rejected):
            return chosen
        return await self._rated(item, chosen)

    async def _candidates(self, item: AskedItem) -> list[tuple[Kind, Distractor]] | Rejected:
        """Return the usable proposals of all kinds, in an order seeded by the item's name."""
        proposed: list[tuple[Kind, Distractor]] = []
        places: list[int] = []
        for attempt in (0, 1):
            proposed += await self._proposers.all_kinds(item, attempt)
            places = usable([one.text for _, one in proposed], item.truth)
            if len(places) >= self.rules.distractors:
                candidates = [proposed[place] for place in places]
                random.Random(item.seed).shuffle(candidates)  # no kind comes first throughout
                return candidates
        return Rejected(
            f"{len(places)} of {len(proposed)} proposed distractors can be used,"
            f" {self.rules.distractors} are needed"
        )

    async def _selected(
        self, item: AskedItem, candidates: Sequence[tuple[Kind, Distractor]]
    ) -> list[tuple[Kind, Distractor]] | Rejected:
        """Return as many candidates as are needed, picked by number."""
        needed = self.rules.distractors
        for attempt in (0, 1):
            reply = await self._propose.ask(
                prompts.select(item.shown, candidates, needed, item.picture, attempt), Selection
            )
            numbers = [n for n in dict.fromkeys(reply.numbers) if 1 <= n <= len(candidates)]
            if len(numbers) >= needed:
                return [candidates[number - 1] for number in numbers[:needed]]
        return Rejected(f"the selection twice named fewer than {needed} of the candidates")

    async def _rated(
        self, item: AskedItem, chosen: list[tuple[Kind, Distractor]]
    ) -> Converted | Rejected:
        """Accept the options at a good rating, else refine them a bounded number of times."""
        rules = self.rules
        options = [(str(kind), one.text) for kind, one in chosen]
        gone: list[str] = []
        ratings: list[int] = []
        while True:
            texts = [text for _, text in options]
            rating = await self._rate.ask(prompts.rate(item.shown, texts, item.picture), Rating)
            ratings.append(rating.score)
            if rating.score >= rules.accept_at:
                return Converted(
                    (item.truth.key, *texts), 0, self._provenance(item, options, ratings)
                )
            verdict = f"rated {rating.score} of 5, {rules.accept_at} is needed"
            if issue := shortened(rating.issue):
                verdict += f": {issue}"
            if len(ratings) > rules.max_refinements:
                return Rejected(f"{verdict} (refined {len(ratings) - 1} times)")
            faulty = sorted({n for n in rating.faulty if 1 <= n <= len(texts)})
            faulty = faulty or list(range(1, len(texts) + 1))
            stays = [option for n, option in enumerate(options, 1) if n not in faulty]
            gone += [texts[n - 1] for n in faulty]
            named = rating.model_copy(update={"issue": issue, "faulty": faulty})
            new = await self._refined(item, texts, named, [text for _, text in stays] + gone)
            if len(new) < len(faulty):
                return Rejected(f"{verdict}; no {len(faulty)} usable new distractors were found")
            options = stays + [("refined", text) for text in new[: len(faulty)]]

    async def _refined(
        self, item: AskedItem, options: Sequence[str], rating: Rating, taken: Sequence[str]
    ) -> list[str]:
        """Return usable texts in place of the faulty ones, best first; too few after two calls."""
        needed = len(rating.faulty)
        new: list[str] = []
        for attempt in (0, 1):
            reply = await self._propose.ask(
                prompts.refine(item.shown, options, rating, needed + 2, item.picture, attempt),
                Proposals,
            )
            texts = [one.text for one in cleaned(reply, needed + 2, item.truth.key)]
            new += [texts[place] for place in usable(texts, item.truth, [*taken, *new])]
            if len(new) >= needed:
                break
        return new

    def _provenance(
        self, item: AskedItem, options: Sequence[tuple[str, str]], ratings: Sequence[int]
    ) -> dict[str, Any]:
        provenance: dict[str, Any] = {
            "converter": self.name,
            "models": self.models,
            "prompts": self._prompts,
            "mistakes": [None, *(kind for kind, _ in options)],
            "accept_at": self.rules.accept_at,
            "ratings": list(ratings),
            "refinements": len(ratings) - 1,
        }
        return provenance | ({"unread": sorted(item.unread)} if item.unread else {})


def _item(draft: Draft, picture: bytes, pool: Pool) -> AskedItem | Rejected:
    """Return what the models are asked about, or why that would be money for nothing."""
    key = key_text(draft.answers)
    if not key:
        return Rejected("the accepted answer is empty")
    if len(key) > MAX_OPTION_LENGTH:
        return Rejected(
            f"the accepted answer has {len(key):,} characters; an option has"
            f" {MAX_OPTION_LENGTH} at most"
        )
    if len(draft.question) > MAX_QUESTION_LENGTH:
        return Rejected(
            f"the question has {len(draft.question):,} characters;"
            f" {MAX_QUESTION_LENGTH:,} at most are asked"
        )
    truth = Truth(key, draft.answers, pool.metric, draft.meta)
    try:
        accepted(key, truth)
    except ValueError as error:
        return Rejected(shortened(str(error)))
    question = "\n".join(filter(None, map(one_line, draft.question.splitlines())))
    answers = [shortened(answer, MAX_OPTION_LENGTH) for answer in draft.answers]
    return AskedItem(
        hashlib.sha256(f"{draft.dataset}\0{draft.key}".encode(errors="replace")).digest(),
        shown_item(question, key, answers, pool.metric),
        truth,
        picture,
    )
