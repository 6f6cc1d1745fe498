"""From raw readings of devices to one row a minute, which is kept."""

from __future__ import annotations

import sqlite3

_MEASURES = (
    "utilisation",
    "memory_used",
    "power_w",
    "temperature_c",
    "sm_clock_mhz",
    "power_limit_w",
    "other_memory",
    "pcie_rx_bytes_s",
    "pcie_tx_bytes_s",
)
"""Columns of which mean, least and most are kept."""
_LEVELS = ("memory_total", "processes", "other_processes", "ecc_corrected", "ecc_uncorrected")
"""Columns of which the most is kept: counters and limits."""


def _statement() -> str:
    picks = {"n": "count(*)", "answered_n": "sum(status IN ('ok', 'host'))"}
    picks["throttled"] = "avg(throttle <> '')"
    picks["throttle"] = "group_concat(DISTINCT nullif(throttle, ''))"
    for name in _MEASURES:
        for how, function in (("mean", "avg"), ("min", "min"), ("max", "max")):
            picks[f"{name}_{how}"] = f"{function}({name})"
    picks |= {f"{name}_max": f"max({name})" for name in _LEVELS}
    return (
        f"INSERT INTO gpu_minutes (gpu_uuid, bucket, host, {', '.join(picks)})"
        f" SELECT gpu_uuid, CAST(at / 60 AS INTEGER), host, {', '.join(picks.values())}"
        " FROM gpu_samples WHERE at >= ? AND at < ? GROUP BY 1, 2, 3"
        " ON CONFLICT (gpu_uuid, bucket, host) DO NOTHING"
    )


_FOLD = _statement()


class Minutes:
    """Folds each minute once, as soon as it is whole.

    After a clock was set back, minutes that are there already stay as they are and new ones are
    folded all the same.
    """

    def __init__(self) -> None:
        self._next: int | None = None

    def fold(self, connection: sqlite3.Connection, now: float) -> int:
        """Fold the whole minutes before ``now``; return the first that is not over.

        Runs inside the caller's transaction; once that is through, :meth:`committed` says so.
        """
        minute = int(now // 60)
        first = self._next
        if first is None or first > minute:
            (first,) = connection.execute(
                "SELECT coalesce(max(bucket) + 1, 0) FROM gpu_minutes WHERE bucket < ?", (minute,)
            ).fetchone()
        connection.execute(_FOLD, (first * 60, minute * 60))
        return minute

    def committed(self, minute: int) -> None:
        """Begin with ``minute`` the next time."""
        self._next = minute
