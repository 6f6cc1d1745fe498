"""``ctv-tui eval``: score checkpoints once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from ctv_tui.cli.config_file import config_option
from ctv_tui.cli.options import db_option, engine_options, option, suite_option

if TYPE_CHECKING:
    import sqlite3

    from ctv_tui.cli.engine_process import EngineProcess

POLL_S = 0.25


@click.command("eval")
@click.argument(
    "checkpoints",
    nargs=-1,
    required=True,
    type=click.Path(file_okay=False),
    metavar="CHECKPOINT...",
    envvar="CTV_TUI_CHECKPOINTS",
)
@config_option
@suite_option
@db_option
@engine_options
@option("--name", env="NAME", help="Name of the run; by default the parent directory's.")
@click.pass_context
def command(
    ctx: click.Context, /, checkpoints: tuple[str, ...], suite: str, db: str, **values: object
) -> None:
    """Score each CHECKPOINT directory once, closed and open, and print a table.

    The exit status is 0 only if every item of every checkpoint was scored. A call that was
    interrupted goes on where it ended when it is repeated.
    """
    from ctv_tui.cli.dashboard import print_once
    from ctv_tui.cli.engine_process import CommandError, EngineProcess, make_settings

    directories = tuple(str(Path(checkpoint).resolve()) for checkpoint in checkpoints)
    missing = [directory for directory in directories if not Path(directory).is_dir()]
    if missing:
        raise CommandError(f"{missing[0]}: no such directory", EXIT_USAGE)
    settings = make_settings(
        checkpoints=directories, suite=suite, db=db, drain=True, quiet_s=0.0, poll_s=0.2, **values
    )
    engine = EngineProcess.start(settings)
    path = Path(settings.db)
    try:
        _show_progress(engine, path, directories)
    except KeyboardInterrupt:
        engine.stop()
        click.echo("\ninterrupted; repeat the command to go on", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    status = engine.process.wait()
    print_once(path)
    faults = _faults(path, directories)
    for fault in faults:
        click.echo(f"error: {fault}", err=True)
    ctx.exit(status or (EXIT_FAILED if faults else 0))


def _show_progress(engine: EngineProcess, path: Path, directories: tuple[str, ...]) -> None:
    from ctv_engine.store.reader import open_read_only

    connection = open_read_only(path)
    with click.progressbar(length=1, label="starting", width=30) as bar:
        while engine.process.poll() is None:
            label, done, planned = _progress(connection, directories)
            bar.label, bar.length = label, max(planned, 1)
            bar.update(max(0, done - bar.pos))
            bar.render_progress()
            time.sleep(POLL_S)
        label, done, planned = _progress(connection, directories)
        bar.label, bar.length = "scored", max(planned, 1)
        bar.update(max(0, done - bar.pos))
    connection.close()


def _progress(connection: sqlite3.Connection, directories: tuple[str, ...]) -> tuple[str, int, int]:
    """Return what is being done, items answered and items planned."""
    marks = ", ".join("?" * len(directories))
    rows = connection.execute(
        "SELECT c.step, e.mode, e.state, e.done + e.failed, e.planned FROM evaluations e"
        f" JOIN checkpoints c ON c.id = e.checkpoint_id WHERE c.path IN ({marks})",
        directories,
    ).fetchall()
    running = [f"step {row[0]} {row[1]}" for row in rows if row[2] == "running"]
    label = running[0] if running else "loading"
    state = connection.execute("SELECT state FROM engine").fetchone()
    if state is not None and state[0] == "paused":
        label = "paused"
    return label.ljust(16), sum(row[3] for row in rows), sum(row[4] for row in rows)


def _faults(path: Path, directories: tuple[str, ...]) -> list[str]:
    """Return a line for everything of these checkpoints that has no score."""
    from ctv_engine.store.reader import open_read_only

    connection = open_read_only(path)
    faults: list[str] = []
    for directory in directories:
        row = connection.execute(
            "SELECT id, state, reason FROM checkpoints WHERE path = ? ORDER BY id DESC LIMIT 1",
            (directory,),
        ).fetchone()
        if row is None:
            faults.append(f"{directory}: was not looked at")
        elif row["state"] != "done":
            faults.append(f"{directory}: {row['state']}: {row['reason'] or 'not scored'}")
        else:
            faults += [
                f"{directory}: {mode}: {reason}"
                for mode, reason in connection.execute(
                    "SELECT mode, reason FROM evaluations WHERE checkpoint_id = ? AND failed > 0",
                    (row["id"],),
                )
            ]
            faults += [
                f"{directory}: {mode}: {count} answers have no score: {reason}"
                for mode, count, reason in connection.execute(
                    "SELECT e.mode, count(*), p.reason FROM predictions p"
                    " JOIN evaluations e ON e.id = p.evaluation_id WHERE e.checkpoint_id = ?"
                    " AND p.status = 'ok' AND p.score IS NULL GROUP BY 1, 3 ORDER BY 1, 2 DESC, 3",
                    (row["id"],),
                )
            ]
    connection.close()
    return faults
