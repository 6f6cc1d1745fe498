"""Numbers and names in words. Names from a database may hold anything."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime

NONE = "–"
FEW = 5
"""With fewer checkpoints there is a number, but no verdict."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: object, width: int = 0) -> str:
    r"""Return ``text`` on one line, with characters that do not show as ``\x1b`` and the like.

    Control characters are not allowed in SVG, and those that change the direction of writing make a
    name read as another. With ``width`` it is cut to so many characters, with an ellipsis.
    """
    shown = "".join(map(_shown, str(text)))
    return shown if not width or len(shown) <= width else shown[: width - 1].rstrip() + "…"


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


def known(value: float | None) -> bool:
    """Whether there is a number."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """Return ``0.641``, or ``–``."""
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else NONE


def signed(value: float | None, digits: int = 2) -> str:
    """Return ``+0.83``, or ``–``."""
    return f"{value:+.{digits}f}" if value is not None and math.isfinite(value) else NONE


def score(value: float | None, stderr: float | None) -> str:
    """Return ``0.641 ± 0.010``, or ``–``."""
    if not known(value) or not known(stderr):
        return number(value)
    return f"{number(value)} ± {number(stderr)}"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return ``[+0.44, +0.95]``, or nothing."""
    if not known(low) or not known(high):
        return ""
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def per_cent(share: float | None) -> str:
    """Return ``6.1 %``, or ``–``."""
    if share is None or not math.isfinite(share):
        return NONE
    value = 100 * share
    if 0 < abs(value) < 0.05:
        return "under 0.1 %"
    return f"{value:.1f} %" if 0 < abs(value) < 9.95 else f"{value:.0f} %"


def seconds(value: float | None) -> str:
    """Return ``840 µs``, ``12.3 ms``, ``1.42 s`` or ``5.1 min``."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0 s"
    if value >= 600:
        return f"{value / 60:.1f} min"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1.0 or unit == "µs":
            scaled = value * factor
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"
    return NONE


def instant(at: float | None) -> str:
    """Return an epoch time as ``2026-05-09 14:02:11 UTC``, or ``–``."""
    if at is None:
        return NONE
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return NONE


def counted(count: int, one: str, many: str = "") -> str:
    """Return ``1 checkpoint``, ``1,204 checkpoints``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def steps_in_words(steps: list[int]) -> str:
    """Return ``100, 200 and 300``; of many only how many and their range."""
    ordered = sorted(steps)
    if len(ordered) > 6:
        return f"{len(ordered)} checkpoints from {ordered[0]} to {ordered[-1]}"
    *first, last = map(str, ordered)
    return f"{', '.join(first)} and {last}" if first else last


def verdict_words(share: float | None) -> str:
    """Return a share in brackets, or nothing."""
    return "" if share is None else f" ({per_cent(share)})"
