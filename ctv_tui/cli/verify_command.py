"""``ctv-tui verify``: are the fast paths exact for this checkpoint?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import model_options, option, suite_option

if TYPE_CHECKING:
    from ctv_engine.runtime.verify import Comparison


@click.command("verify")
@click.argument("checkpoint", type=click.Path(file_okay=False), envvar="CTV_TUI_CHECKPOINT")
@suite_option
@model_options
@option(
    "--items",
    env="ITEMS",
    default=48,
    show_default=True,
    type=click.IntRange(min=2),
    help="How many items to ask, drawn evenly from the datasets; always the same ones.",
)
@option(
    "--tolerance",
    env="TOLERANCE",
    default=1e-3,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Largest difference of an option's log-probability in float32.",
)
@option(
    "--max-flips",
    env="MAX_FLIPS",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of letters that another type than float32 may change.",
)
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    checkpoint: str,
    suite: str,
    items: int,
    tolerance: float,
    max_flips: float,
    as_json: bool,
    devices: str,
    dtype: str,
    batch_size: int,
    batch_tokens: int,
    processor: str | None,
    base: str | None,
) -> None:
    """Compare the engine's fast paths with one plain forward an item, on CHECKPOINT itself.

    Batches against single items, shared prefixes and the decode loop against transformers' own, and
    the run's number type against float32. The exit status is 1 if a difference is larger than it
    may be.
    """
    from ctv_tui.cli.engine_process import CommandError, require_engine
    from ctv_tui.cli.one_device import on_one_device, stay_offline

    require_engine()
    stay_offline()
    from ctv_engine.models.letters import LetterError
    from ctv_engine.models.loading import CheckpointError
    from ctv_engine.runtime.devices import DeviceError
    from ctv_engine.runtime.verify import sample, verify
    from ctv_engine.suite import SuiteError, read_suite
    from ctv_tui.data.safe_text import safe

    if not Path(checkpoint).is_dir():
        raise CommandError(f"{checkpoint}: no such directory", EXIT_USAGE)
    found: list[Comparison] = []
    notes: list[str] = []
    try:
        asked = read_suite(Path(suite))
        if asked.kind != "paired":
            raise CommandError(
                f"--suite {suite} is a {asked.kind} suite: its items have no options"
            )
        settings = on_one_device(
            devices, dtype=dtype, processor=processor, batch_tokens=batch_tokens
        )
        for one in verify(
            Path(checkpoint),
            sample(asked, items),
            settings,
            batch_size,
            notes.append,
            base=Path(base) if base else None,
        ):
            found.append(one)
    except (SuiteError, CheckpointError, LetterError, DeviceError) as error:
        raise CommandError(safe(str(error)), EXIT_USAGE) from error
    held = [one.holds(tolerance, max_flips) for one in found]
    if as_json:
        rows = [{**asdict(one), "holds": good} for one, good in zip(found, held, strict=True)]
        click.echo(json.dumps({"comparisons": rows, "notes": list(dict.fromkeys(notes))}))
    else:
        _print_table(found, held)
        for note in dict.fromkeys(notes):
            click.echo(f"note: {safe(note)}")
    ctx.exit(0 if all(held) else EXIT_FAILED)


def _print_table(found: list[Comparison], held: list[bool]) -> None:
    head = ("", "against", "items", "drift", "letter flips", "text changes", "")
    rows = [
        (
            one.what,
            one.against,
            str(one.items),
            f"{one.drift:.1e}",
            str(one.flips),
            str(one.texts),
            "ok" if good else "TOO LARGE",
        )
        for one, good in zip(found, held, strict=True)
    ]
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    for row in [head, *rows]:
        cells = (
            cell.ljust(width) if place in (0, 1, 6) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
