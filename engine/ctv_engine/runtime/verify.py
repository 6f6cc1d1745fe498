"""How far the engine's fast paths are from one plain forward an item, on a real checkpoint."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctv_engine.runtime.answering import Form, WorkerSettings, on_device, questions, silence
from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.runtime.plan import plan
from ctv_engine.suite import Suite

if TYPE_CHECKING:
    from ctv_engine.models.transformers_adapter import TransformersAdapter

Name = tuple[str, str]
TOLERANCE = 1e-3
"""Natural-log probability. Float32 rounding through a deep model stays well below."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one way of running the checkpoint said, by item."""

    option_logprobs: dict[Name, tuple[float, ...]]
    texts: dict[Name, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way of running against another.

    ``drift`` is the largest difference of an option's natural-log probability, ``flips`` the items
    whose most probable letter changed, ``texts`` those whose open answer changed. ``exact`` tells
    that the two should be equal but for rounding in float32.
    """

    what: str
    against: str
    items: int
    drift: float
    flips: int
    texts: int
    exact: bool

    def holds(self, tolerance: float, max_flips: float) -> bool:
        """Tell whether the differences are as small as they should be."""
        if self.exact:
            return self.drift <= tolerance and not self.flips and not self.texts
        return self.flips <= max_flips * self.items


def sample(suite: Suite, count: int) -> Suite:
    """Return the suite with at most ``count`` of its items, drawn evenly from its datasets."""
    by_dataset: dict[str, list[int]] = {}
    for place, item in enumerate(suite.items):
        by_dataset.setdefault(item.dataset, []).append(place)
    chosen: list[int] = []
    share = max(1, count // max(1, len(by_dataset)))
    for dataset, places in by_dataset.items():
        chosen += random.Random(dataset).sample(places, min(share, len(places)))
    return replace(suite, items=tuple(suite.items[place] for place in sorted(chosen)))


def verify(
    checkpoint: Path,
    suite: Suite,
    settings: WorkerSettings,
    rows: int,
    tell: Callable[[str], None] = lambda line: None,
    *,
    base: Path | None = None,
) -> Iterator[Comparison]:
    """Answer a suite in several ways and compare them.

    Args:
        checkpoint: a directory that can be loaded.
        suite: a paired suite; see :func:`sample`.
        settings: device, type and limits as in a run.
        rows: the most rows of a batch, as in a run.
        tell: takes what the self-check has to say.
        base: the base model of an adapter.

    Raises:
        CheckpointError: the checkpoint can't be loaded.
        LetterError: a letter is not one token.
    """
    import torch

    from ctv_engine.models.loading import resolve_dtype

    exact = _Ways(checkpoint, base, suite, replace(settings, dtype="float32"), rows, tell)
    plain = exact.one_by_one()
    yield compared("float32, padded batches", exact.batched(), "one by one", plain, exact=True)
    yield compared("float32, all shortcuts", exact.as_a_run(), "one by one", plain, exact=True)
    wanted = resolve_dtype(settings.dtype, on_device(settings.device))
    if wanted == torch.float32:
        return
    del exact
    own = _Ways(checkpoint, base, suite, settings, rows, tell)
    name = own.dtype
    if name == "float32":
        return
    single = own.one_by_one()
    yield compared(f"{name}, one by one", single, "float32", plain, exact=False)
    run = own.as_a_run()
    yield compared(f"{name}, all shortcuts", run, f"{name}, one by one", single, exact=False)
    yield compared(f"{name}, all shortcuts", run, "float32", plain, exact=False)


def compared(
    what: str, found: Answered, against: str, reference: Answered, *, exact: bool
) -> Comparison:
    """Compare two ways; an item that only one of them could answer counts as a flip."""
    drift, flips = 0.0, 0
    for name in {*found.option_logprobs, *reference.option_logprobs}:
        one, other = found.option_logprobs.get(name), reference.option_logprobs.get(name)
        if one is None or other is None:
            flips += 1
            continue
        drift = max(drift, *(abs(a - b) for a, b in zip(one, other, strict=True)))
        flips += one.index(max(one)) != other.index(max(other))
    names = {*found.texts, *reference.texts}
    texts = sum(found.texts.get(name) != reference.texts.get(name) for name in names)
    items = len({*names, *found.option_logprobs, *reference.option_logprobs})
    return Comparison(what, against, items, drift, flips, texts, exact)


class _Ways:
    """One loaded checkpoint and the ways to run it."""

    def __init__(
        self,
        checkpoint: Path,
        base: Path | None,
        suite: Suite,
        settings: WorkerSettings,
        rows: int,
        tell: Callable[[str], None],
    ) -> None:
        from ctv_engine.models.self_check import self_check
        from ctv_engine.models.transformers_adapter import TransformersAdapter

        silence()
        self._suite, self._settings, self._rows = suite, settings, rows
        self._adapter: TransformersAdapter = TransformersAdapter(
            on_device(settings.device),
            settings.dtype,
            settings.processor,
            slots=rows,
            refill=max(1, rows // 4),
        )
        self._adapter.load(checkpoint, base)
        one = self._batches("pair", {(i.dataset, i.key): 1 for i in suite.items}, rows=1)
        self._lengths: dict[Task, dict[Name, int]] = {"closed": {}, "open": {}}
        for batch in one:
            forms: tuple[Form, ...] = ("closed", "open")
            for form in forms:
                lengths = self._adapter.inputs.lengths(questions(batch, (form,)))
                for item, length in zip(batch.items, lengths, strict=True):
                    self._lengths[form][item.dataset, item.key] = length or 1
        known = self._lengths["closed"]
        ranked = sorted(one, key=lambda b: known[b.items[0].dataset, b.items[0].key])
        probe = [ranked[0], ranked[len(ranked) // 2], ranked[-1]]
        asked = [q for batch in probe for q in questions(batch, ("closed", "open"))]
        for note in [*self._adapter.notes, *self_check(self._adapter, asked)]:
            tell(note)
        self._proven = self._adapter.abilities

    @property
    def dtype(self) -> str:
        """The type of the weights, by its name."""
        return str(self._adapter.forward.model.dtype).removeprefix("torch.")

    def one_by_one(self) -> Answered:
        """Plain forwards and ``generate``, one item each, pictures decoded anew."""
        return self._run(replace(self._proven, batch=False, share=False, stepwise=False), "apart")

    def batched(self) -> Answered:
        """The plan's padded batches, and nothing else."""
        return self._run(replace(self._proven, share=False, stepwise=False), "apart")

    def as_a_run(self) -> Answered:
        """Everything that the self-check has proven."""
        return self._run(self._proven, "paired")

    def _batches(self, task: Task, lengths: dict[Name, int], rows: int) -> tuple[Batch, ...]:
        budget = self._settings.batch_tokens
        return plan(self._suite, task, lengths, token_budget=budget, max_rows=rows)

    def _run(self, abilities: object, how: str) -> Answered:
        from ctv_engine.models.trace import Trace
        from ctv_engine.models.transformers_adapter import Abilities

        assert isinstance(abilities, Abilities)
        adapter, rows = self._adapter, self._rows
        adapter.abilities = abilities
        logprobs: dict[Name, tuple[float, ...]] = {}
        texts: dict[Name, str] = {}

        def keep(batch: Batch, closed: Sequence[object], opened: Sequence[object]) -> None:
            from ctv_engine.models.answers import ClosedAnswer, OpenAnswer

            for answers in (closed, opened):
                for item, answer in zip(batch.items, answers, strict=False):
                    if isinstance(answer, ClosedAnswer):
                        logprobs[item.dataset, item.key] = answer.score.option_logprobs
                    elif isinstance(answer, OpenAnswer):
                        texts[item.dataset, item.key] = answer.text

        if how == "paired":
            for batch in self._batches("pair", self._lengths["closed"], rows):
                both = questions(batch, ("closed", "open"))
                closed: dict[int, object] = {}
                chunks = adapter.prepare(both, 2 * adapter.refill, together=2)
                opened = adapter.pair(chunks, Trace(), closed.update)
                places = range(0, len(both), 2)
                keep(batch, [closed[p] for p in places], [opened[p + 1] for p in places])
            return Answered(logprobs, texts)
        for batch in self._batches("closed", self._lengths["closed"], rows):
            chunks = adapter.prepare(questions(batch, ("closed",)), len(batch.items))
            keep(batch, adapter.closed(chunks, Trace()), ())
        for batch in self._batches("open", self._lengths["open"], rows):
            chunks = adapter.prepare(questions(batch, ("open",)), adapter.refill)
            keep(batch, (), adapter.open(chunks, Trace()))
        return Answered(logprobs, texts)
