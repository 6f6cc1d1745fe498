"""The machine in a few rows: utilisation, memory, power and wait of each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctv_tui.data import safe, words
from ctv_tui.data.hosts import HostUse, by_host
from ctv_tui.data.safe_text import cells, pad, shorten
from ctv_tui.data.snapshot import Device, Timeline
from ctv_tui.data.standing import Straggler, straggler, waits
from ctv_tui.theme import Role
from ctv_tui.widgets.host_line import host_line, name_of, out_of_use
from ctv_tui.widgets.lines import Line, bar, centred, framed, line
from ctv_tui.widgets.painted import Painted

_LEAST_BAR, _MOST_BAR = 4, 24
_TROUBLE_FIRST = {"lost": 0, "error": 1}
_HOST_ROLES: tuple[Role, ...] = ("", "error", "dim", "wait")


class DeviceStrip(Painted):
    """One row per device; what does not fit is counted."""

    def __init__(self, *, id: str, more: str = "") -> None:
        super().__init__(id=id)
        self._more = more
        self._devices: tuple[Device, ...] = ()
        self._timelines: tuple[Timeline, ...] = ()
        self._hosts: tuple[HostUse, ...] = ()

    def show(
        self,
        devices: tuple[Device, ...],
        timelines: tuple[Timeline, ...],
        hosts: tuple[HostUse, ...] = (),
    ) -> None:
        """Show the last readings and who waited in the newest finished evaluation."""
        same = devices is self._devices and timelines is self._timelines
        if not same or hosts != self._hosts or not self._lines:
            self._devices, self._timelines, self._hosts = devices, timelines, hosts
            self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every device."""
        return 2 + max(1, len(self._devices) + len(self._hosts))

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed rows."""
        room, waited = (width - 2, height - 2), waits(self._timelines)
        if self._hosts:
            body = rows_by_host(self._devices, self._hosts, waited, *room, more=self._more)
        else:
            body = strip_rows(self._devices, waited, *room, more=self._more)
        title = line(("GPUs", "title"))
        if self._devices and all(device.is_host for device in self._devices):
            title = line(("workers", "title"), (" (no GPU)", "dim"))
        if self._hosts:
            title = line(*title, (f" · {len(self._hosts)} hosts", "dim"))
        rights = _straggler_words(straggler(self._timelines), bool(self._hosts))
        return framed(body, width, height, title=title, rights=rights)


def _straggler_words(found: Straggler | None, with_host: bool) -> list[Line]:
    if found is None:
        return []
    who = f"{safe(found.host)} {safe(found.device)}" if with_host else safe(found.device)
    seconds = words.small_seconds(found.waited_s)
    named = line(("straggler: ", "dim"), (who, "wait"))
    return [
        line(*named, (f", others waited {seconds} in {found.mode} {found.step}", "dim")),
        line(*named, (f", others waited {seconds}", "dim")),
        named,
    ]


def strip_rows(
    devices: Sequence[Device],
    waited: Mapping[tuple[str, str], float],
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


def rows_by_host(
    devices: Sequence[Device],
    hosts: Sequence[HostUse],
    waited: Mapping[tuple[str, str], float],
    width: int,
    height: int,
    *,
    more: str = "",
) -> list[Line]:
    """Return devices under their machines; where they don't all fit, one row per machine."""
    if len(devices) + len(hosts) <= height:
        rows = iter(strip_rows(by_device(hosts, devices), waited, width, len(devices)))
        return [
            host_line(row, width) if isinstance(row, HostUse) else next(rows)
            for row in by_host(hosts, devices)
        ]
    room = len(hosts) if len(hosts) <= height else height - 1
    # A machine that is out of use is never among those that are only counted.
    order = sorted(range(len(hosts)), key=lambda n: (hosts[n].host.state in (None, "joined"), n))
    shown = [hosts[n] for n in sorted(order[:room])]
    name_width = min(20, max(cells(name_of(one)) for one in shown)) + 1
    texts = [_host_numbers(one, devices) for one in shown]
    widths = [max(cells(row[column]) for row in texts) for column in range(4)]
    while sum(w + 2 for w in widths if w) + name_width + _LEAST_BAR + 2 > width and widths[2]:
        widths[2] = 0
    bar_width = width - 2 - name_width - sum(w + 2 for w in widths if w)
    bar_width = max(_LEAST_BAR, min(_MOST_BAR, bar_width))
    found = []
    for one, row in zip(shown, texts, strict=True):
        head = line(" ", pad(shorten(name_of(one), name_width - 1), name_width))
        told = out_of_use(one, width - name_width - 2)
        if not told:
            told = line((bar((one.use or 0.0) / 100, bar_width), "good"))
            for text, w, role in zip(row, widths, _HOST_ROLES, strict=True):
                told = line(*told, (pad(text, w + 2, right=True), role)) if w else told
        found.append(line(*head, *told))
    if len(shown) < len(hosts):
        found.append(line((f" … {len(hosts) - len(shown)} more hosts{more}", "dim")))
    return found[:height]


def by_device(hosts: Sequence[HostUse], devices: Sequence[Device]) -> list[Device]:
    """Return the devices in the order of their machines."""
    return [row for row in by_host(hosts, devices) if isinstance(row, Device)]


def _host_numbers(one: HostUse, devices: Sequence[Device]) -> list[str]:
    """Return use, devices in trouble, workers, idle fraction."""
    own = [device for device in devices if device.host == one.host.name]
    lost = sum(device.status in _TROUBLE_FIRST for device in own)
    count = one.host.workers
    return [
        "–" if one.use is None else f"{one.use:.0f} %",
        f"{lost} lost" if lost else "",
        f"{count or 'no'} worker{'' if count == 1 else 's'}",
        f"idle {words.per_cent(one.idle)}" if one.idle is not None else "",
    ]


def _name(device: Device) -> str:
    workers = "+".join(safe(worker) for worker in device.workers)
    return workers or ("" if device.is_host else "unused ") + safe(device.gpu_uuid)[:12]


def _numbers(device: Device, waited: Mapping[tuple[str, str], float]) -> list[str]:
    busy = "–" if device.utilisation is None else f"{device.utilisation:.0f} %"
    power = "" if device.power_w is None else f"{device.power_w:.0f} W"
    memory = "" if device.memory_used is None else words.size(device.memory_used)
    keys = [(device.host, worker) for worker in device.workers]
    shares = [waited[key] for key in keys if key in waited]
    wait = f"wait {words.per_cent(max(shares))}" if shares else ""
    return [busy, memory, power, wait]
