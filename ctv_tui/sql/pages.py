"""The named queries as a page, with what they answer on a database: ``docs/queries.md``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from ctv_engine.store.queries import NAMES, NamedQuery, named_query
from ctv_tui.sql.asking import Rows
from ctv_tui.sql.printing import printed

ROWS_SHOWN = 8

_HEAD = """# Queries

*Written by `make docs` from `ctv_engine/store/queries/*.sql`; the samples are of a short run of the
demo on two CPU workers, with a fifth of its items and one broken picture.*

`ctv-tui query NAME --db run.db` answers each of these, on a live database too;
`--format csv|json|markdown` prints it otherwise, `--param last=5` gives a parameter a value. The
SQL also runs as it is in the sqlite3 shell, where a parameter that was not set is NULL: each has a
default for that. Each takes less than 200 ms on a database with a million predictions
(`make bench-sql`), which is why many look at the last checkpoints only, unless `last` says
otherwise. [schema.md](schema.md) describes tables, columns and views.
"""


def queries_page(path: Path) -> str:
    """Return the page, in Markdown, with samples from the database at ``path``."""
    queries = [named_query(name) for name in NAMES]
    links = [f"- [`{query.name}`](#{query.name}): {query.question}" for query in queries]
    return "\n".join([_HEAD, *links, "", *(_section(query, path) for query in queries)])


def _section(query: NamedQuery, path: Path) -> str:
    lines = [f"## {query.name}", "", query.question, ""]
    if query.note:
        lines += [query.note, ""]
    lines += [f"- `{name}`: {meaning}" for name, meaning in query.parameters]
    lines += ["", "```sql", query.sql.strip(), "```", "", "```"]
    rows = Rows(path, query.sql, dict.fromkeys(dict(query.parameters)))
    answer = list(rows)
    lines += "".join(printed("table", rows.names, islice(answer, ROWS_SHOWN))).splitlines()
    if len(answer) > ROWS_SHOWN:
        lines.append(f"… and {len(answer) - ROWS_SHOWN} more")
    return "\n".join([*lines, "```", ""])
