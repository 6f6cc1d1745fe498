"""``python -m ctv_engine SETTINGS_JSON``: run the engine in this process."""

from __future__ import annotations

import sys


def main() -> int:
    """Read the settings from the command line and run."""
    from ctv_engine.service import run_engine
    from ctv_engine.settings import Settings, SettingsError

    if len(sys.argv) != 2:
        print("usage: python -m ctv_engine SETTINGS_JSON (see `ctv-tui watch`)", file=sys.stderr)
        return 2
    try:
        settings = Settings.from_json(sys.argv[1])
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run_engine(settings)


if __name__ == "__main__":
    sys.exit(main())
