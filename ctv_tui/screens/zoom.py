"""The range of steps that a chart shows: all of them, or the latest half, quarter and so on."""

from __future__ import annotations

from ctv_tui.widgets.axes import Range

MOST = 6


class Zoom:
    """Keeps the right end, where the news is, in view."""

    def __init__(self) -> None:
        self.power = 0

    def zoom_in(self) -> None:
        """Show half as many steps."""
        self.power = min(MOST, self.power + 1)

    def zoom_out(self) -> None:
        """Show twice as many steps."""
        self.power = max(0, self.power - 1)

    def reset(self) -> None:
        """Show all steps."""
        self.power = 0

    def shown(self, whole: Range, last: float) -> Range:
        """Return the part of the range ``whole`` to show, which ends at the step ``last``."""
        if not self.power:
            return whole
        length = (whole[1] - whole[0]) / 2**self.power
        end = min(whole[1], max(last, whole[0] + length))
        return end - length, end
