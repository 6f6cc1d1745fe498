"""``ctv-tui report``: figures and a page for people who were not watching."""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec
from pathlib import Path

import click

from ctv_tui import __version__
from ctv_tui.cli import EXIT_NO_DATABASE, EXIT_USAGE
from ctv_tui.cli.options import db_option, option

NEEDED = ("matplotlib", "numpy")


def require_drawing() -> None:
    """Raise :class:`CommandError` if what draws is not installed."""
    from ctv_tui.cli.engine_process import CommandError

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"a report needs {' and '.join(missing)}: pip install 'ctv-tui[report]'", EXIT_USAGE
        )


@click.command("report")
@db_option
@option(
    "--out",
    env="REPORT_OUT",
    default="ctv-report",
    show_default=True,
    type=click.Path(),
    help="Folder to write report.html, report.txt and figures/ to.",
)
@option("--run", env="RUN", help="Name or id of the run.  [default: the newest in the file]")
@option(
    "--force",
    env="FORCE",
    is_flag=True,
    help="Write into a folder that is not empty; only files of an earlier report are replaced.",
)
def command(db: str, out: str, run: str | None, force: bool) -> None:
    """Write a report of a run: one HTML page, and its figures as SVG, PNG and CSV.

    The page needs no network and no script. All numbers are of one instant, also while the engine
    is writing, and each is shown with the query that it comes from. A short version is printed.
    """
    require_drawing()
    from ctv_engine.report.about import NoRunError
    from ctv_engine.report.build import files_of, report_of
    from ctv_engine.report.folder import FolderError, check_folder, write_folder
    from ctv_engine.report.page import text_of
    from ctv_engine.store.reader import StoreError
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    folder = Path(out)
    try:
        check_folder(folder, force=force)
        page = report_of(Path(db), run)
        made_by = {"made_by": f"ctv-tui {__version__} report", "as_of": page.lines[0]}
        write_folder(folder, files_of(page, "report"), made_by)
    except StoreError as error:
        raise CommandError(safe(str(error)), EXIT_NO_DATABASE) from error
    except sqlite3.Error as error:
        where = db
        raise CommandError(f"{safe(where)}: {safe(str(error))}", EXIT_NO_DATABASE) from error
    except (NoRunError, FolderError) as error:
        raise CommandError(safe(str(error)), EXIT_USAGE) from error
    click.echo(text_of(page))
    click.echo(f"written to {safe(str(folder / 'report.html'))}")
