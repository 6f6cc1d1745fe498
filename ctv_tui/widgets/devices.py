"""Tables of the machine: devices with their last minute, and the balance of each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ctv_tui.data import safe, words
from ctv_tui.data.safe_text import cells, pad, shorten
from ctv_tui.data.snapshot import Device, Evaluation
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, centred, framed, line, more_below, sparkline
from ctv_tui.widgets.painted import Painted

_HISTORY_MOST = 60


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the device table; the least important goes first where there is no room."""

    head: str
    width: int
    rank: int


_COLUMNS = (
    _Column("memory", 17, 2),
    _Column("power", 7, 3),
    _Column("temp", 6, 4),
    _Column("clock", 9, 6),
    _Column("throttle", 11, 5),
)


class DeviceTable(Painted):
    """Utilisation with its last minute, memory, power, temperature per device."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._devices: tuple[Device, ...] = ()

    def show(self, devices: tuple[Device, ...]) -> None:
        """Show ``devices``."""
        if devices is not self._devices or not self._lines:
            self._devices = devices
            self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every device."""
        return 3 + max(1, len(self._devices))

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table."""
        title = line(("devices", "title"))
        right = line(("utilisation: a kernel was running, not how busy it was", "dim"))
        body = device_rows(self._devices, width - 2, height - 2)
        if any(device.is_host for device in self._devices):
            right = line(("no NVIDIA GPU: each worker's own process", "dim"))
        return framed(body, width, height, title=title, rights=[right])


def device_rows(devices: Sequence[Device], width: int, height: int) -> list[Line]:
    """Return the table's head and one row per device."""
    if not devices:
        return centred("no device readings yet", width, height)
    names = [_name(device) for device in devices]
    name_width = min(26, max(len(name) for name in names)) + 2
    columns = _fitting(width - name_width - 8 - 12, devices)
    spark_width = width - name_width - 8 - 2 - sum(c.width for c in columns)
    spark_width = max(8, min(_HISTORY_MOST, spark_width))
    head = pad(" ", name_width) + pad("util", 7, right=True) + "  "
    head += pad("last 60 s" if spark_width >= 9 else "60 s", spark_width)
    head += "".join(pad(c.head, c.width, right=True) for c in columns)
    rows = [line((head, "dim"))]
    room = height - 1
    shown = devices if len(devices) <= room else devices[: room - 1]
    for device, name in zip(shown, names, strict=False):
        values = _values(device)
        texts = [pad(values[c.head], c.width, right=True) for c in columns]
        if device.status not in ("ok", "host"):
            reason = shorten(safe(device.reason or device.status), width - name_width)
            rows.append(line(pad(f" {name}", name_width), (f"  {reason}", "error")))
            continue
        rows.append(
            line(
                pad(f" {name}", name_width),
                pad(_whole(device.utilisation, " %"), 7, right=True),
                "  ",
                (sparkline(device.history, spark_width), "good"),
                *((text, _role_of(c.head, device)) for c, text in zip(columns, texts, strict=True)),
            )
        )
    if len(shown) < len(devices):
        rows.append(line((f" … {len(devices) - len(shown)} more devices", "dim")))
    return rows


def _fitting(room: int, devices: Sequence[Device]) -> list[_Column]:
    """Return the columns that have a value and fit, in their order."""
    values = [_values(device) for device in devices]
    known = []
    for column in _COLUMNS:
        longest = max(cells(v[column.head]) for v in values)
        if any(v[column.head] != "–" for v in values):
            known.append(replace(column, width=max(column.width, longest + 2)))
    chosen: list[_Column] = []
    for column in sorted(known, key=lambda c: c.rank):
        if column.width <= room:
            chosen.append(column)
            room -= column.width
    return [c for c in known if c in chosen]


def _name(device: Device) -> str:
    workers = "+".join(safe(worker) for worker in device.workers)
    uuid = safe(device.gpu_uuid)
    if device.is_host:
        return workers or uuid
    return f"{workers or 'unused'} {uuid[:12]}"


def _values(device: Device) -> dict[str, str]:
    used, total = device.memory_used, device.memory_total
    memory = "–"
    if used is not None:
        memory = words.size(used)
        if total:
            memory = f"{used / 1e9:.1f}/{total / 1e9:.1f} GB"
    return {
        "memory": memory,
        "power": _whole(device.power_w, " W"),
        "temp": _whole(device.temperature_c, " °C"),
        "clock": _whole(device.sm_clock_mhz, " MHz"),
        "throttle": shorten(safe(device.throttle or "–"), 24),
    }


def _role_of(head: str, device: Device) -> Role:
    return "warning" if head == "throttle" and device.throttle else ""


def _whole(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.0f}{unit}"


class BalanceTable(Painted):
    """Idle fraction and makespan of every evaluation, newest first."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._evaluations: tuple[Evaluation, ...] = ()
        self._first = 0

    def show(self, evaluations: tuple[Evaluation, ...]) -> None:
        """Show those of ``evaluations`` that have begun."""
        if evaluations is not self._evaluations or not self._lines:
            self._evaluations = evaluations
            self.redraw()

    def scroll_rows(self, by: int) -> None:
        """Move the table by rows."""
        self._first = max(0, self._first + by)
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table."""
        begun = [e for e in self._evaluations if e.started_at is not None][::-1]
        self._first = max(0, min(self._first, len(begun) - (height - 3)))
        body = balance_rows(begun[self._first :], width - 2, height - 2)
        title = line(("balance of evaluations", "title"))
        more = more_below(len(begun) - self._first, height - 3)
        return framed(body, width, height, title=title, rights=[more])


def balance_rows(evaluations: Sequence[Evaluation], width: int, height: int) -> list[Line]:
    """Return the table's head and one row per evaluation."""
    if not evaluations:
        return centred("no evaluation has begun", width, height)
    head = f" {'step':>9}  {'mode':<7}{'items':>13}{'makespan':>11}{'/ideal':>9}{'idle':>9}  "
    gauge = max(0, min(40, width - len(head) - 1))
    rows = [line((head + ("share of worker time that waited" if gauge >= 32 else ""), "dim"))]
    for e in evaluations[: height - 1]:
        items = f"{e.done + e.failed}/{e.planned}"
        ratio = f"{e.makespan_s / e.ideal_s:.3f}" if e.makespan_s and e.ideal_s else "–"
        makespan = words.small_seconds(e.makespan_s) if e.makespan_s is not None else e.state
        share = e.idle_fraction or 0.0
        hatch = "╱" * (round(share * gauge) or (1 if share > 0.002 and gauge else 0))
        rows.append(
            line(
                f" {e.step:>9}  ",
                (f"{e.mode:<7}", e.mode),
                f"{items:>13}{makespan:>11}{ratio:>9}{words.per_cent(e.idle_fraction):>9}  ",
                (hatch, "wait"),
            )
        )
    return rows
