"""Language models in memory: each answers by a script, at once and the same every time."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ctv_engine.llm.asking import BudgetSpent, Prompt, Reply, Unreadable

Script = Callable[[Prompt], Mapping[str, Any] | Exception]


def item_of(prompt: Prompt) -> dict[str, Any]:
    """Return what a prompt quotes between its marks."""
    found = re.fullmatch(r"<item>\n(.*)\n</item>\n[^\n]+", prompt.text)
    assert found, prompt.text
    quoted: dict[str, Any] = json.loads(found[1])
    return quoted


def kind_of(prompt: Prompt) -> str:
    """Return the kind of mistake that a prompt's instructions describe."""
    from ctv_engine.construction.prompts.wording import MISTAKES

    return next(kind for kind, mistake in MISTAKES.items() if mistake in prompt.system)


class ScriptedModel:
    """Answers through ``script``: a reply as a mapping, or an error to raise.

    Like the real client it stores what it answered and serves that again; ``sent`` are the calls
    that went to the "provider". With ``budget`` it sends no more than so many. ``store`` may be
    shared by several, as after a restart.
    """

    def __init__(
        self,
        script: Script,
        *,
        model: str = "house/maker-1",
        budget: int | None = None,
        store: dict[tuple[str, Prompt], str] | None = None,
    ) -> None:
        self.model = model
        self.script = script
        self.budget = budget
        self.store = {} if store is None else store
        self.sent: list[Prompt] = []

    @property
    def purposes(self) -> Counter[str]:
        """How many calls of each purpose were sent."""
        return Counter(prompt.purpose for prompt in self.sent)

    async def ask(self, prompt: Prompt, reply: type[Reply]) -> Reply:
        await asyncio.sleep(0)  # let the others begin
        if (self.model, prompt) not in self.store:
            if self.budget is not None and len(self.sent) >= self.budget:
                raise BudgetSpent(f"{self.model}: the budget of {self.budget} calls is spent")
            self.sent.append(prompt)
            answered = self.script(prompt)
            if isinstance(answered, Exception):
                raise answered
            raw = json.dumps(answered)
            _read(raw, reply)
            self.store[self.model, prompt] = raw
        return reply.model_validate_json(self.store[self.model, prompt])


def _read(raw: str, reply: type[BaseModel]) -> None:
    try:
        reply.model_validate_json(raw)
    except ValidationError as error:
        raise Unreadable(f"house: {error.error_count()} faults") from error


def distractors(*texts: str) -> dict[str, Any]:
    """Return proposals as a model sends them."""
    return {"distractors": [{"text": text, "reason": f"why {text}"[:80]} for text in texts]}


def rated(score: int, issue: str = "", faulty: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return a rating as a model sends it."""
    return {"reasoning": "…", "score": score, "issue": issue, "faulty": list(faulty)}
