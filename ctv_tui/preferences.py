"""How a person wants the dashboard to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctv_tui.theme import Look


@dataclass(frozen=True, slots=True)
class Preferences:
    """Colours, plain ASCII, where saved pictures go, and the file with a person's own keys.

    Without a theme it is the dark one, without a folder the current one, without a file of keys the
    one in the platform's folder for configuration.
    """

    theme: Look | None = None
    ascii_only: bool = False
    save_dir: Path | None = None
    keys: Path | None = None
    compare: tuple[Path, ...] = ()
    """More databases, whose runs can be laid over the one that is shown."""
