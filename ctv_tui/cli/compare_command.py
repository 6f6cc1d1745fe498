"""``ctv-tui compare``: which of several runs is ahead, and what was set differently?"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import click

from ctv_tui import __version__
from ctv_tui.cli import EXIT_NO_DATABASE, EXIT_USAGE
from ctv_tui.cli.options import option


@click.command("compare")
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False), metavar="[FILE]...")
@option(
    "--db",
    "more",
    env="COMPARE_DB",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="A database to compare, as FILE; repeatable.",
)
@option(
    "--out",
    env="COMPARE_OUT",
    type=click.Path(),
    help="Folder to write compare.html, compare.txt and figures/ to.",
)
@option(
    "--force",
    env="FORCE",
    is_flag=True,
    help="Write into a folder that is not empty; only files of an earlier report are replaced.",
)
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
def command(
    files: tuple[str, ...], more: tuple[str, ...], out: str | None, force: bool, as_json: bool
) -> None:
    """Compare the newest runs of several databases, or all runs of a single one.

    Shows the settings that differ, the last and the best scores, how closed and open track gold,
    and what a checkpoint costs. Runs with the same suite are compared item by item with the first.
    """
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.cli.report_command import require_drawing

    require_drawing()
    from ctv_engine.report.about import NoRunError
    from ctv_engine.report.build import files_of
    from ctv_engine.report.comparison.page import (
        comparison_of,
        json_of,
        page_of,
        text_of_comparison,
    )
    from ctv_engine.report.folder import FolderError, check_folder, write_folder
    from ctv_engine.store.reader import StoreError
    from ctv_tui.data.safe_text import safe

    paths = [Path(name) for name in (*more, *files)]
    if not paths:
        raise click.UsageError("name the databases to compare, such as `ctv-tui compare A.db B.db`")
    try:
        if out is not None:
            check_folder(Path(out), force=force)
        found = comparison_of(paths)
        text = text_of_comparison(found)
        if out is not None:
            page = page_of(found)
            made = {**files_of(page, "compare"), "compare.txt": text.encode()}
            about = {"made_by": f"ctv-tui {__version__} compare", "as_of": list(page.lines)}
            write_folder(Path(out), made, about)
    except StoreError as error:
        raise CommandError(safe(str(error)), EXIT_NO_DATABASE) from error
    except sqlite3.Error as error:
        where = ", ".join(map(str, paths))
        raise CommandError(f"{safe(where)}: {safe(str(error))}", EXIT_NO_DATABASE) from error
    except (NoRunError, FolderError) as error:
        raise CommandError(safe(str(error)), EXIT_USAGE) from error
    if as_json:
        click.echo(json.dumps(json_of(found)))
        return
    click.echo(text)
    if out is not None:
        click.echo(f"written to {safe(str(Path(out) / 'compare.html'))}")
