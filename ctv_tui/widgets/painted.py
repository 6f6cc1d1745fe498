"""A widget that paints prepared lines and sends only the cells that changed to the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize, Show
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ctv_tui.theme import Look, look_of, role_style
from ctv_tui.widgets.glyphs import ascii_line
from ctv_tui.widgets.lines import Line, changed_cells, compact, fitted


class Painted(Widget):
    """Base of everything we draw ourselves.

    A subclass says in :meth:`paint` what its lines are. They are made when its data or size
    changes and never while a line is rendered; only where lines differ is repainted.
    """

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._drawn_at: object = None
        self._strips: dict[int, Strip] = {}
        self._look: tuple[Style, Look] | None = None

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
        new = [compact(fitted(line, width)) for line in self.paint(width, height)][:height]
        new += [fitted((), width)] * (height - len(new))
        if getattr(self.app, "ascii_only", False):
            new = [ascii_line(line) for line in new]
        old, self._lines = self._lines, new
        drawn_at, self._drawn_at = self._drawn_at, self.size
        if drawn_at != self.size:
            self._strips.clear()
            self.refresh()
            return
        changed = []
        for y, (one, two) in enumerate(zip(old, new, strict=True)):
            if one != two:
                self._strips.pop(y, None)
                start, end = changed_cells(one, two)
                changed.append(Region(start, y, end - start, 1))
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Return one line, from the cache."""
        strip = self._strips.get(y)
        if strip is None:
            if self._look is None:
                self._look = self.rich_style, look_of(self.app.current_theme)
            base, colours = self._look
            pieces = self._lines[y] if y < len(self._lines) else ()
            strip = Strip(
                [Segment(text, base + role_style(role, colours)) for text, role in pieces]
            ).adjust_cell_length(self.size.width, base)
            self._strips[y] = strip
        return strip

    def notify_style_update(self) -> None:
        """Forget what the colours were. To ask for them anew costs more than to paint a line."""
        self._look = None
        self._strips.clear()
        super().notify_style_update()

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.redraw()

    def on_show(self, event: Show) -> None:
        """Draw what was skipped while hidden."""
        self.redraw()
