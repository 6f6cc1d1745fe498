"""Who waits for whom? Time lines, devices and the balance of each evaluation."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.events import Resize

from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.devices import BalanceTable, DeviceTable
from ctv_tui.widgets.timeline import TimelineView

_LEAST_BALANCE_ROWS = 5


class Gpus(Pane):
    """Time lines above devices above the balance of evaluations."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._timeline = TimelineView(id="timeline")
        self._devices = DeviceTable(id="devices")
        self._balance = BalanceTable(id="balance")

    def compose(self) -> ComposeResult:
        """Stack the three."""
        yield self._timeline
        yield self._devices
        yield self._balance

    def on_resize(self, event: Resize) -> None:
        """Share the rows anew."""
        self._share_rows()

    def update_view(self) -> None:
        """Hand each widget its part."""
        if self._snapshot is None:
            return
        self._timeline.show(self._snapshot.timelines)
        self._devices.show(self._snapshot.devices)
        self._balance.show(self._snapshot.evaluations)
        self._share_rows()

    def _share_rows(self) -> None:
        """Give time lines and devices what they want, as far as something is left for the rest."""
        room = self.size.height - _LEAST_BALANCE_ROWS
        if room <= 0:
            return
        lanes, devices = self._timeline.rows_wanted, self._devices.rows_wanted
        if lanes + devices > room:
            lanes = max(min(lanes, room // 2), room - devices)
            devices = room - lanes
        self._timeline.styles.height = lanes
        self._devices.styles.height = devices

    def move(self, by: int) -> None:
        """Scroll the evaluations."""
        self._balance.scroll_rows(by)
