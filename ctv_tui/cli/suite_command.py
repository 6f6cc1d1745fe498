"""``ctv-tui suite``: make, check and compare validation sets."""

from __future__ import annotations

import click

from ctv_tui.cli import LazyGroup

SUITE_COMMANDS: dict[str, str] = {
    "build": "Make a paired suite from benchmarks on disk.",
    "export": "Write a suite as VLMEvalKit's TSV or as JSON Lines.",
    "review": "Decide about the items on which annotators don't agree.",
    "diff": "Say what two suites ask differently.",
    "audit": "Check whether a suite is fit to measure with.",
}


class SuiteGroup(LazyGroup):
    """The commands about suites, in modules ``suite_*_command``."""

    commands_table = SUITE_COMMANDS
    prefix = "suite_"


@click.group(cls=SuiteGroup)
def command() -> None:
    """Make a paired validation set from a benchmark on disk, check it, compare two."""
