"""Who asks which provider in a build, and what that is expected to cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ctv_engine.construction.annotation import LlmAnnotator, self_preference
from ctv_engine.construction.converting import Converter
from ctv_engine.construction.estimate import Load, annotation_load, conversion_load
from ctv_engine.construction.llm_converter import LlmConverter, Rules
from ctv_engine.construction.plan import NO_REVIEW, RULES, Plan, PlanError
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import Client
from ctv_engine.llm.providers import Provider
from ctv_engine.llm.stored import Replies


@dataclass(frozen=True, slots=True)
class Expected:
    """What a build is expected to take of one provider, if no reply of it is stored yet."""

    provider: Provider
    calls_min: int
    calls_typical: int
    calls_max: int
    input_tokens: int
    output_tokens: int

    @property
    def cost(self) -> float:
        """The typical cost by the provider's prices."""
        spent = self.input_tokens * self.provider.price_in
        return (spent + self.output_tokens * self.provider.price_out) / 1e6


class Models:
    """The converter and the annotators of a plan. One client per provider, whatever its parts."""

    def __init__(
        self, plan: Plan, providers: Mapping[str, Provider], replies: Replies, budget: Budget
    ) -> None:
        """Find the providers that the plan names; nothing is sent.

        Raises:
            PlanError: the plan names one that there is not.
            ProviderError: a key is not in the environment, or ``openai`` is not installed.
        """
        self._rules = Rules(distractors=plan.options - 1)
        self._reviews = plan.review != NO_REVIEW
        self._clients: dict[str, Client] = {}
        self._stages: dict[str, str] = {}
        if plan.convert != RULES:
            self._stages = {"propose": plan.convert, "rate": plan.rate or plan.convert}
            if self._reviews:
                self._stages["review"] = plan.review or plan.convert
        self._annotate = plan.annotate
        for name in dict.fromkeys((*self._stages.values(), *self._annotate)):
            if name not in providers:
                known = ", ".join(providers) or "none"
                raise PlanError(f"no provider is called {name!r}; there are {known}")
            self._clients[name] = Client(providers[name], replies, budget)
        self.annotators = tuple(LlmAnnotator(self._clients[name]) for name in self._annotate)

    @property
    def convert(self) -> bool:
        """Whether models make the options."""
        return bool(self._stages)

    def converter(self) -> Converter:
        """Return the converter; there is one if :attr:`convert` says so."""
        asked = {stage: self._clients[name] for stage, name in self._stages.items()}
        return LlmConverter(asked["propose"], asked["rate"], asked.get("review"), rules=self._rules)

    def warnings(self) -> list[str]:
        """Return what makes the result worth less than it may seem."""
        made = [self._clients[name].model for name in self._stages.values()]
        return self_preference(made, [annotator.name for annotator in self.annotators])

    def expected(self, convert: int, annotate: int) -> list[Expected]:
        """Return what so many items are expected to take of each provider."""
        sums: dict[str, list[float]] = {name: [0.0] * 5 for name in self._clients}
        for name, load, items in self._loads(convert, annotate):
            parts = (
                load.calls_min,
                load.calls_typical,
                load.calls_max,
                load.input_tokens,
                load.output_tokens,
            )
            sums[name] = [
                total + items * part for total, part in zip(sums[name], parts, strict=True)
            ]
        return [
            Expected(self._clients[name].provider, *map(round, parts))
            for name, parts in sums.items()
        ]

    def _loads(self, convert: int, annotate: int) -> Iterator[tuple[str, Load, int]]:
        if self._stages:
            loads = conversion_load(self._rules, review=self._reviews)
            for stage, load in loads.items():
                yield self._stages[stage], load, convert
        for name in self._annotate:
            yield name, annotation_load(self._rules), annotate
