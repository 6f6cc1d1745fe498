"""``ctv-tui status``: what is the engine doing?"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from ctv_tui.cli import EXIT_NO_DATABASE
from ctv_tui.cli.options import db_option, option


@click.command("status")
@db_option
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, db: str, as_json: bool) -> None:
    """Say what the engine of a database is doing.

    The exit status is 0 if an engine is running and 3 if none is.
    """
    from ctv_engine.store.reader import open_read_only
    from ctv_tui.cli.dashboard import check
    from ctv_tui.cli.engine_process import find_engine
    from ctv_tui.data.safe_text import safe

    path = Path(db)
    check(path)
    holder = find_engine(path)
    connection = open_read_only(path)
    engine = connection.execute("SELECT state, heartbeat_at, version FROM engine").fetchone()
    states = dict(connection.execute("SELECT state, count(*) FROM checkpoints GROUP BY state"))
    work = connection.execute(
        "SELECT c.step, e.mode, e.done + e.failed AS answered, e.planned FROM evaluations e"
        " JOIN checkpoints c ON c.id = e.checkpoint_id WHERE e.state = 'running'"
        " ORDER BY e.started_at DESC"
    ).fetchall()
    connection.close()
    report = {
        "database": str(path.resolve()),
        "running": holder is not None,
        "pid": holder.pid if holder else None,
        "host": holder.host if holder else None,
        "state": engine["state"] if engine else None,
        "heartbeat_age_s": round(time.time() - engine["heartbeat_at"], 1) if engine else None,
        "checkpoints": states,
        "work": [dict(row) for row in work],
    }
    if as_json:
        click.echo(json.dumps(report))
    else:
        if holder:
            age = report["heartbeat_age_s"]
            click.echo(
                f"{report['state']}, pid {holder.pid} on {holder.host}, heartbeat {age} s ago"
            )
        else:
            click.echo("no engine is running")
        counted = ", ".join(f"{count} {state}" for state, count in states.items())
        click.echo(f"checkpoints: {counted or 'none yet'}")
        for row in work:
            click.echo(f"step {row['step']} {row['mode']}: {row['answered']} of {row['planned']}")
        click.echo(f"database: {safe(str(path.resolve()))}")
    ctx.exit(0 if holder else EXIT_NO_DATABASE)
