"""The part of ``ctv-tui suite build`` that asks language models: options, plan, what was spent."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctv_tui.cli.options import option

if TYPE_CHECKING:
    from ctv_engine.construction.by_models import Expected, Models
    from ctv_engine.construction.plan import Plan
    from ctv_engine.llm.budget import Budget
    from ctv_engine.llm.providers import Provider

F = TypeVar("F", bound=Callable[..., Any])
REPLIES_FILE = "replies.db"

_OPTIONS = (
    option(
        "--providers",
        env="PROVIDERS",
        type=click.Path(dir_okay=False),
        help="TOML file with [providers.NAME] tables: base_url, model, key_env (the variable that"
        " holds the key), price_in, price_out; by default those in --config.",
    ),
    option(
        "--convert",
        env="CONVERT",
        metavar="PROVIDER",
        help="Who makes the wrong options; by default rules, without any model.",
    ),
    option(
        "--review",
        env="REVIEW",
        metavar="PROVIDER",
        help="Who reviews what is proposed; by default who converts; none: nobody.",
    ),
    option(
        "--rate",
        env="RATE",
        metavar="PROVIDER",
        help="Who rates the finished options from 1 to 5; by default who converts.",
    ),
    option(
        "--annotate",
        env="ANNOTATE",
        multiple=True,
        metavar="PROVIDER",
        help="Who answers each item without the key; twice at least. Items that all answer with"
        " the key are kept, the others queued.",
    ),
    option(
        "--max-calls",
        env="MAX_CALLS",
        type=click.IntRange(min=0),
        help="Most calls that are sent this time; replies that are stored cost nothing.",
    ),
    option(
        "--max-cost",
        env="MAX_COST",
        type=click.FloatRange(min=0),
        help="Most that they may cost by the providers' prices.",
    ),
    option("--yes", "-y", "yes", env="YES", is_flag=True, help="Don't ask before models are."),
    option(
        "--dry-run",
        env="DRY_RUN",
        is_flag=True,
        help="Sample, say what models would be asked, and stop there.",
    ),
)


def model_options(command: F) -> F:
    """Add what says which models are asked, and how much they may cost."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def named(table: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Put who converts and annotates into a plan's table, over what stands there."""
    for name in ("convert", "review", "rate"):
        if values[name] is not None:
            table[name] = values[name]
    if values["annotate"]:
        table["annotate"] = list(values["annotate"])


def needs_models(plan: Plan) -> bool:
    """Whether a plan asks any language model."""
    from ctv_engine.construction.plan import RULES

    return plan.convert != RULES or bool(plan.annotate)


def parts_by_rule(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a build without models takes of the options here."""

    def stop(convert: int, annotate: int) -> bool:
        click.echo(f"to convert by rule: {convert:,} items; no model is asked", err=True)
        return False

    return {"agree": stop} if values["dry_run"] else {}


@contextmanager
def asked_models(
    plan: Plan,
    directory: Path,
    config: str | None,
    values: Mapping[str, Any],
    clear: Callable[[], None],
) -> Iterator[AskedModels]:
    """Open the replies of a build and make its clients; ``clear`` makes room for a question.

    Raises:
        PlanError: the plan names a provider that there is not.
        ProviderError: a provider's description or key is not there or not right.
        JournalError: the file of replies is none.
    """
    from ctv_engine.construction.journal import JournalError
    from ctv_engine.llm.budget import Budget
    from ctv_engine.llm.providers import ProviderError, load_providers
    from ctv_engine.llm.stored import Replies

    try:
        from ctv_engine.construction.by_models import Models
    except ImportError as error:
        raise ProviderError("asking a model takes pip install 'ctv-tui[suite]'") from error
    path = values["providers"] or config
    if path is None:
        raise ProviderError("who are the providers? name the file with --providers FILE")
    providers: Mapping[str, Provider] = load_providers(Path(path))
    budget = Budget(values["max_calls"], values["max_cost"])
    file = directory / REPLIES_FILE
    try:
        replies = Replies(file)
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{file}: {error}; remove it, and its replies are asked anew") from error
    try:
        yield AskedModels(Models(plan, providers, replies, budget), budget, values, clear)
    finally:
        replies.close()


class AskedModels:
    """The models of one call of the command, with its budget and its questions to the user."""

    def __init__(
        self,
        models: Models,
        budget: Budget,
        values: Mapping[str, Any],
        clear: Callable[[], None],
    ) -> None:
        self.models = models
        self._clear = clear
        self._budget = budget
        self._values = values

    def parts(self) -> dict[str, Any]:
        """Return what the build takes of it."""
        parts: dict[str, Any] = {"annotators": self.models.annotators, "agree": self.agree}
        if self.models.convert:
            parts["converter"] = lambda known: self.models.converter()
        return parts

    def agree(self, convert: int, annotate: int) -> bool:
        """Show what is about to be asked; on a terminal, ask whether to go on."""
        self._clear()
        for line in plan_lines(self.models.expected(convert, annotate), convert, annotate):
            click.echo(line, err=True)
        for warning in self.models.warnings():
            click.echo(f"warning: {warning}", err=True)
        click.echo(self._limits(), err=True)
        if self._values["dry_run"]:
            return False
        if self._values["yes"] or not is_terminal():
            return True
        return click.confirm("Go on?", default=True, err=True)

    def spent(self) -> str:
        """Return what was sent this time, for the line of progress and the report."""
        cost = f", cost {self._budget.cost_spent:.4g}" if self._budget.cost_spent else ""
        return f"{self._budget.calls_made:,} calls sent{cost}"

    def _limits(self) -> str:
        limits = []
        if self._budget.calls is not None:
            limits.append(f"{self._budget.calls:,} calls")
        if self._budget.cost is not None:
            limits.append(f"a cost of {self._budget.cost:g}")
        if not limits:
            return "budget: none (--max-calls, --max-cost); stored replies cost nothing"
        return f"budget: {' and '.join(limits)}; stored replies cost nothing"


def is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


def plan_lines(expected: list[Expected], convert: int, annotate: int) -> list[str]:
    """Return what models are expected to be asked, as a table for a person."""
    from ctv_tui.data.safe_text import safe

    width = max([8, *(len(one.provider.label) for one in expected)])
    lines = [
        f"to convert: {convert:,} items; to annotate: {annotate:,}",
        f"{'provider':<{width}}{'calls':>9}{'least':>9}{'most':>9}{'tokens in':>13}"
        f"{'out':>11}{'cost':>9}",
    ]
    for one in expected:
        priced = one.provider.price_in or one.provider.price_out
        cost = f"{one.cost:,.2f}" if priced else "?"
        lines.append(
            f"{safe(one.provider.label):<{width}}{one.calls_typical:>9,}{one.calls_min:>9,}"
            f"{one.calls_max:>9,}{one.input_tokens:>13,}{one.output_tokens:>11,}{cost:>9}"
        )
    return lines
