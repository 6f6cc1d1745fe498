"""What the terminal can show."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from ctv_tui.doctor import Finding

LEAST = (60, 16)
COMFORTABLE = (80, 24)


def findings(
    environment: Mapping[str, str] = os.environ,
    *,
    size: tuple[int, int] | None = None,
    encoding: str | None = None,
    interactive: bool | None = None,
) -> list[Finding]:
    """Look at size, colours and characters."""
    if interactive is None:
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
    name = environment.get("TERM", "")
    if not interactive:
        text = "none here: tables and JSON are printed, the dashboard needs one"
        return [Finding("terminal", "ok", text)]
    if name in ("", "dumb"):
        text = f"TERM is {name or 'not set'}: no dashboard"
        return [Finding("terminal", "warn", text, "export TERM=xterm-256color")]
    return [
        _size(size or tuple(shutil.get_terminal_size())),
        _colours(name, environment),
        _characters(encoding if encoding is not None else sys.stdout.encoding or "unknown"),
    ]


def _size(size: tuple[int, ...]) -> Finding:
    columns, rows = size
    text = f"{columns} × {rows}"
    if columns < LEAST[0] or rows < LEAST[1]:
        way_out = f"make the window {COMFORTABLE[0]} × {COMFORTABLE[1]} or larger"
        return Finding("terminal", "warn", f"{text}: too small for the dashboard", way_out)
    if columns < COMFORTABLE[0] or rows < COMFORTABLE[1]:
        way_out = f"{COMFORTABLE[0]} × {COMFORTABLE[1]} and more show everything"
        return Finding("terminal", "warn", f"{text}: some columns are left out", way_out)
    return Finding("terminal", "ok", text)


def _colours(name: str, environment: Mapping[str, str]) -> Finding:
    if environment.get("NO_COLOR"):
        return Finding("colours", "ok", "none, as NO_COLOR asks")
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return Finding("colours", "ok", f"16 million ({name})")
    if "256" in name or name.endswith("-direct"):
        return Finding("colours", "ok", f"256 ({name}); more with COLORTERM=truecolor")
    way_out = "if it can show more: export COLORTERM=truecolor, or TERM=xterm-256color"
    return Finding("colours", "warn", f"16 or fewer ({name})", way_out)


def _characters(encoding: str) -> Finding:
    if encoding.lower().replace("-", "") == "utf8":
        return Finding("characters", "ok", "UTF-8")
    way_out = "export LC_ALL=C.UTF-8 (or your own language's UTF-8 locale)"
    return Finding("characters", "warn", f"{encoding}: charts need UTF-8", way_out)
