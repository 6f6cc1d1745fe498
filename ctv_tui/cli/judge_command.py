"""``ctv-tui judge``: score what waits for a judge in a database that no engine has."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_NO_DATABASE, EXIT_USAGE
from ctv_tui.cli.options import db_option, option

MOST_REASONS = 8

if TYPE_CHECKING:
    from ctv_engine.store.writer import Writer
    from ctv_engine.suite import Suite


@click.command("judge")
@db_option
@option(
    "--judge",
    "providers",
    env="JUDGE",
    required=True,
    type=click.Path(dir_okay=False),
    help="TOML file with [providers.judge].",
)
@option(
    "--judge-budget",
    "calls",
    env="JUDGE_BUDGET",
    type=click.IntRange(min=1),
    help="Most questions to the judge.",
)
@click.pass_context
def command(ctx: click.Context, db: str, providers: str, calls: int | None) -> None:
    """Score the open answers that have no score yet, with a language model as judge.

    For runs that are over, whose judge was absent, down or out of budget. Replies are kept beside
    the database, so that none is paid for twice. The exit status is 0 if nothing is left.
    """
    from ctv_engine.llm.providers import ProviderError
    from ctv_engine.service.judge import choose_judge, open_judge
    from ctv_engine.service.judge_later import judge_all
    from ctv_engine.store.lock import EngineLock, EngineRunningError
    from ctv_engine.store.reader import StoreError
    from ctv_engine.store.writer import Writer
    from ctv_tui.cli.dashboard import check
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    path = Path(db)
    check(path)
    try:
        provider = choose_judge(Path(providers))
        judge = open_judge(provider, calls, Path(db + ".replies"))
        with EngineLock(path, socket.gethostname()):
            writer = Writer(path)
            try:
                with click.progressbar(length=1, label="judged", width=30) as bar:

                    def tell(done: int, of: int) -> None:
                        bar.length = of
                        bar.update(done - bar.pos)

                    found = judge_all(
                        writer,
                        judge,
                        _suites(writer),
                        at_once=provider.max_concurrent,
                        tell=tell,
                    )
            finally:
                writer.close()
    except ProviderError as error:
        raise CommandError(str(error), EXIT_USAGE) from error
    except (StoreError, EngineRunningError) as error:
        raise CommandError(str(error), EXIT_NO_DATABASE) from error
    click.echo(f"{found.scored:,} answers scored by {safe(judge.model)}")
    for warning in found.warnings:
        click.echo(f"warning: {safe(warning)}", err=True)
    for reason, count in found.reasons.most_common(MOST_REASONS):
        click.echo(f"{count:,} without a score: {safe(reason)}", err=True)
    if len(found.reasons) > MOST_REASONS:
        rest = sum(count for _, count in found.reasons.most_common()[MOST_REASONS:])
        click.echo(f"{rest:,} without a score for other reasons, see the items", err=True)
    ctx.exit(EXIT_FAILED if found.reasons else 0)


def _suites(writer: Writer) -> list[Suite]:
    """Return the suites of the runs where they still lie where they did, for capabilities."""
    from ctv_engine.suite import SuiteError, read_suite

    found: list[Suite] = []
    for config, *digests in writer.query("SELECT config_json, suite_digest, gold_digest FROM runs"):
        settings = json.loads(config)
        for place in (settings.get("suite"), settings.get("gold")):
            if place and Path(place).is_dir():
                try:
                    suite = read_suite(Path(place))
                except SuiteError:
                    continue
                if suite.digest in digests:
                    found.append(suite)
    return found
