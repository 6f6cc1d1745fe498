"""``ctv-tui suite review``: a person decides about the queued items of a build."""

from __future__ import annotations

from pathlib import Path

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import option, preferences


@click.command("review")
@click.argument("directory", type=click.Path(file_okay=False))
@option(
    "--theme",
    env="THEME",
    type=click.Choice(["dark", "light", "ansi"]),
    help="Colours; ansi: the terminal's own sixteen.",
)
@option(
    "--ascii", "ascii_only", env="ASCII", is_flag=True, help="No box, block or braille characters."
)
@click.pass_context
def command(ctx: click.Context, directory: str, theme: str | None, ascii_only: bool) -> None:
    """Look at the queued items of the build in DIRECTORY: keep, correct or drop each.

    Every decision is kept in the build's journal at once, and can be taken back later. When you
    leave, the suite is written anew with what is kept.
    """
    from ctv_engine.construction.journal import Journal, JournalError, State
    from ctv_tui.cli.dashboard import is_interactive
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    folder = Path(directory)
    try:
        journal = Journal(folder)
    except (JournalError, OSError) as error:
        raise CommandError(safe(str(error)), EXIT_USAGE) from error
    try:
        counts = dict.fromkeys(State, 0)
        for (_, state), count in journal.counts().items():
            counts[state] += count
        if not any(counts[s] for s in (State.QUEUED, State.KEPT, State.DROPPED)):
            raise CommandError(
                f"{safe(directory)}: no item to review; ctv-tui suite build makes them", EXIT_USAGE
            )
        if not is_interactive():
            raise CommandError("suite review needs a terminal", EXIT_USAGE)
        from ctv_tui.review.app import run_review

        status, decided = run_review(journal, preferences(theme, ascii_only, None))
        counts = dict.fromkeys(State, 0)
        for (_, state), count in journal.counts().items():
            counts[state] += count
    finally:
        journal.close()
    click.echo(
        f"{counts[State.KEPT]:,} kept, {counts[State.DROPPED]:,} dropped,"
        f" {counts[State.QUEUED]:,} left; ctv-tui suite review {safe(directory)} goes on"
    )
    if decided and not status:
        _write(folder)
    ctx.exit(status)


def _write(folder: Path) -> None:
    """Write the suite anew and say so."""
    from ctv_engine.construction.journal import JournalError
    from ctv_engine.construction.writing import write_from_journal
    from ctv_engine.suite import SuiteError
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    try:
        suite = write_from_journal(folder)
    except JournalError as error:
        click.echo(safe(str(error)))
        return
    except (SuiteError, OSError) as error:
        said = f"{safe(str(error))}; the decisions are kept"
        raise CommandError(said, EXIT_FAILED) from error
    if suite is None:
        click.echo("nothing is kept, so no suite was written")
        return
    click.echo(
        f"suite {safe(suite.name)} written: {len(suite.items):,} items,"
        f" digest {suite.digest[:16]}, in {safe(str(folder))}"
    )
