"""The dashboard, or what stands in for it where there is no terminal."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_INTERRUPTED, EXIT_NO_DATABASE
from ctv_tui.cli.engine_process import CommandError

if TYPE_CHECKING:
    from ctv_tui.preferences import Preferences

WEB_DRIVER_VARIABLE = "TEXTUAL_DRIVER"
"""Set by the web server for the dashboard that it starts; its streams are no terminal."""


def is_interactive() -> bool:
    """Tell whether a full-screen program can run here: in a terminal, or behind ``serve``."""
    if os.environ.get(WEB_DRIVER_VARIABLE):
        return True
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(s is not None and s.isatty() for s in streams) and os.environ.get("TERM") not in (
        None,
        "",
        "dumb",
    )


def show(db: str, *, once: bool, as_json: bool, follow: bool, preferences: Preferences) -> int:
    """Show a database in the way that was asked for; return the exit status.

    Raises:
        CommandError: no such database, or one that can't be read.
    """
    path = Path(db)
    if not (once or as_json or follow):
        if is_interactive():
            for file in (path, *preferences.compare):
                check(file)
            return open_dashboard(path, preferences)
        click.echo("not a terminal: printing the table of --once (see --json, --follow)", err=True)
    if follow:
        check(path)
        return print_changes(path, as_json=as_json)
    print_once(path, as_json=as_json)
    return 0


def check(path: Path) -> None:
    """Raise :class:`CommandError` if there is no database of ours at ``path``."""
    from ctv_engine.store.reader import StoreError, open_read_only

    try:
        open_read_only(path).close()
    except StoreError as error:
        raise CommandError(str(error), EXIT_NO_DATABASE) from error


def open_dashboard(path: Path, preferences: Preferences) -> int:
    """Open the full-screen dashboard; return its exit status."""
    from ctv_engine.store.control import ask_pause, ask_resume
    from ctv_tui.app import run_dashboard

    def switch(pause: bool) -> None:
        (ask_pause if pause else ask_resume)(path)

    return run_dashboard(path, preferences=preferences, engine_switch=switch)


def print_once(path: Path, *, as_json: bool = False) -> None:
    """Print the state of a database.

    Raises:
        CommandError: no such database, or one that can't be read.
    """
    from ctv_engine.store.reader import StoreError
    from ctv_tui.data.document import as_json as document
    from ctv_tui.data.tail import read_snapshot
    from ctv_tui.data.text import plain_text

    try:
        snapshot = read_snapshot(path)
    except StoreError as error:
        raise CommandError(str(error), EXIT_NO_DATABASE) from error
    click.echo(json.dumps(document(snapshot)) if as_json else plain_text(snapshot))


def print_changes(path: Path, *, as_json: bool) -> int:
    """Print the state after every change until the engine has ended."""
    from ctv_tui.cli.engine_process import find_engine
    from ctv_tui.data.document import as_json as document
    from ctv_tui.data.tail import follow
    from ctv_tui.data.text import plain_text

    ended = threading.Event()
    last = ""
    try:
        for snapshot in follow(path, ended, poll_s=1.0):
            text = json.dumps(document(snapshot)) if as_json else plain_text(snapshot)
            if text != last:
                click.echo(text if as_json else text + "\n")
                last = text
            if find_engine(path) is None:
                ended.set()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0
    return 0
