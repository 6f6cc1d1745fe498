"""``ctv-tui doctor``: what on this machine would get in the way?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_FAILED
from ctv_tui.cli.options import db_option, option

if TYPE_CHECKING:
    from ctv_tui.doctor import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@db_option
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
@option(
    "--pool",
    env="POOL",
    default="local",
    show_default=True,
    metavar="local|ray[:ADDRESS]",
    help="Also look at every machine of a Ray cluster.",
)
@option(
    "--devices",
    env="DEVICES",
    default="auto",
    show_default=True,
    help="On a cluster: auto (its GPUs) or cpu:N, as for the engine.",
)
@click.pass_context
def command(ctx: click.Context, db: str, as_json: bool, pool: str, devices: str) -> None:
    """Look at Python, torch, GPUs, terminal, SQLite and disk, and say what would get in the way.

    One line a finding, with the way out. The exit status is 1 if something fails; warnings are what
    one may live with. Takes some seconds, most of them torch's.
    """
    from ctv_tui.doctor import cluster, gpus, software, storage, terminal

    found = [
        *software.findings(),
        *gpus.findings(),
        *terminal.findings(),
        *storage.findings(Path(db)),
        *(cluster.findings(pool, devices) if pool.startswith("ray") else []),
    ]
    failed = any(one.level == "fail" for one in found)
    if as_json:
        click.echo(json.dumps({"failed": failed, "findings": [asdict(one) for one in found]}))
    else:
        if isinstance(sys.stdout, TextIOWrapper):  # the report must come out on any terminal
            sys.stdout.reconfigure(errors="replace")
        for one in found:
            _print(one)
    ctx.exit(EXIT_FAILED if failed else 0)


def _print(one: Finding) -> None:
    from ctv_tui.data.safe_text import safe

    level = click.style(one.level.ljust(4), fg=_COLOURS[one.level])
    click.echo(f"{level}  {one.check:<12} {safe(one.text)}")
    if one.way_out is not None and one.level != "ok":
        click.echo(f"{'':<19}way out: {safe(one.way_out)}")
