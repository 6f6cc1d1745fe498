"""Who waits for whom? Time lines, devices and the balance of each evaluation."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.events import Resize

from ctv_tui.data import Snapshot
from ctv_tui.data.balance import parts_of, wait_share
from ctv_tui.data.hosts import grouped
from ctv_tui.screens.actions import Action
from ctv_tui.screens.chosen import checkpoint_actions, choose_checkpoint
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.balance import BalanceTable
from ctv_tui.widgets.devices import DeviceTable
from ctv_tui.widgets.scrolled import Scrolled
from ctv_tui.widgets.timeline import TimelineView

_LEAST_BALANCE_ROWS = 5
_LEAST_DEVICE_ROWS = 8


class Gpus(Pane):
    """Time lines above devices above the balance of evaluations."""

    ACTIONS: ClassVar[tuple[Action, ...]] = checkpoint_actions("gpus")

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
        snapshot = self._snapshot
        if snapshot is None:
            return
        timelines = snapshot.timelines
        hosts = grouped(snapshot.hosts, snapshot.devices, timelines)
        self._timeline.show(timelines, hosts)
        parts = parts_of(timelines)
        waits = {(d.host, d.gpu_uuid): wait_share(d, parts) for d in snapshot.devices}
        self._devices.show(snapshot.devices, waits, _latest(snapshot), hosts)
        chosen = timelines[0].checkpoint_id if timelines else None
        self._balance.show(snapshot.evaluations, chosen)
        self._share_rows()

    def _share_rows(self) -> None:
        """Give time lines and devices what they want, as far as something is left for the rest.

        With so many workers that both must scroll, the table of evaluations gives way.
        """
        width, height = self.size
        lanes, devices = self._timeline.rows_wanted(width), self._devices.rows_wanted
        room = height - _LEAST_BALANCE_ROWS
        if room <= 0:
            return
        crowded = lanes + devices > room and room - lanes < min(devices, _LEAST_DEVICE_ROWS)
        self._balance.display = not crowded
        if crowded:
            room = height
        if lanes + devices > room:
            lanes = max(min(lanes, room // 2), room - devices)
            devices = room - lanes
        self._timeline.styles.height = lanes
        self._devices.styles.height = devices

    def move(self, by: int) -> None:
        """Scroll lanes and devices together, or the evaluations where those are all in view."""
        longer: list[Scrolled] = [w for w in (self._timeline, self._devices) if w.overflows]
        for widget in longer or [self._balance]:
            widget.scroll_rows(by)

    def do_older(self) -> None:
        """Show the checkpoint before."""
        choose_checkpoint(self._snapshot, self._wishes, -1)

    def do_newer(self) -> None:
        """Show the checkpoint after."""
        choose_checkpoint(self._snapshot, self._wishes, 1)


def _latest(snapshot: Snapshot) -> float:
    """Return the latest instant that is known of: readings are old by comparison with it only.

    A clock that was set back since leaves readings from the future, which are not silent.
    """
    beat = snapshot.engine.heartbeat_at if snapshot.engine else 0.0
    return max([beat, *(device.at for device in snapshot.devices)])
