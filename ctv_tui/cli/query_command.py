"""``ctv-tui query``: ask a database, by the name of a query or in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO_DATABASE, EXIT_USAGE
from ctv_tui.cli.options import db_option, option

if TYPE_CHECKING:
    from ctv_engine.store.queries import NamedQuery

LINES_AT_ONCE = 500


def _parameters(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """Read ``NAME=VALUE`` pairs; what is a number in its usual form is one."""
    found: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        name = name.strip().lstrip(":@$")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE; example: last=5")
        found[name] = _value(value)
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and abs(number) < 2**63:
            return number
    return text


@click.command("query")
@click.argument("query", metavar="NAME|SQL", required=False, envvar="CTV_TUI_QUERY")
@db_option
@option(
    "--format",
    "kind",
    env="FORMAT",
    default="table",
    show_default=True,
    type=click.Choice(["table", "csv", "json", "markdown"]),
    help="table and markdown are for reading: control characters are shown, long values cut.",
)
@option(
    "--param",
    "parameters",
    env="PARAM",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parameters,
    help="Value of :NAME in the statement; repeatable.",
)
@option(
    "--timeout",
    "timeout_s",
    env="TIMEOUT",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds that the database may work on it; 0: no limit.",
)
@option("--list", "list_them", env="LIST", is_flag=True, help="List the queries that have a name.")
@click.pass_context
def command(
    ctx: click.Context,
    query: str | None,
    db: str,
    kind: str,
    parameters: dict[str, Any],
    timeout_s: float,
    list_them: bool,
) -> None:
    """Ask a database, live or finished, and print the rows.

    NAME is one of --list; docs/queries.md shows them all. SQL is one statement that reads: the
    database can't be changed through it.
    """
    from ctv_engine.store.queries import NAMES, named_query
    from ctv_engine.store.reader import StoreError
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe
    from ctv_tui.sql.asking import AskingError, Rows
    from ctv_tui.sql.printing import printed

    if list_them:
        _list(named_query(name) for name in NAMES)
        return
    if query is None:
        raise CommandError("give the NAME of a query (see --list), or SQL", EXIT_USAGE)
    sql, called = query, "query"
    if len(query.split()) == 1 and ";" not in query:
        called = query.strip()
        sql, parameters = _named(called, parameters)
    try:
        rows = Rows(Path(db), sql, parameters, timeout_s)
        lines = printed(kind, rows.names, rows)  # type: ignore[arg-type]
        while text := "".join(islice(lines, LINES_AT_ONCE)):
            click.echo(text, nl=False)
    except StoreError as error:
        raise CommandError(safe(str(error)), EXIT_NO_DATABASE) from error
    except AskingError as error:
        status = EXIT_FAILED if error.is_late else EXIT_USAGE
        raise CommandError(f"{called}: {error}", status) from error
    except KeyboardInterrupt:
        ctx.exit(EXIT_INTERRUPTED)


def _named(name: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a query's SQL and its parameters, those without a value as NULL.

    Raises:
        CommandError: there is no such query, or it has no such parameter.
    """
    from ctv_engine.store.queries import NAMES, named_query
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.sql.names import nearest

    if name not in NAMES:
        text = f"no query is called {name!r}{nearest(name, NAMES)}; --list lists them"
        raise CommandError(text, EXIT_USAGE)
    query = named_query(name)
    known = dict.fromkeys(dict(query.parameters))
    for unknown in given.keys() - known.keys():
        has = ", ".join(f":{one}" for one in known)
        raise CommandError(f"{name} has no parameter :{unknown}; it has {has}", EXIT_USAGE)
    return query.sql, known | given


def _list(queries: Iterable[NamedQuery]) -> None:
    found = list(queries)
    width = max(len(query.name) for query in found)
    for query in found:
        click.echo(f"{query.name:<{width}}  {query.question}")
        for name, meaning in query.parameters:
            click.echo(f"{'':<{width}}    :{name}  {meaning}")
