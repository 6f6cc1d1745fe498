"""``ctv-tui gold``: a gold standard from elsewhere."""

from __future__ import annotations

import click

from ctv_tui.cli import LazyGroup

GOLD_COMMANDS = {"import": "Take scores by step from a CSV or JSON file as gold."}


class GoldGroup(LazyGroup):
    """The commands about gold, in modules ``gold_*_command``."""

    commands_table = GOLD_COMMANDS
    prefix = "gold_"


@click.group(cls=GoldGroup)
def command() -> None:
    """Take the scores that a team trusts already as the gold standard."""
