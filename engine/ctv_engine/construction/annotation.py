"""Models that answer a converted item without knowing the key."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable

from ctv_engine.construction import prompts
from ctv_engine.construction.candidates import one_line, shortened
from ctv_engine.construction.journal import Draft, Vote
from ctv_engine.construction.replies import Answer
from ctv_engine.llm.asking import Asker
from ctv_engine.suite import LETTERS


class LlmAnnotator:
    """One model, as an annotator of its own name."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    @property
    def name(self) -> str:
        """The pinned model."""
        return self._asker.model

    async def vote(self, draft: Draft, picture: bytes) -> Vote:
        """Return the model's answer to a converted item.

        Each annotator sees the options in an order of its own, seeded by the item's and its name:
        two that lean to the same letter don't agree for that, and the same call is asked again
        after a restart.

        Raises:
            AskError: no answer; the item waits to be asked again.
            ValueError: the item is not converted.
        """
        if draft.gold_index is None or not draft.options:
            raise ValueError(f"{draft.dataset}/{draft.key} has no options yet")
        order = _order(draft, self.name)
        options = [one_line(draft.options[place]) for place in order]
        question = "\n".join(filter(None, map(one_line, draft.question.splitlines())))
        reply = await self._asker.ask(prompts.annotate(question, options, picture), Answer)
        reason = shortened(reply.reason) or None
        letter = reply.letter.strip().strip("().:").upper()
        if len(letter) == 1 and letter in LETTERS[: len(order)]:
            return Vote(self.name, order[LETTERS.index(letter)], reason)
        if letter == "NONE":
            return Vote(
                self.name, None, f"no single option is right: {reason or 'no reason given'}"
            )
        return Vote(
            self.name, None, f"answered {shortened(reply.letter, 20)!r}, which is no option"
        )


def self_preference(converter: Iterable[str], annotators: Collection[str]) -> list[str]:
    """Return a warning for each annotator that also made or rated the options.

    A model finds its own distractors and its own reading of the picture more convincing than
    another one does, so its agreement is worth less.
    """
    made = set(converter)
    return [
        f"{annotator} made the options and annotates them too: its agreement proves less than"
        " that of a model of another family"
        for annotator in annotators
        if annotator in made
    ]


def _order(draft: Draft, annotator: str) -> list[int]:
    name = f"{draft.dataset}\0{draft.key}\0{annotator}".encode(errors="replace")
    order = list(range(len(draft.options)))
    random.Random(hashlib.sha256(name).digest()).shuffle(order)
    return order
