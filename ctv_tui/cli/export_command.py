"""``ctv-tui export``: a database's tables and views as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO_DATABASE, EXIT_USAGE
from ctv_tui.cli.options import db_option, option

if TYPE_CHECKING:
    from ctv_tui.sql.export import Kind


@click.command("export")
@db_option
@option(
    "--out",
    env="OUT",
    required=True,
    type=click.Path(file_okay=False),
    help="Directory for the files; made if it is not there.",
)
@option("--parquet", env="PARQUET", is_flag=True, help="Write Parquet: ctv-tui[parquet].")
@option("--csv", "as_csv", env="CSV", is_flag=True, help="Write CSV; NULL is nothing at all.")
@option(
    "--table",
    "tables",
    env="TABLE",
    multiple=True,
    metavar="NAME",
    help="Only this table or view; repeatable.",
)
@option("--force", env="FORCE", is_flag=True, help="Replace files that are there already.")
@click.pass_context
def command(
    ctx: click.Context,
    db: str,
    out: str,
    parquet: bool,
    as_csv: bool,
    tables: tuple[str, ...],
    force: bool,
) -> None:
    """Write every table and view as a file of its own, all as of one moment.

    The engine may go on writing meanwhile. A file gets its name once all are whole.
    """
    from ctv_engine.store.reader import StoreError
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe
    from ctv_tui.sql.export import ExportError, export

    if parquet == as_csv:
        raise CommandError("give one of --parquet and --csv", EXIT_USAGE)
    kind: Kind = "parquet" if parquet else "csv"
    try:
        done = export(Path(db), Path(out), kind, tables, force=force)
    except StoreError as error:
        raise CommandError(safe(str(error)), EXIT_NO_DATABASE) from error
    except ExportError as error:
        status = EXIT_FAILED if error.is_failure else EXIT_USAGE
        raise CommandError(safe(str(error)), status) from error
    except KeyboardInterrupt:
        ctx.exit(EXIT_INTERRUPTED)
    for file in done:
        click.echo(f"{file.rows:>12,} rows  {safe(str(file.path))}")
