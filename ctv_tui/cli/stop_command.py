"""``ctv-tui stop``: end the engine."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import click

from ctv_tui.cli.options import db_option, option

TIMEOUT_S = 60.0
POLL_S = 0.1


@click.command("stop")
@db_option
@option(
    "--drain",
    env="DRAIN",
    is_flag=True,
    help="Let it score all checkpoints that are there first; does not wait for that.",
)
def command(db: str, drain: bool) -> None:
    """End the engine of a database gracefully: batches under way are finished and stored.

    What is not scored by then is taken up by the next `ctv-tui watch` on the same database.
    """
    from ctv_tui.cli.engine_process import CommandError, find_engine, local_engine, send

    path = Path(db)
    holder = local_engine(path)
    if drain:
        send(holder, signal.SIGUSR1)
        click.echo(f"the engine (pid {holder.pid}) ends when all that is there has been scored")
        return
    send(holder, signal.SIGTERM)
    deadline = time.monotonic() + TIMEOUT_S
    while find_engine(path) is not None:
        if time.monotonic() > deadline:
            raise CommandError(f"pid {holder.pid} has not ended after {TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    click.echo(f"stopped (pid {holder.pid})")
