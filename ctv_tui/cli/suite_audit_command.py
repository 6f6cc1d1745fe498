"""``ctv-tui suite audit``: is a suite fit to measure with?"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import model_options, option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ctv_engine.construction.audit import Audit, BlindAnswer, Finding
    from ctv_engine.suite import Suite

NEEDED = ("numpy", "rapidfuzz")
WIDTH = 150


@click.command("audit")
@click.argument("suite", type=click.Path(file_okay=False), envvar="CTV_TUI_SUITE")
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object with all items.")
@option(
    "--items",
    env="ITEMS",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="Items to list for each check; 0: all.",
)
@option(
    "--allow",
    env="ALLOW",
    multiple=True,
    metavar="CHECK",
    help="A check that may fail without making the exit status 1; repeatable.",
)
@option(
    "--checkpoint",
    env="CHECKPOINT",
    type=click.Path(file_okay=False),
    help="Also ask this checkpoint without the picture (a grey one of the same size instead),"
    " without the question, and with the options alone.",
)
@option(
    "--sample",
    "sample_size",
    env="SAMPLE",
    type=click.IntRange(min=1),
    help="With --checkpoint: ask only so many items, drawn evenly from the datasets; always the"
    " same ones. By default all.",
)
@model_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    suite: str,
    as_json: bool,
    items: int,
    allow: tuple[str, ...],
    checkpoint: str | None,
    sample_size: int | None,
    **model: Any,
) -> None:
    """Check the directory SUITE for what would make its scores mean something else.

    Letters, lengths, texts and formats that tell the key; options that are equal or that the open
    metric accepts; keys that it refuses; repeated and contradicting items. The exit status is 1 if
    a check fails.
    """
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"suite audit needs {', '.join(missing)}: pip install 'ctv-tui[suite]'", EXIT_USAGE
        )
    from ctv_engine.construction.audit import AuditSettings, audit, blind_findings
    from ctv_engine.suite import SuiteError, read_suite

    if sample_size is not None and checkpoint is None:
        raise CommandError("--sample goes with --checkpoint: the other checks see all", EXIT_USAGE)
    if checkpoint is not None and not Path(checkpoint).is_dir():
        raise CommandError(f"--checkpoint {checkpoint}: no such directory", EXIT_USAGE)
    settings = AuditSettings()
    try:
        read = read_suite(Path(suite))
        found = audit(read, settings, allowed=allow)
    except SuiteError as error:
        raise CommandError("\n".join(map(safe, str(error).splitlines())), EXIT_USAGE) from error
    except ValueError as error:
        raise CommandError(f"--allow: {safe(str(error))}", EXIT_USAGE) from error
    notes: list[str] = []
    if checkpoint is not None:
        answers = _ask(Path(checkpoint), read, sample_size, notes, **model)
        found = found.joined(blind_findings(read, answers, settings, allow))
    if as_json:
        click.echo(json.dumps({**found.document(), "notes": notes}))
    else:
        click.echo("\n".join(_lines(found, items)))
        for note in notes:
            click.echo(f"note: {safe(note)}")
    ctx.exit(EXIT_FAILED if found.failed else 0)


def _ask(
    checkpoint: Path,
    suite: Suite,
    sample_size: int | None,
    notes: list[str],
    *,
    devices: str,
    dtype: str,
    batch_size: int,
    batch_tokens: int,
    processor: str | None,
    base: str | None,
) -> Mapping[str, Sequence[BlindAnswer]]:
    """Return the checkpoint's answers by what was hidden from it.

    Raises:
        CommandError: the engine is not installed, or the checkpoint or the device can't be used.
    """
    from ctv_tui.cli.engine_process import CommandError, require_engine
    from ctv_tui.cli.one_device import on_one_device, stay_offline
    from ctv_tui.data.safe_text import safe

    require_engine()
    stay_offline()
    from ctv_engine.construction.audit import BlindAnswer
    from ctv_engine.models.letters import LetterError
    from ctv_engine.models.loading import CheckpointError
    from ctv_engine.runtime.blind import ask_blind
    from ctv_engine.runtime.devices import DeviceError
    from ctv_engine.runtime.verify import sample

    if all(item.gold_index is None for item in suite.items):
        raise CommandError(
            f"--checkpoint: no item of {safe(suite.name)} has options to be asked", EXIT_USAGE
        )
    asked = suite if sample_size is None else sample(suite, sample_size)
    answers: dict[str, Sequence[BlindAnswer]] = {}
    try:
        settings = on_one_device(
            devices, dtype=dtype, processor=processor, batch_tokens=batch_tokens
        )
        for way in ask_blind(
            checkpoint,
            asked,
            settings,
            batch_size,
            base=Path(base) if base else None,
            tell=notes.append,
        ):
            answers[way.way] = [
                BlindAnswer(*one.key, one.correct, one.reason) for one in way.results
            ]
    except (CheckpointError, LetterError, DeviceError) as error:
        raise CommandError(safe(str(error)), EXIT_USAGE) from error
    return answers


def _lines(found: Audit, most: int) -> list[str]:
    from ctv_tui.data.safe_text import pad, safe, shorten

    width = max(len(one.check) for one in found.findings)
    lines = [f"{safe(found.suite)}, {found.items:,} items, digest {found.digest[:16]}"]
    for one in found.findings:
        verdict = _said(one)
        lines.append(f"{pad(verdict, 7)}  {pad(one.check, width)}  {safe(one.measured)}")
        listed = one.concerns[:most] if most else one.concerns
        lines += [
            shorten(f"         {safe(item.dataset)}/{safe(item.key)}: {safe(item.why)}", WIDTH)
            for item in listed
        ]
        left = len(one.concerns) - len(listed)
        if left:
            lines.append(f"         … and {left:,} more; --items 0 lists all")
    failed = sum(one.failed for one in found.findings)
    warned = sum(_said(one) == "warn" for one in found.findings)
    lines.append(f"{len(found.findings)} checks: {failed} failed, {warned} with a warning")
    return lines


def _said(finding: Finding) -> str:
    return "allowed" if finding.allowed and finding.verdict == "fail" else str(finding.verdict)
