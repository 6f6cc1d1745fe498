"""The devices: how busy each was in its last minute, what it holds, and how long it waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ctv_tui.data import safe, words
from ctv_tui.data.hosts import HostUse, by_host, under_heading
from ctv_tui.data.safe_text import cells, pad, whole_words
from ctv_tui.data.snapshot import Device, Missing
from ctv_tui.theme import Role
from ctv_tui.widgets.host_line import host_line
from ctv_tui.widgets.lines import (
    RISING,
    Line,
    Piece,
    centred,
    first_that_fits,
    framed,
    line,
    more_below,
)
from ctv_tui.widgets.scrolled import Scrolled

Waits = Mapping[tuple[str, str], float | None]
"""Share of its time that a device waited, by host and UUID."""

SILENT_AFTER_S = 5.0
_HISTORY_MOST = 60
_UTIL_WIDTH = 7
_GAP = "·"
_MARKS: dict[Missing, str] = {"unsupported": "n/a", "failed": "?", "unknown": "–"}
_MARK_NOTES = (("unsupported", "n/a: this GPU has none"), ("failed", "?: could not be read now"))
_SHORT_MARK_NOTES = (("unsupported", "n/a: has none"), ("failed", "?: not now"))
_STATUS_WORDS = {"lost": "lost", "error": "error", "no driver": "none"}
_NVML_NOTES: tuple[str, ...] = (
    "utilisation (NVML): a kernel ran, and be it one that only spins · wait: nothing to do,"
    " by the engine's time stamps",
    "utilisation: some kernel ran, even if it spins · wait: by engine's time stamps",
    "utilisation: a kernel ran · wait: by time stamps",
)
_HOST_NOTES: tuple[str, ...] = (
    "no NVIDIA GPU: each worker's own process, its CPU time in per cent of one core",
    "no NVIDIA GPU: each worker's own process",
)


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
    _Column("others", 9, 7),
    _Column("wait", 8, 1),
)


class DeviceTable(Scrolled):
    """Utilisation with its last minute, memory, power, temperature, clock and wait per device."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._devices: tuple[Device, ...] = ()
        self._waits: Waits = {}
        self._now = 0.0
        self._hosts: tuple[HostUse, ...] = ()

    def show(
        self,
        devices: tuple[Device, ...],
        waits: Waits,
        now: float,
        hosts: tuple[HostUse, ...] = (),
    ) -> None:
        """Show ``devices``, by ``hosts`` if there are any.

        One whose reading is long before ``now`` is silent.
        """
        self._devices, self._waits, self._now, self._hosts = devices, waits, now, hosts
        self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every device."""
        return 4 + max(1, len(self._devices) + len(self._hosts))

    @property
    def overflows(self) -> bool:
        """Whether there are more devices than rows for them."""
        return self.size.height < self.rows_wanted

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table with its footnote."""
        devices, hosts = self._devices, self._hosts
        room, rows = height - 4, len(devices) + len(hosts)
        first = self.clamped(rows, room)
        body = device_rows(devices, width - 2, height - 3, self._waits, self._now, first, hosts)
        body = body[: height - 3]
        if devices:
            body += [()] * (height - 3 - len(body))
            body.append(footnote(devices, width - 2))
        above = line((f"{first} above ↑ ", "dim")) if first else ()
        more = line(*above, *more_below(rows - first, room))
        return framed(body, width, height, title=line(("devices", "title")), rights=[more])


def footnote(devices: Sequence[Device], width: int) -> Line:
    """Return what the numbers mean, with the marks of missing values if there are any."""
    notes = _HOST_NOTES if any(device.is_host for device in devices) else _NVML_NOTES
    kinds = {kind for device in devices for _, kind in device.missing if not device.is_host}
    marks = [
        [text for kind, text in legend if kind in kinds]
        for legend in (_MARK_NOTES, _SHORT_MARK_NOTES)
    ]
    tries = [" · ".join([*marks[0], note]) for note in notes]
    tries.append(" · ".join([*marks[1], notes[-1]]))
    return first_that_fits(width, (line((f" {text}", "dim")) for text in tries))


def device_rows(
    devices: Sequence[Device],
    width: int,
    height: int,
    waits: Waits | None = None,
    now: float = 0.0,
    first: int = 0,
    hosts: Sequence[HostUse] = (),
) -> list[Line]:
    """Return the table's head and one row per device from the ``first`` on, by ``hosts`` if any.

    Columns are those that fit all devices, so that nothing moves while the table scrolls.
    """
    if not devices:
        told = [host_line(one, width) for one in hosts][first : first + height]
        return told or centred("no device readings yet", width, height)
    names = [_name(device) for device in devices]
    name_width = min(28, max(map(cells, names))) + 2
    values = [_values(device, waits or {}) for device in devices]
    columns = _fitting(width - name_width - _UTIL_WIDTH - 14, values)
    spark_width = width - name_width - _UTIL_WIDTH - 3 - sum(c.width for c in columns)
    spark_width = max(8, min(_HISTORY_MOST, spark_width))
    head = pad(" ", name_width) + pad("util", _UTIL_WIDTH, right=True) + "  "
    head += pad("last 60 s" if spark_width >= 9 else "60 s", spark_width)
    head += "".join(pad(c.head, c.width, right=True) for c in columns)
    rows = [line((head, "dim"))]
    known = {id(d): (name, value) for d, name, value in zip(devices, names, values, strict=True)}
    for device in under_heading(by_host(hosts, devices), first)[: height - 1]:
        if isinstance(device, HostUse):
            rows.append(host_line(device, width))
            continue
        name, value = known[id(device)]
        start = line(pad(f" {name}", name_width))
        trouble = _trouble(device, now)
        history = (*device.history, *_silence(device, now))[-_HISTORY_MOST:]
        if trouble:
            word, why = trouble
            left = width - name_width - _UTIL_WIDTH - 2 - spark_width - 2
            rows.append(
                line(
                    *start,
                    (pad(word, _UTIL_WIDTH, right=True), "error"),
                    "  ",
                    *(heat(history, spark_width) if left >= cells(why) else ()),
                    "  " if left >= cells(why) else "",
                    (whole_words(why, left if left >= cells(why) else left + spark_width), "error"),
                )
            )
            continue
        rows.append(
            line(
                *start,
                (pad(value["util"], _UTIL_WIDTH, right=True), _role_of("util", device)),
                "  ",
                *heat(history, spark_width),
                *(
                    (pad(value[c.head], c.width, right=True), _role_of(c.head, device))
                    for c in columns
                ),
            )
        )
    return rows


def _trouble(device: Device, now: float) -> tuple[str, str] | None:
    """Return a word and a reason if a device has no values at all, or none that are fresh."""
    word = _STATUS_WORDS.get(device.status)
    reason = safe(device.reason or device.status)
    if word is not None:
        return word, f"no driver: {reason}" if word == "none" else reason
    if device.status not in ("ok", "host"):
        return "–", reason
    if now - device.at > SILENT_AFTER_S:
        return "silent", f"no reading for {words.duration(round(now - device.at))}"
    return None


def _silence(device: Device, now: float) -> tuple[None, ...]:
    """Return a gap for every second since a silent device was read."""
    seconds = round(now - device.at)
    return (None,) * min(seconds, _HISTORY_MOST) if seconds > SILENT_AFTER_S else ()


def heat(history: Sequence[float | None], width: int) -> Line:
    """Return utilisation as bars, the newest at the right; what is not known is a dot.

    More values than columns are joined to each column's mean. Below half the bars change colour.
    """
    columns = min(width, len(history))
    row: list[Piece] = [(" " * (width - columns), "")] if columns < width else []
    for column in range(columns):
        start, end = (n * len(history) // columns for n in (column, column + 1))
        known = [value for value in history[start:end] if value is not None]
        if known:
            mean = max(0.0, min(100.0, sum(known) / len(known)))
            cell: Piece = (RISING[max(1, round(mean / 12.5))], "good" if mean >= 50 else "wait")
        else:
            cell = (_GAP, "dim")
        if row and row[-1][1] == cell[1]:
            row[-1] = (row[-1][0] + cell[0], cell[1])
        else:
            row.append(cell)
    return tuple(row)


def _fitting(room: int, values: Sequence[Mapping[str, str]]) -> list[_Column]:
    """Return the columns that have a value and fit, in their order."""
    known = []
    for column in _COLUMNS:
        longest = max(cells(value[column.head]) for value in values)
        if any(value[column.head] != "–" for value in values):
            known.append(replace(column, width=max(column.width, longest + 2)))
    chosen: list[_Column] = []
    for column in sorted(known, key=lambda c: c.rank):
        if column.width <= room:
            chosen.append(column)
            room -= column.width
    return [column for column in known if column in chosen]


def _name(device: Device) -> str:
    workers = "+".join(safe(worker) for worker in device.workers)
    uuid = safe(device.gpu_uuid)
    if device.is_host:
        return workers or uuid
    model = safe(device.model or "").removeprefix("NVIDIA ")
    return f"{workers or _unused(device)} {model or uuid[:12]}"


def _unused(device: Device) -> str:
    return "unused" if device.number is None else f"unused {device.number}"


def _values(device: Device, waits: Waits) -> dict[str, str]:
    missing = {field: _MARKS[kind] for field, kind in device.missing}

    def shown(field: str, value: float | None, unit: str) -> str:
        return missing.get(field, "–") if value is None else f"{value:.0f}{unit}"

    used, total = device.memory_used, device.memory_total
    memory = missing.get("memory_used", "–")
    if used is not None:
        memory = f"{used / 1e9:.1f}/{total / 1e9:.1f} GB" if total else words.size(used)
    power = shown("power_w", device.power_w, " W")
    if device.power_w is not None and device.power_limit_w:
        power = f"{device.power_w:.0f}/{device.power_limit_w:.0f} W"
    throttle = missing.get("throttle", "–") if device.throttle is None else device.throttle or "–"
    return {
        "util": shown("utilisation", device.utilisation, " %"),
        "memory": memory,
        "power": power,
        "temp": shown("temperature_c", device.temperature_c, " °C"),
        "clock": shown("sm_clock_mhz", device.sm_clock_mhz, " MHz"),
        "throttle": whole_words(safe(throttle), 22),
        "others": words.size(device.other_memory) if device.other_memory else "–",
        "wait": words.per_cent(waits.get((device.host, device.gpu_uuid))),
    }


def _role_of(head: str, device: Device) -> Role:
    if head == "throttle" and device.throttle:
        return "warning"
    return "wait" if head == "wait" else ""
