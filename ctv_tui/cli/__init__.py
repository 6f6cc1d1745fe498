"""The command line: one module per command, loaded when it is called.

Only click is imported at start-up, so that ``--help`` and completion answer at once.

Exit status: 0 done; 1 failed (a crash, or something was not scored); 2 wrong usage or input;
3 no database, or another engine has it; 129, 130 and 143 after SIGHUP, SIGINT and SIGTERM.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from ctv_tui import __version__

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_DATABASE = 3
EXIT_INTERRUPTED = 130

COMMANDS = {
    "watch": "Score every checkpoint of a training run and follow it live.",
    "eval": "Score checkpoints once and print a table.",
    "suite": "Make, check and compare validation sets.",
    "demo": "Train a tiny VLM here and watch it being validated.",
    "simulate": "Replay recorded or stated costs on other numbers of GPUs.",
    "verify": "Compare the fast paths with plain forwards on a checkpoint.",
    "serve": "Show the dashboard in a browser.",
    "status": "Say what the engine of a database is doing.",
    "pause": "Let the engine free its GPUs and wait.",
    "resume": "Let a paused engine go on.",
    "stop": "End the engine of a database gracefully.",
    "doctor": "Say what on this machine would get in the way.",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own name.

    ``commands_table`` maps each command to its line of help, ``prefix`` stands before the module's
    name: ``suite_`` finds ``build`` in ``suite_build_command``.
    """

    commands_table: Mapping[str, str] = COMMANDS
    prefix = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which people meet them."""
        return list(self.commands_table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        if cmd_name not in self.commands_table:
            return None
        command = importlib.import_module(f"ctv_tui.cli.{self.prefix}{cmd_name}_command").command
        if not isinstance(command, click.Command):
            raise TypeError(cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.commands_table.items()))


from ctv_tui.cli.options import dashboard_options, db_option, preferences  # noqa: E402  (needs nothing of the above, but click)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="ctv-tui")
@db_option
@click.option(
    "--once", is_flag=True, envvar="CTV_TUI_ONCE", show_envvar=True, help="Print a table and end."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    envvar="CTV_TUI_JSON",
    show_envvar=True,
    help="Print one JSON document and end; with --follow one per line.",
)
@click.option(
    "--follow",
    is_flag=True,
    envvar="CTV_TUI_FOLLOW",
    show_envvar=True,
    help="Print again after every change, until the engine ends.",
)
@dashboard_options
@click.option(
    "--compare",
    multiple=True,
    type=click.Path(dir_okay=False),
    envvar="CTV_TUI_COMPARE",
    show_envvar=True,
    help="Another database, to lay its runs over this one's and to compare costs with; repeatable.",
)
@click.pass_context
def cli(
    ctx: click.Context,
    db: str,
    once: bool,
    as_json: bool,
    follow: bool,
    theme: str | None,
    ascii_only: bool,
    save_dir: str | None,
    compare: tuple[str, ...],
) -> None:
    """Watch a training run being validated: closed task, open task and gold standard.

    Without a command: open the dashboard on a database, live or finished.
    """
    if ctx.invoked_subcommand is not None:
        return
    from ctv_tui.cli.dashboard import show

    chosen = preferences(theme, ascii_only, save_dir, compare)
    ctx.exit(show(db, once=once, as_json=as_json, follow=follow, preferences=chosen))
