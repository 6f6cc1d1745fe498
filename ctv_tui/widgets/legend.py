"""Two lines under the charts: what the marks mean, and how the charts are set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ctv_engine.store.rows import MODES, Mode
from ctv_tui.data import words
from ctv_tui.widgets.curves import View, run_name
from ctv_tui.widgets.lines import Line, first_that_fits, joined, line
from ctv_tui.widgets.painted import Painted

SMOOTHINGS = (0, 5, 15)
"""Spans of the exponential moving average, in checkpoints; 0 is none."""

_MARKS: dict[Mode, tuple[str, str]] = {
    "closed": ("C ─●─ closed", " (accuracy)"),
    "open": ("O ·•· open", ""),
    "gold": ("G ◆ gold", " standard"),
}


@dataclass(frozen=True, slots=True)
class LegendData:
    """What the legend speaks of.

    ``enter`` says what that key leads to, ``place`` which datasets of how many are on the page.
    """

    view: View = field(default_factory=View)
    large: bool = False
    enter: str = "large"
    place: str = ""
    went_back_s: float = 0.0
    runs_to_overlay: bool = False


class Legend(Painted):
    """What the marks mean, and which keys change what is shown."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._data = LegendData()

    def show(self, data: LegendData) -> None:
        """Show the legend for these settings."""
        if data != self._data or not self._lines:
            self._data = data
            self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return both lines, shorter where there is little room."""
        return [marks(self._data, width), settings(self._data, width)][:height]


def marks(data: LegendData, width: int) -> Line:
    """Return what each mark means."""
    view = data.view
    candidates = []
    for long in (True, False):
        gap = "   " if long else "  "
        parts = []
        for mode in MODES:
            sign, more = _MARKS[mode]
            hidden = mode in view.hidden
            text = f"{sign}{more if long else ''}{' (hidden)' if hidden else ''}"
            parts.append(line((text, "dim" if hidden else mode)))
        if view.others:
            parts.append(line(("╌ + ", "closed-band"), ("other run", "dim")))
        hollow = "○ ◇ ~ not complete" + (" yet" if long else "")
        parts.append(line((hollow, "dim")))
        if data.large and long:
            parts.append(line(("░", "closed-band"), (" ±1 standard error", "dim")))
        candidates.append(line(" ", *joined(parts, gap)))
    return first_that_fits(width, candidates)


def settings(data: LegendData, width: int) -> Line:
    """Return the keys of this tab with what they are set to; the least telling goes first."""
    view = data.view
    smooth = f"EMA of {view.span}" if view.span else "off"
    if len(view.others) > 1:
        other = f"{len(view.others)} runs"
    else:
        other = run_name(view.others[0]) if view.others else "none"
    changed = _changed(data)
    keys: list[tuple[str, str, str]] = [
        (
            "x",
            "axis: time since the first checkpoint" if view.axis == "time" else "axis: step",
            "axis",
        ),
        ("~", f"smooth: {smooth}", "smooth"),
        ("c o d", "hide", "hide"),
        ("C O D", "alone", "alone"),
        ("enter", data.enter, data.enter),
    ]
    if data.runs_to_overlay:
        keys.insert(4, ("r", f"overlay: {other}", "overlay"))
    if data.large:
        keys.append(("← →", "cursor", "cursor"))
    full = [line((key, "key"), (f" {text}", "dim")) for key, text, _ in keys]
    short = [line((key, "key"), (f" {text}", "dim")) for key, _, text in keys]
    return first_that_fits(
        width,
        [
            line(" ", *joined([*changed, *full], "   ")),
            line(" ", *joined([*changed, *full], "  ")),
            line(" ", *joined([*changed, *short], "  ")),
            line(" ", *joined([*changed, *short[:3]], "  ")),
            line(" ", *joined(changed[:1] or short[:3], "  ")),
        ],
    )


def _changed(data: LegendData) -> list[Line]:
    """Return what a reader must know so as not to misread the charts."""
    view = data.view
    found = []
    if data.went_back_s >= 1.0:
        found.append(line((f"clock went back {words.duration(data.went_back_s)}", "warning")))
    if view.span:
        found.append(line((f"lines: EMA of {view.span} checkpoints, dots: raw", "strong")))
    if view.zoom:
        low, high = view.zoom
        found.append(line((f"zoom {low:.4g}…{high:.4g}", "strong")))
    if data.place:
        found.append(line((data.place, "strong")))
    return found
