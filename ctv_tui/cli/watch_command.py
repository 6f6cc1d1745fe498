"""``ctv-tui watch``: follow a training run."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ctv_tui.cli import EXIT_USAGE
from ctv_tui.cli.config_file import config_option
from ctv_tui.cli.options import (
    dashboard_options,
    db_option,
    engine_options,
    option,
    preferences,
    suite_option,
)


@click.command("watch")
@click.argument("checkpoint_dir", type=click.Path(file_okay=False), envvar="CTV_TUI_CHECKPOINT_DIR")
@config_option
@suite_option
@db_option
@engine_options
@option("--name", env="NAME", help="Name of the run; by default the directory's.")
@option(
    "--every",
    env="EVERY",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Score each N-th checkpoint; the last one always.",
)
@option(
    "--quiet",
    "quiet_s",
    env="QUIET",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds without a change before a checkpoint counts as whole.",
)
@option("--drain", env="DRAIN", is_flag=True, help="Score what is there, then end.")
@option("--headless", env="HEADLESS", is_flag=True, help="No dashboard: events on standard output.")
@dashboard_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    checkpoint_dir: str,
    suite: str,
    db: str,
    headless: bool,
    theme: str | None,
    ascii_only: bool,
    save_dir: str | None,
    **values: object,
) -> None:
    """Score every checkpoint that a training run writes to CHECKPOINT_DIR.

    Starts the engine in the background and opens the dashboard on it. Leaving the dashboard leaves
    the engine running; `ctv-tui stop` ends it. With --headless the engine runs in the foreground.
    """
    from ctv_tui.cli.dashboard import is_interactive, open_dashboard
    from ctv_tui.cli.engine_process import (
        CommandError,
        EngineProcess,
        engine_command,
        log_path,
        make_settings,
    )

    if not Path(checkpoint_dir).is_dir():
        raise CommandError(
            f"{checkpoint_dir}: no such directory; name the training run's output directory"
            " (it may still be empty)",
            EXIT_USAGE,
        )
    settings = make_settings(checkpoint_dir=checkpoint_dir, suite=suite, db=db, **values)
    if headless:
        arguments = engine_command(settings)
        os.execv(arguments[0], arguments)
    engine = EngineProcess.start(settings)
    path = Path(settings.db)
    if is_interactive():
        status = open_dashboard(path, preferences(theme, ascii_only, save_dir))
    else:
        click.echo("not a terminal: the engine runs in the background", err=True)
        status = 0
    if engine.process.poll() is None:
        click.echo(f"The engine goes on (pid {engine.process.pid}, log {log_path(path)}).")
        click.echo(f"Open it again with `ctv-tui --db {db}`, end it with `ctv-tui stop --db {db}`.")
    ctx.exit(status)
