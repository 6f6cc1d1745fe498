"""A widget that paints prepared lines and sends only those that changed to the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.events import Resize, Show
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ctv_tui.theme import role_style
from ctv_tui.widgets.lines import Line, fitted


class Painted(Widget):
    """Base of everything we draw ourselves.

    A subclass says in :meth:`paint` what its lines are. They are made when its data or size
    changes and never while a line is rendered; only lines that differ are repainted.
    """

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._strips: dict[int, Strip] = {}
        self._painted_for: object = None

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return at most ``height`` lines for the widget's size."""
        return ()

    def painted_text(self) -> str:
        """Return what is shown now, without colours."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._lines)

    def redraw(self) -> None:
        """Make the lines anew and repaint those that differ. Does nothing while hidden."""
        width, height = self.size
        if not width or not height or not self.is_attached:
            return
        new = [fitted(line, width) for line in self.paint(width, height)][:height]
        new += [fitted((), width)] * (height - len(new))
        old, self._lines = self._lines, new
        if len(old) != len(new):
            self._strips.clear()
            self.refresh()
            return
        changed = [y for y, (one, two) in enumerate(zip(old, new, strict=True)) if one != two]
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return one line, from the cache."""
        look = (self.rich_style, self.app.current_theme.dark)
        if look != self._painted_for:
            self._painted_for = look
            self._strips.clear()
        strip = self._strips.get(y)
        if strip is None:
            base, dark = look
            pieces = self._lines[y] if y < len(self._lines) else ()
            strip = Strip(
                [Segment(text, base + role_style(role, dark)) for text, role in pieces]
            ).adjust_cell_length(self.size.width, base)
            self._strips[y] = strip
        return strip

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.redraw()

    def on_show(self, event: Show) -> None:
        """Draw what was skipped while hidden."""
        self.redraw()
