"""The read side: opens the database read-only, polls it, turns rows into frozen snapshots.

Needs the standard library and ``ctv_engine.store`` only, so scripts can use it without a terminal.
"""

from __future__ import annotations

from ctv_tui.data import words
from ctv_tui.data.document import FORMAT, as_json
from ctv_tui.data.safe_text import safe
from ctv_tui.data.snapshot import Snapshot
from ctv_tui.data.tail import POLL_S, Tail, follow, read_snapshot
from ctv_tui.data.text import plain_text

__all__ = [
    "FORMAT",
    "POLL_S",
    "Snapshot",
    "Tail",
    "as_json",
    "follow",
    "plain_text",
    "read_snapshot",
    "safe",
    "words",
]
