"""What chance alone would give: exact tests of counts, corrected for their number.

The null hypothesis of every check is that the key is any of an item's options with the same
probability. An item then is a hit with probability (options that would be a hit) / options, a count
of hits is a sum of binomials, and its tail is computed, not approximated: small data sets and items
with different numbers of options need no rule of thumb.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ctv_engine.construction.audit.verdicts import Measure, Verdict

Z_95 = 1.959963984540054
SMALLEST_P = 1e-30
"""Smaller probabilities are given as this one: far beyond any threshold."""


@dataclass(slots=True)
class Count:
    """Hits among the items of one dataset, or of all (None); there is at least one.

    ``chances`` has the number of items by their probability of a hit; ``credit`` is what the
    strategy that is measured scores, which differs from ``hits`` where it must choose among equals;
    ``expected`` is what it scores by chance.
    """

    dataset: str | None
    subject: str = ""
    n: int = 0
    hits: int = 0
    credit: float = 0.0
    expected: float = 0.0
    chances: Counter[float] = field(default_factory=Counter)

    def add(
        self, *, hit: bool, chance: float, credit: float | None = None, expected: float = -1.0
    ) -> None:
        """Count one item; without ``credit`` and ``expected`` a hit is worth 1."""
        self.n += 1
        self.hits += hit
        self.chances[chance] += 1
        self.credit += float(hit) if credit is None else credit
        self.expected += chance if expected < 0 else expected

    @property
    def least_p(self) -> float:
        """The probability that every item is a hit: no count can be more surprising."""
        return math.exp(sum(n * math.log(p) for p, n in self.chances.items() if p > 0))


def judged(
    counts: Sequence[Count],
    *,
    level: float,
    margin: float,
    tests: int | None = None,
    two_sided: bool = False,
) -> list[Measure]:
    """Test counts at a family-wise level, and return those that were tested, in their order.

    Bonferroni's correction over ``tests``. Without it, over the counts that could reach the level
    at all: what never could costs no power (Tarone, Biometrics 46, 1990). That rests on the
    options alone, so it favours no key.

    Args:
        counts: what is tested.
        level: probability that chance alone gives any verdict but ``PASS``.
        margin: how far a share must be off to fail; beyond chance by less is a warning.
        tests: number of tests, if it is not that of the counts that can reach the level.
        two_sided: too few hits are a finding too.
    """
    if tests is None:
        tests = reachable(counts, level)
        counts = [count for count in counts if count.least_p <= level / max(1, tests)]
    return [_measure(count, tests, level, margin, two_sided) for count in counts]


def reachable(counts: Sequence[Count], level: float) -> int:
    """Return the least k such that at most k of the counts can reach ``level / k``."""
    least = np.sort(np.array([count.least_p for count in counts]))
    k = 1
    while int(np.searchsorted(least, level / k, side="right")) > k:
        k += 1
    return k


def _measure(count: Count, tests: int, level: float, margin: float, two_sided: bool) -> Measure:
    value, chance = count.credit / count.n, count.expected / count.n
    p = upper_tail(count.hits, count.chances)
    if two_sided:
        p = 2 * min(p, lower_tail(count.hits, count.chances))
    p = min(1.0, p * tests)
    off = abs(value - chance) if two_sided else value - chance
    verdict = Verdict.PASS
    if p < level:
        verdict = Verdict.FAIL if off >= margin else Verdict.WARN
    low, high = wilson(count.credit, count.n)
    return Measure(count.dataset, count.subject, count.n, value, chance, low, high, p, verdict)


def upper_tail(hits: int, chances: Mapping[float, int]) -> float:
    """Return P(X ≥ hits), X being the sum of binomials of n items with probability p each.

    Args:
        hits: observed.
        chances: n by p.
    """
    offset, mass = _distribution(chances)
    if hits <= offset:
        return 1.0
    return min(1.0, max(SMALLEST_P, float(mass[hits - offset :].sum())))


def lower_tail(hits: int, chances: Mapping[float, int]) -> float:
    """Return P(X ≤ hits); see :func:`upper_tail`."""
    misses = {1 - p: n for p, n in chances.items()}
    return upper_tail(sum(chances.values()) - hits, misses)


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson, JASA 22, 1927).

    With fractions of successes it is a little too wide, never too narrow.
    """
    share, z2 = successes / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _distribution(chances: Mapping[float, int]) -> tuple[int, NDArray[np.float64]]:
    """Return where the distribution's window begins, and the probabilities in it."""
    offset, mass = 0, np.ones(1)
    for p, n in chances.items():
        if p <= 0 or not n:
            continue
        start, part = _binomial(n, p)
        offset += start
        mass = np.convolve(mass, part)
    return offset, mass


def _binomial(n: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """Return the binomial distribution where it is not vanishingly small (below 1e-30)."""
    if p >= 1:
        return n, np.ones(1)
    reach = 12 * math.sqrt(n * p * (1 - p)) + 50
    start, end = max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))
    ways = math.lgamma(n + 1)
    logs = [
        ways
        - math.lgamma(x + 1)
        - math.lgamma(n - x + 1)
        + x * math.log(p)
        + (n - x) * math.log1p(-p)
        for x in range(start, end + 1)
    ]
    return start, np.exp(np.array(logs))
