"""Rows as text, a piece at a time: a table or Markdown for people, CSV or JSON for programs.

What is for people is one line a row and can't steer a terminal; what is for programs is exact.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Literal, get_args

from ctv_tui.data.safe_text import cells, pad, safe, shorten

Format = Literal["table", "csv", "json", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)

MISSING = "–"
LOOKED_AT = 500
"""The first rows of a table, which say how wide its columns are."""
_WIDEST, _LAST_WIDEST = 40, 160
_CELL_READ = 1000
"""Characters of a value that a cell of a table is made from; the rest would never be seen."""

Row = Sequence[Any]


def printed(kind: Format, names: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield the answer to a statement as text; every piece ends with a line's end."""
    return _PRINTERS[kind](names, iter(rows))


def _table(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """Columns as wide as their widest cell of the first rows; longer cells are cut."""
    first = list(islice(rows, LOOKED_AT))
    shown = [[_cell(value) for value in row] for row in first]
    widest = [_WIDEST] * (len(names) - 1) + [_LAST_WIDEST]
    heads = [safe(name) for name in names]
    widths = [
        min(limit, max([cells(head), *(cells(row[place]) for row in shown)]))
        for place, (head, limit) in enumerate(zip(heads, widest, strict=True))
    ]
    right = [_is_numeric(first, place) for place in range(len(names))]

    def line(texts: Iterable[str]) -> str:
        parts = [
            pad(text, width, right=to_right)
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip() + "\n"

    yield line(heads)
    yield line("-" * width for width in widths)
    yield from map(line, shown)
    for row in rows:
        yield line(map(_cell, row))


def _is_numeric(rows: Sequence[Row], place: int) -> bool:
    kinds = {type(row[place]) for row in rows if row[place] is not None}
    return bool(kinds) and kinds <= {int, float}


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bytes):
        return f"x'{value[:_CELL_READ].hex()}'"
    text = str(value)
    short = safe(text[:_CELL_READ])
    return f"{short}…" if len(text) > _CELL_READ else short


def _markdown(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    def line(texts: Iterable[str]) -> str:
        escaped = (text.replace("\\", "\\\\").replace("|", "\\|") for text in texts)
        return f"| {' | '.join(escaped)} |\n"

    first = list(islice(rows, LOOKED_AT))
    yield line(map(safe, names))
    rule = ("---:" if _is_numeric(first, place) else "---" for place in range(len(names)))
    yield f"| {' | '.join(rule)} |\n"
    for row in chain(first, rows):
        yield line(shorten(_cell(value), _LAST_WIDEST) for value in row)


class _Returned:
    """A file whose lines are handed back."""

    def write(self, text: str) -> str:
        return text


_CSV = csv.writer(_Returned(), lineterminator="\n")


def csv_line(values: Row) -> str:
    """Return a line of CSV. NULL is nothing at all, an empty text is a pair of quotes."""
    if len(values) > 1 and "" not in values and bytes not in map(type, values):
        return str(_CSV.writerow(values))
    return ",".join(map(_csv_field, values)) + "\n"


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    if value == "":
        return '""'
    text = value.hex() if isinstance(value, bytes) else value
    return str(_CSV.writerow((text,))).removesuffix("\n")


def _csv(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    yield csv_line(names)
    yield from map(csv_line, rows)


def _json(names: Sequence[str], rows: Iterator[Row]) -> Iterator[str]:
    """A list with an object a line; of columns with one name the later ones get a number."""
    keys = _distinct(names)
    encode = json.JSONEncoder(allow_nan=False, default=bytes.hex).encode
    before = "[\n"
    for row in rows:
        try:
            yield before + encode(dict(zip(keys, row, strict=True)))
        except ValueError:
            values = zip(map(encode, keys), map(_json_value, row), strict=True)
            yield f"{before}{{{', '.join(f'{key}: {value}' for key, value in values)}}}"
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _json_value(value: Any) -> str:
    """Return a value as JSON; one that is infinite as a number that is read as such."""
    if isinstance(value, float) and not math.isfinite(value):
        return "9e999" if value > 0 else "-9e999"
    return json.dumps(value, default=bytes.hex)


def _distinct(names: Sequence[str]) -> list[str]:
    taken: dict[str, None] = {}
    for name in names:
        number, key = 2, name
        while key in taken:
            key = f"{name}_{number}"
            number += 1
        taken[key] = None
    return list(taken)


_PRINTERS: dict[Format, Callable[[Sequence[str], Iterator[Row]], Iterator[str]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
}
