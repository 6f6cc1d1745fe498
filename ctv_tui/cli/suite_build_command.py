"""``ctv-tui suite build``: a paired validation set from benchmarks on disk."""

from __future__ import annotations

import sqlite3
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from ctv_tui.cli.options import option
from ctv_tui.cli.suite_build_models import (
    asked_models,
    model_options,
    named,
    needs_models,
    parts_by_rule,
)

if TYPE_CHECKING:
    from ctv_engine.construction.build import Report
    from ctv_engine.construction.plan import Plan
    from ctv_engine.suite import Suite


@click.command("build")
@option(
    "--config",
    env="BUILD_CONFIG",
    type=click.Path(dir_okay=False),
    help="TOML file with the plan; options on the command line go before it.",
)
@option(
    "--out",
    env="BUILD_OUT",
    required=True,
    type=click.Path(file_okay=False),
    help="Directory of the suite and of the build's journal.",
)
@option(
    "--source",
    "sources",
    env="SOURCES",
    multiple=True,
    metavar="BENCHMARK=PATH",
    help="A file, or a folder of files; repeatable. Benchmarks: chartqa, infovqa, docvqa,"
    " mathvista, mmvet, vizwiz, vmcbench (with the open ones that it was made from), generic.",
)
@option(
    "--n",
    "counts",
    env="COUNTS",
    multiple=True,
    metavar="[BENCHMARK=]N",
    help="How many items of each, or of one; all without it.",
)
@option("--preset", env="PRESET", help="Counts by name: paper-2230.")
@option(
    "--images", env="IMAGES", multiple=True, metavar="BENCHMARK=DIR", help="Where pictures lie."
)
@option(
    "--columns",
    env="COLUMNS",
    multiple=True,
    metavar="[BENCHMARK.]PART=COLUMN",
    help="A column's name where it is not the published one; repeatable.",
)
@option("--name", env="SUITE_NAME", help="Name of the suite; by default that of the directory.")
@option("--seed", env="SEED", type=int, help="Of the sample; by default 0.")
@option("--options", "options_", env="OPTIONS", type=int, help="Options per item; by default 4.")
@option(
    "--restart",
    env="RESTART",
    is_flag=True,
    help="Forget what an earlier build did there, but for the models' replies.",
)
@model_options
@click.pass_context
def command(
    ctx: click.Context, /, config: str | None, out: str, restart: bool, **values: Any
) -> None:
    """Make a paired suite: sample, convert to multiple choice, check, write.

    Wrong options come from the answers of the same dataset, by rule, without model or network; with
    --convert, language models propose, review, choose and rate them. A call that was interrupted
    goes on where it ended when it is repeated, and pays for no reply twice; the suite can be
    written again and again while it grows.
    """
    from ctv_engine.construction.build import Build
    from ctv_engine.construction.journal import JournalError
    from ctv_engine.construction.plan import PlanError
    from ctv_engine.construction.source import SourceError
    from ctv_engine.llm.providers import ProviderError
    from ctv_engine.suite import SuiteError
    from ctv_tui.cli.engine_process import CommandError

    directory = Path(out)
    try:
        plan = _plan(config, directory, values)
        with ExitStack() as stack:
            progress = stack.enter_context(_Progress())
            models = None
            if needs_models(plan):
                models = stack.enter_context(
                    asked_models(plan, directory, config, values, progress.clear)
                )
                progress.beside = models.spent
            parts = models.parts() if models is not None else parts_by_rule(values)
            build = Build(directory, plan, tell=progress.show, restart=restart, **parts)
            stack.enter_context(closing(build))
            report = build.run()
    except KeyboardInterrupt:
        click.echo("\ninterrupted; repeat the command to go on", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    except (PlanError, JournalError, ProviderError, SourceError, SuiteError) as error:
        raise CommandError(str(error), EXIT_USAGE) from error
    except OSError as error:
        raise CommandError(f"{directory}: {error}", EXIT_FAILED) from error
    except sqlite3.Error as error:
        raise CommandError(
            f"{directory / 'build.db'}: {error}; is another build running there, or the disk full?",
            EXIT_FAILED,
        ) from error
    if values["dry_run"]:
        if report.stopped is None:
            click.echo("nothing is left to convert or annotate", err=True)
        return
    for line in report_lines(report, directory):
        click.echo(line)
    sound = report.suite is not None and _audited(report.suite, directory)
    if models is not None:
        click.echo(models.spent())
    ctx.exit(0 if sound and not report.waiting else EXIT_FAILED)


def _audited(suite: Suite, directory: Path) -> bool:
    """Say what an audit finds; return whether the suite passes."""
    from ctv_engine.construction.audit import audit
    from ctv_tui.data.safe_text import safe

    found = audit(suite)
    for one in found.findings:
        if one.verdict != "pass":
            click.echo(f"audit: {one.verdict}: {one.check}: {safe(one.measured)}")
    if found.failed:
        click.echo(f"audit: failed; its items: ctv-tui suite audit {safe(str(directory))}")
    else:
        click.echo("audit: passed")
    return not found.failed


def _plan(config: str | None, directory: Path, values: Mapping[str, Any]) -> Plan:
    from ctv_engine.construction.plan import PlanError, check_table, plan_of

    table: dict[str, Any] = {"name": directory.name}
    base = Path()
    if config is not None:
        path = Path(config)
        try:
            table |= tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PlanError(f"{path}: can't be read ({error})") from error
        check_table(table)
        base = path.parent
    sources: dict[str, Any] = {
        name: _from(base, entry) for name, entry in table.get("sources", {}).items()
    }
    for text in values["sources"]:
        benchmark, path_text = _pair(text, "--source", "chartqa=PATH")
        sources[benchmark] = sources.get(benchmark, {}) | {"path": path_text}
    for text in values["images"]:
        benchmark, folder = _pair(text, "--images", "chartqa=DIR")
        _of(sources, benchmark, "--images")["images"] = folder
    for text in values["columns"]:
        part, column = _pair(text, "--columns", "answer=COLUMN")
        benchmark, dot, rest = part.partition(".")
        for name in [benchmark] if dot else list(sources):
            entry = _of(sources, name, "--columns")
            entry["columns"] = {**entry.get("columns", {}), (rest if dot else part): column}
    named(table, values)
    for name in ("name", "seed", "preset"):
        if values[name] is not None:
            table[name] = values[name]
    if values["options_"] is not None:
        table["options"] = values["options_"]
    for text in values["counts"]:
        benchmark, _, number = text.rpartition("=")
        if not (number.isascii() and number.isdigit()):
            raise PlanError(f"--n {text}: write a number, or chartqa=450")
        for name in [benchmark] if benchmark else list(sources):
            _of(sources, name, "--n")["n"] = int(number)
    plan = plan_of({**table, "sources": sources}, Path())
    return replace(plan, sources=tuple(replace(s, path=_short(s.path)) for s in plan.sources))


def _from(base: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Return a table of the file with its paths as seen from here."""
    paths = {name: str(base / entry[name]) for name in ("path", "images") if name in entry}
    return entry | paths


def _short(path: str) -> str:
    return str(Path(path).resolve())


def _of(sources: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    from ctv_engine.construction.plan import PlanError

    if name not in sources:
        known = ", ".join(sources) or "none"
        raise PlanError(f"{what}: no source is called {name!r}; there are {known}")
    entry: dict[str, Any] = sources[name]
    return entry


def _pair(text: str, what: str, example: str) -> tuple[str, str]:
    from ctv_engine.construction.plan import PlanError

    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise PlanError(f"{what} {text}: write it as {example}")
    return name, value


class _Progress:
    """A line that tells what is being done; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._what = ""
        self.beside: Callable[[], str] = str
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away."""
        if self._is_terminal and self._what:
            click.echo("\r\x1b[K", nl=False, err=True)

    def show(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if not self._is_terminal or (what == self._what and now - self._shown_at < 0.1):
            return
        self._what, self._shown_at = what, now
        from ctv_tui.data.safe_text import safe

        line = f"{safe(what)}: {done:,} of {of:,}"
        if beside := self.beside():
            line += f"; {beside}"
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)


def report_lines(report: Report, directory: Path) -> list[str]:
    """Return what a build came to, as lines for a person."""
    from ctv_engine.construction.journal import State
    from ctv_tui.data.safe_text import safe

    head = f"{'dataset':<16}{'rows':>8}{'faulty':>8}{'wanted':>8}{'kept':>8}{'queued':>8}{'out':>6}"
    lines = [head]
    for name, counts in report.counts.items():
        wanted = "all" if counts.wanted is None else f"{counts.wanted:,}"
        kept = report.of(name, State.KEPT)
        out = report.of(name, State.REJECTED, State.DROPPED)
        lines.append(
            f"{safe(name):<16}{counts.rows:>8,}{counts.faults.total():>8,}{wanted:>8}{kept:>8,}"
            f"{report.of(name, State.QUEUED):>8,}{out:>6,}"
        )
    for name, counts in report.counts.items():
        for reason, count in counts.faults.most_common(3):
            example = counts.examples[reason]
            where = f"{example.origin.file} row {example.origin.row}"
            lines.append(
                f"{safe(name)}: {count} rows: {safe(example.reason)} (first: {safe(where)})"
            )
    for (name, reason), count in report.reasons.most_common(6):
        lines.append(f"{safe(name)}: {count} items: {safe(reason)}")
    if report.stopped:
        lines.append(f"stopped: {safe(report.stopped)}")
    if report.waiting:
        lines.append(f"{report.waiting:,} items wait; repeat the command to go on")
    queued = sum(n for (_, state), n in report.states.items() if state is State.QUEUED)
    if queued:
        lines.append(f"{queued:,} items are queued: ctv-tui suite review {safe(str(directory))}")
    if report.suite is None:
        lines.append("nothing is kept yet, so no suite was written")
    else:
        suite = report.suite
        lines.append(
            f"suite {safe(suite.name)}: {len(suite.items):,} items, digest {suite.digest[:16]},"
            f" in {safe(str(directory))}"
        )
    return lines
