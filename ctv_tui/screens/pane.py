"""What all tabs have in common."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Container

from ctv_tui.data import Snapshot
from ctv_tui.data.wishes import Wishes
from ctv_tui.screens.actions import Action
from ctv_tui.widgets.painted import Painted


class Pane(Container):
    """A tab. It is given every snapshot while it is visible, and the newest when it becomes so.

    ``ACTIONS`` are what it can do besides the actions of every tab, made by ``pane_action``; the
    action NAME calls the method ``do_NAME``. Some actions of every tab exist only where the tab has
    a method for them: ``do_search`` (``/``), ``do_zoom_in``, ``do_zoom_out`` and ``do_zoom_reset``
    (``+ - 0``, the range of steps that is shown).
    """

    ACTIONS: ClassVar[tuple[Action, ...]] = ()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._wishes = Wishes()

    def ask_through(self, wishes: Wishes) -> None:
        """Say through ``wishes`` what the tab needs besides what every snapshot holds."""
        self._wishes = wishes

    def take(self, snapshot: Snapshot) -> None:
        """Show a snapshot; called only while the tab is the visible one."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self.update_view()

    def update_view(self) -> None:
        """Hand the snapshot's parts to the widgets; each tab says which to which."""

    def offers(self, name: str) -> bool:
        """Whether the tab has a method for an action."""
        return hasattr(self, f"do_{name}")

    def do(self, name: str) -> None:
        """Carry out one of the tab's own actions, or one of every tab that it has a method for."""
        getattr(self, f"do_{name}")()

    def move(self, by: int) -> None:
        """Move the selection, if the tab has one."""

    def selected_text(self) -> str:
        """Return the selection as text to copy; where there is none, all that the tab shows."""
        return self.shown_text()

    def shown_text(self) -> str:
        """Return what the tab shows, without colours, from top to bottom."""
        shown = [w for w in self.query(Painted) if w.size and w.region and w.display]
        shown.sort(key=lambda widget: (widget.region.y, widget.region.x))
        return "\n\n".join(text for text in (w.painted_text() for w in shown) if text.strip())
