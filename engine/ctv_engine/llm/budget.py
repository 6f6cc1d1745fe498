"""How many calls may be made, and what they may cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ctv_engine.llm.asking import BudgetSpent


@dataclass
class Budget:
    """Limits of one run of the program; None is no limit. Stored replies cost nothing.

    Calls under way count as made, and as the dearest call so far, so that many at once can't
    exceed the limits by more than their own surprise.
    """

    calls: int | None = None
    cost: float | None = None
    calls_made: int = 0
    cost_spent: float = 0.0
    _under_way: int = 0
    _dearest: float = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Reserve one call for as long as it is under way.

        Raises:
            BudgetSpent: it would exceed a limit.
        """
        if self.calls is not None and self.calls_made >= self.calls:
            raise BudgetSpent(
                f"the budget of {self.calls:,} calls is spent; give a larger one to go on"
            )
        if self.cost is not None:
            expected = self.cost_spent + (self._under_way + 1) * self._dearest
            if self.cost_spent >= self.cost or expected > self.cost:
                raise BudgetSpent(
                    f"the budget of {self.cost:g} is spent ({self.cost_spent:.4g} so far); give a"
                    " larger one to go on"
                )
        self.calls_made += 1
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def pay(self, cost: float) -> None:
        """Count what a call has cost."""
        self.cost_spent += cost
        self._dearest = max(self._dearest, cost)
