"""``ctv-tui pause``: let the engine give its devices back for a while."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ctv_tui.cli.options import db_option, option

POLL_S = 0.1


@click.command("pause")
@db_option
@option(
    "--timeout",
    "timeout_s",
    env="TIMEOUT",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds to wait until the devices are free; the pause is asked for all the same.",
)
def command(db: str, timeout_s: float) -> None:
    """Let the engine of a database finish its batches, free its GPU memory and wait.

    Returns when the memory is free; the exit status is 1 if it is not by then. Checkpoints are
    found and kept meanwhile, and scored after `ctv-tui resume`. An engine that is started again is
    paused still.
    """
    from ctv_engine.store.control import ask_pause
    from ctv_tui.cli.engine_process import CommandError, engine_state, find_engine, some_engine

    path = Path(db)
    holder = some_engine(path)
    try:
        ask_pause(path)
    except OSError as error:
        raise CommandError(f"{path.parent}: {error.strerror}; ask who may write there") from error
    deadline = time.monotonic() + timeout_s
    while engine_state(path) != "paused":
        if find_engine(path) is None:
            raise CommandError(f"the engine (pid {holder.pid}) has ended; the next starts paused")
        if time.monotonic() > deadline:
            raise CommandError(
                f"the engine (pid {holder.pid}) still finishes its batches and pauses after them;"
                f" see `ctv-tui status --db {db}`"
            )
        time.sleep(POLL_S)
    click.echo(f"paused (pid {holder.pid}): its devices are free; `ctv-tui resume --db {db}`")
