"""``ctv-tui resume``: let a paused engine go on."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ctv_tui.cli import EXIT_NO_DATABASE
from ctv_tui.cli.options import db_option, option

POLL_S = 0.1


@click.command("resume")
@db_option
@option(
    "--timeout",
    "timeout_s",
    env="TIMEOUT",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds to wait until it works again; it tries on all the same.",
)
def command(db: str, timeout_s: float) -> None:
    """Let the paused engine of a database go on, on GPUs that are free now.

    The exit status is 1 if it does not work again by then, because no GPU is free.
    """
    from ctv_engine.store.control import ask_resume
    from ctv_tui.cli.engine_process import CommandError, engine_state, find_engine, last_event

    path = Path(db)
    if not path.exists():
        raise CommandError(f"{db}: no such database", EXIT_NO_DATABASE)
    before = last_event(path)[0]
    try:
        asked = ask_resume(path)
    except OSError as error:
        raise CommandError(f"{path.parent}: {error.strerror}; ask who may write there") from error
    holder = find_engine(path)
    if holder is None:
        if not asked:
            raise CommandError(f"{db}: no engine is running, and none was paused", EXIT_NO_DATABASE)
        click.echo("no engine is running; the next one does not start paused")
        return
    deadline = time.monotonic() + timeout_s
    while engine_state(path) == "paused":
        if find_engine(path) is None:
            raise CommandError(f"the engine (pid {holder.pid}) has ended")
        number, text = last_event(path)
        if number > before and text.startswith("can't resume"):
            raise CommandError(text)
        if time.monotonic() > deadline:
            raise CommandError(f"the engine (pid {holder.pid}) is paused still; see its events")
        time.sleep(POLL_S)
    click.echo(f"{'resumed' if asked else 'was not paused'} (pid {holder.pid})")
