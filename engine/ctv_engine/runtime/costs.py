"""What a batch is expected to cost before it has run: from its items' own past, else from tokens.

The same items come back at every checkpoint, so the seconds that an item took last time are the
best guess for the next. An item without a past costs

    a x (tokens to read) + c x (tokens that it may write),

of which only the ratio c / a is fixed; the scale is measured on what has finished.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ctv_engine.runtime.messages import Task

Name = tuple[str, str]
"""(dataset, key) of an item."""

NEW_TOKEN_WEIGHT = 10.0
"""c / a: a step of 32 ms for 32 rows, against 9,400 tokens read per second, is 9.4."""
FIRST_GUESS_S = 1e-4
"""Seconds per token read, used to compare batches while nothing has been measured."""
KEEP = 0.98
"""What a measurement still weighs after the next one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A batch's cost in two parts: seconds its items took before, tokens of those without past."""

    task: Task
    recorded_s: float = 0.0
    new_work: float = 0.0


@dataclass(slots=True)
class Ratio:
    """Measured over expected, the recent past weighing most."""

    measured: float = 0.0
    expected: float = 0.0

    def add(self, measured: float, expected: float) -> None:
        """Take in one measurement."""
        if expected > 0:
            self.measured = KEEP * self.measured + measured
            self.expected = KEEP * self.expected + expected

    @property
    def value(self) -> float | None:
        """The ratio, or None before the first measurement."""
        return self.measured / self.expected if self.expected > 0 else None


class CostModel:
    """Expected seconds of device work, learned item by item."""

    def __init__(self, recorded: Mapping[tuple[Task, Name], float] | None = None) -> None:
        """Start from what earlier checkpoints recorded: seconds by task and item."""
        self._recorded = dict(recorded or {})
        self._per_token: defaultdict[Task, Ratio] = defaultdict(Ratio)
        self._pace: defaultdict[Task, Ratio] = defaultdict(Ratio)

    def estimate(
        self,
        task: Task,
        names: Iterable[Name],
        tokens: Sequence[int],
        new_tokens: Sequence[int],
    ) -> Estimate:
        """Return what is known of a batch's cost.

        Args:
            task: closed work writes no tokens.
            names: the batch's items.
            tokens: tokens to read, one per item.
            new_tokens: the most tokens that each item may write.
        """
        recorded_s = new_work = 0.0
        for name, read, written in zip(names, tokens, new_tokens, strict=True):
            seconds = self._recorded.get((task, name))
            if seconds is None:
                new_work += _work(task, read, written)
            else:
                recorded_s += seconds
        return Estimate(task, recorded_s, new_work)

    def seconds(self, estimate: Estimate) -> float | None:
        """Return the expected seconds, or None while there is nothing to tell them from."""
        per_token = self._per_token[estimate.task].value
        if estimate.new_work and per_token is None:
            return None
        pace = self._pace[estimate.task].value
        recorded_s = estimate.recorded_s * (1.0 if pace is None else pace)
        return recorded_s + estimate.new_work * (per_token or 0.0)

    def rank(self, estimate: Estimate) -> float:
        """Return a number to compare batches by; unlike :meth:`seconds` it is never unknown."""
        per_token = self._per_token[estimate.task].value
        scale = FIRST_GUESS_S if per_token is None else per_token
        return estimate.recorded_s + estimate.new_work * scale

    def observe(
        self,
        task: Task,
        names: Iterable[Name],
        tokens: Sequence[int],
        new_tokens: Sequence[int],
        seconds: Mapping[Name, float],
    ) -> None:
        """Learn from a finished batch; items that are not in ``seconds`` were not answered."""
        taken = read_work = again = before = 0.0
        for name, read, written in zip(names, tokens, new_tokens, strict=True):
            measured = seconds.get(name)
            if measured is None:
                continue
            taken += measured
            read_work += _work(task, read, written)
            earlier = self._recorded.get((task, name))
            if earlier is not None:
                again += measured
                before += earlier
            self._recorded[task, name] = measured
        self._per_token[task].add(taken, read_work)
        self._pace[task].add(again, before)


def _work(task: Task, tokens: int, new_tokens: int) -> float:
    return tokens + (NEW_TOKEN_WEIGHT * new_tokens if task in ("open", "pair") else 0.0)


def padded_size(tokens: Sequence[int], rows: int) -> int:
    """Return a batch's tokens with padding, or its rows where the tokens are not known."""
    return rows * max(tokens) if tokens else rows


class MemoryLimits:
    """The smallest batch that did not fit, by model, kind of device and task."""

    def __init__(self) -> None:
        self._failed: dict[tuple[str, str, Task], int] = {}

    def note(self, model: str, device_kind: str, task: Task, size: int) -> None:
        """Remember that a batch of this padded size ran out of memory."""
        key = (model, device_kind, task)
        self._failed[key] = min(size, self._failed.get(key, size))

    def fits(self, model: str, device_kind: str, task: Task, size: int) -> bool:
        """Tell whether nothing speaks against a batch of this padded size."""
        return size < self._failed.get((model, device_kind, task), size + 1)
