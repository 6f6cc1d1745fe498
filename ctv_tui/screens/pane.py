"""What all tabs have in common."""

from __future__ import annotations

from textual.containers import Container

from ctv_tui.data import Snapshot


class Pane(Container):
    """A tab. It is given every snapshot while it is visible, and the newest when it becomes so."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None

    def take(self, snapshot: Snapshot) -> None:
        """Show a snapshot; called only while the tab is the visible one."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self.update_view()

    def update_view(self) -> None:
        """Hand the snapshot's parts to the widgets."""
        raise NotImplementedError

    def move(self, by: int) -> None:
        """Move the selection, if the tab has one."""
