"""The machine in a few rows: utilisation, memory, power and wait of each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctv_tui.data import safe, words
from ctv_tui.data.safe_text import cells, pad, shorten
from ctv_tui.data.snapshot import Device, Timeline
from ctv_tui.data.standing import Straggler, straggler, waits
from ctv_tui.widgets.lines import Line, bar, centred, framed, line
from ctv_tui.widgets.painted import Painted

_LEAST_BAR, _MOST_BAR = 4, 24
_TROUBLE_FIRST = {"lost": 0, "error": 1}


class DeviceStrip(Painted):
    """One row per device; what does not fit is counted."""

    def __init__(self, *, id: str, more: str = "") -> None:
        super().__init__(id=id)
        self._more = more
        self._devices: tuple[Device, ...] = ()
        self._timelines: tuple[Timeline, ...] = ()

    def show(self, devices: tuple[Device, ...], timelines: tuple[Timeline, ...]) -> None:
        """Show the last readings and who waited in the newest finished evaluation."""
        if devices is not self._devices or timelines is not self._timelines or not self._lines:
            self._devices, self._timelines = devices, timelines
            self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every device."""
        return 2 + max(1, len(self._devices))

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed rows."""
        body = strip_rows(
            self._devices, waits(self._timelines), width - 2, height - 2, more=self._more
        )
        title = line(("GPUs", "title"))
        if self._devices and all(device.is_host for device in self._devices):
            title = line(("workers", "title"), (" (no GPU)", "dim"))
        rights = _straggler_words(straggler(self._timelines))
        return framed(body, width, height, title=title, rights=rights)


def _straggler_words(found: Straggler | None) -> list[Line]:
    if found is None:
        return []
    who, seconds = safe(found.device), words.small_seconds(found.waited_s)
    named = line(("straggler: ", "dim"), (who, "wait"))
    return [
        line(*named, (f", others waited {seconds} in {found.mode} {found.step}", "dim")),
        line(*named, (f", others waited {seconds}", "dim")),
        named,
    ]


def strip_rows(
    devices: Sequence[Device],
    waited: Mapping[str, float],
    width: int,
    height: int,
    *,
    more: str = "",
) -> list[Line]:
    """Return one row per device: name, utilisation, memory, power, share of waiting."""
    if not devices:
        return centred("no device readings yet", width, height)
    room = len(devices) if len(devices) <= height else height - 1
    # A device in trouble is never among those that are only counted.
    order = sorted(range(len(devices)), key=lambda n: (_TROUBLE_FIRST.get(devices[n].status, 2), n))
    shown = [devices[n] for n in sorted(order[:room])]
    names = [_name(device) for device in shown]
    name_width = min(20, max(map(cells, names), default=0)) + 1
    texts = [_numbers(device, waited) for device in shown]
    widths = [max((cells(row[column]) for row in texts), default=0) for column in range(4)]
    while sum(w + 2 for w in widths if w) + name_width + _LEAST_BAR + 2 > width and widths[1]:
        widths[2 if widths[2] else 1] = 0  # power goes before memory
    bar_width = width - 2 - name_width - sum(w + 2 for w in widths if w)
    bar_width = max(_LEAST_BAR, min(_MOST_BAR, bar_width))
    rows = []
    for device, name, row in zip(shown, names, texts, strict=True):
        head = line(" ", pad(name, name_width))
        if device.status not in ("ok", "host"):
            reason = shorten(safe(device.reason or device.status), width - name_width - 2)
            rows.append(line(*head, (f"{device.status}: {reason}", "error")))
            continue
        share = (device.utilisation or 0.0) / 100
        cells_of = [
            (pad(text, w + 2, right=True), "wait" if column == 3 else "")
            for column, (text, w) in enumerate(zip(row, widths, strict=True))
            if w
        ]
        rows.append(line(*head, (bar(share, bar_width), "good"), *cells_of))  # type: ignore[arg-type]
    if len(shown) < len(devices):
        rows.append(line((f" … {len(devices) - len(shown)} more{more}", "dim")))
    return rows[:height]


def _name(device: Device) -> str:
    workers = "+".join(safe(worker) for worker in device.workers)
    return workers or ("" if device.is_host else "unused ") + safe(device.gpu_uuid)[:12]


def _numbers(device: Device, waited: Mapping[str, float]) -> list[str]:
    busy = "–" if device.utilisation is None else f"{device.utilisation:.0f} %"
    power = "" if device.power_w is None else f"{device.power_w:.0f} W"
    memory = "" if device.memory_used is None else words.size(device.memory_used)
    shares = [waited[worker] for worker in device.workers if worker in waited]
    wait = f"wait {words.per_cent(max(shares))}" if shares else ""
    return [busy, memory, power, wait]
