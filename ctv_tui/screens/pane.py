"""What all tabs have in common."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Container

from ctv_tui.data import Snapshot
from ctv_tui.screens.actions import Action


class Pane(Container):
    """A tab. It is given every snapshot while it is visible, and the newest when it becomes so.

    ``ACTIONS`` are what it can do besides the actions of every tab, made by ``pane_action``; the
    action NAME calls the method ``do_NAME``.
    """

    ACTIONS: ClassVar[tuple[Action, ...]] = ()

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

    def do(self, name: str) -> None:
        """Carry out one of the tab's own actions."""
        getattr(self, f"do_{name}")()

    def move(self, by: int) -> None:
        """Move the selection, if the tab has one."""
