"""``ctv-tui suite export``: a suite as one table for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import option


@click.command("export")
@click.argument("suite", type=click.Path(file_okay=False))
@option(
    "--out",
    env="EXPORT_OUT",
    required=True,
    type=click.Path(dir_okay=False),
    help="The file; an older one is replaced.",
)
@option(
    "--format",
    "form",
    env="EXPORT_FORMAT",
    type=click.Choice(["tsv", "jsonl"]),
    help="tsv: VLMEvalKit's, with the pictures in base64; jsonl: with the pictures' paths. By"
    " default what the file's name ends with.",
)
@option("--dataset", env="DATASET", help="Only the items of this dataset.")
@click.pass_context
def command(
    ctx: click.Context, suite: str, out: str, form: str | None, dataset: str | None
) -> None:
    """Write the items of SUITE, with letters as the suite asks them, for other programs.

    suite build reads the file of one dataset back with --source generic=FILE.
    """
    from ctv_engine.construction.export import FORMS, ExportError, export_suite
    from ctv_engine.suite import SuiteError, read_suite
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    named = form or Path(out).suffix.lower().removeprefix(".")
    chosen = next((known for known in FORMS if known == named), None)
    if chosen is None:
        raise CommandError(f"{out} ends with none of .tsv and .jsonl; add --format", EXIT_USAGE)
    try:
        done = export_suite(read_suite(Path(suite)), Path(out), chosen, dataset=dataset)
    except (SuiteError, ExportError) as error:
        lines = map(safe, str(error).splitlines())
        raise CommandError("\n".join(lines), EXIT_USAGE) from error
    except OSError as error:
        raise CommandError(safe(f"{out}: {error.strerror or error}"), EXIT_FAILED) from error
    pictures = "1 picture" if done.pictures == 1 else f"{done.pictures:,} pictures"
    click.echo(f"{done.items:,} items with {pictures} in {safe(str(done.path))}")
