"""One machine of several in a line: what it is called, whether it is in use, how it did."""

from __future__ import annotations

from ctv_tui.data import safe, words
from ctv_tui.data.hosts import HostUse
from ctv_tui.data.safe_text import cells, whole_words
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, Piece, first_that_fits, joined, line, width_of

_NAME_MOST = 24
_STATE_ROLES: dict[str, Role] = {"set aside": "warning", "left": "error"}
_DOT: Piece = (" · ", "dim")
_LEAST_REASON = 12


def name_of(one: HostUse) -> str:
    """Return a machine's name, cut where it is very long."""
    return whole_words(safe(one.host.name), _NAME_MOST)


def host_line(one: HostUse, width: int, *, brief: bool = False) -> Line:
    """Return what stands above a machine's rows; ``brief`` is without address, use and clock.

    What is least important goes first where there is no room; of a machine that is not in use
    that is the reason's end.
    """
    name = line(" ", (name_of(one), "strong"))
    workers = line((_workers(one), "dim"))
    idle = line((f"idle {words.per_cent(one.idle)}", "wait")) if one.idle is not None else ()
    if one.host.state in _STATE_ROLES:
        start = name if brief else joined([name, _address(one)], " ")
        if width_of(start) + _LEAST_REASON > width:
            start = name
        told = joined([start, _out_of_use(one, width - width_of(start) - 3)], _DOT)
        return first_that_fits(width, (joined([told, idle], _DOT), told))
    state = line((one.host.state, "dim")) if one.host.state else ()
    if brief:
        return first_that_fits(width, (joined(p, _DOT) for p in ([name, workers, idle], [name])))
    use = line((f"use {words.per_cent(_share(one.use))}", "good")) if one.use is not None else ()
    full = joined([name, _address(one)], " ")
    return first_that_fits(
        width,
        (
            joined([full, state, workers, use, idle, _clock(one)], _DOT),
            joined([name, state, workers, use, idle, _clock(one)], _DOT),
            joined([name, workers, use, idle, _clock(one)], _DOT),
            joined([name, workers, use, idle], _DOT),
            joined([name, use, idle], _DOT),
            name,
        ),
    )


def out_of_use(one: HostUse, width: int) -> Line:
    """Return why a machine is not used, or nothing if it is."""
    return _out_of_use(one, width) if one.host.state in _STATE_ROLES else ()


def _out_of_use(one: HostUse, width: int) -> Line:
    host = one.host
    assert host.state is not None
    text: str = host.state
    if host.silent_s is not None:
        text += f" after {words.small_seconds(host.silent_s)} of silence"
    reason = safe(host.reason or "")
    if reason and width - cells(text) - 2 < min(_LEAST_REASON, cells(reason)):
        text = host.state
    room = width - cells(text) - 2
    if reason and room > 1:
        text += f": {whole_words(reason, room)}"
    return line((text, _STATE_ROLES[host.state]))


def _address(one: HostUse) -> Line:
    known = safe(one.host.address or "")
    return line((whole_words(known, _NAME_MOST), "dim")) if known != name_of(one) else ()


def _workers(one: HostUse) -> str:
    return f"{one.host.workers or 'no'} worker{'' if one.host.workers == 1 else 's'}"


def _clock(one: HostUse) -> Line:
    host = one.host
    if host.clock_offset_s is None:
        return line(("clock not measured", "dim")) if host.state else ()
    sign = "−" if host.clock_offset_s < 0 else "+"
    text = f"clock {sign}{words.small_seconds(abs(host.clock_offset_s))}"
    if host.clock_error_s is not None:
        text += f" ± {words.small_seconds(host.clock_error_s)}"
    return line((text, "dim"))


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
