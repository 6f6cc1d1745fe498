"""Which column plays which part, and what a cell says."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_LITERAL = 200_000
"""Characters of a cell that is read as a list."""


_QUOTED = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_SIDE_BY_SIDE = re.compile(r"""['"]\s+['"]""")


class MissingColumnError(Exception):
    """A column that a benchmark needs is not in the file; names the nearest."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that a column plays, under the names that it has in published files.

    Of an optional part that is absent, cells are None.
    """

    name: str
    columns: tuple[str, ...]
    optional: bool = False


def chosen_columns(
    parts: Sequence[Part], present: Sequence[str], named: Mapping[str, str]
) -> dict[str, str]:
    """Return the column of each part: the one that is ``named``, else the first that is present.

    Raises:
        MissingColumnError: none is present, or the named one is not.
    """
    lower = {column.lower(): column for column in reversed(present)}
    chosen: dict[str, str] = {}
    for part in parts:
        wanted = (named[part.name],) if part.name in named else part.columns
        found = next((lower[name.lower()] for name in wanted if name.lower() in lower), None)
        if found is not None:
            chosen[part.name] = found
        elif part.name in named or not part.optional:
            raise MissingColumnError(_missing(part, wanted, present))
    unknown = named.keys() - {part.name for part in parts}
    if unknown:
        known = ", ".join(part.name for part in parts)
        raise MissingColumnError(f"no part is called {min(unknown)!r}; the parts are {known}")
    return chosen


def _missing(part: Part, wanted: Sequence[str], present: Sequence[str]) -> str:
    looked = " or ".join(repr(name) for name in wanted)
    text = f"no column {looked} for the {part.name}"
    folded = {column.lower(): column for column in present}
    near = [
        match
        for name in wanted
        for match in difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    ]
    if near:
        text += f"; the nearest is {folded[near[0]]!r}: name it with --columns {part.name}=COLUMN"
    return f"{text} (columns: {', '.join(present)})"


def text(cell: Any) -> str:
    """Return a cell as one trimmed text; a list with one element is that element."""
    if isinstance(cell, (list, tuple)) and len(cell) == 1:
        cell = cell[0]
    return _plain(cell)


def texts(cell: Any, *, blanks: bool = False) -> list[str]:
    """Return a cell as a list of texts, empty ones left out unless ``blanks`` is set.

    A text that is written as a list (Python, NumPy or JSON) is read as literals, never evaluated;
    any other text is a list of one. Elements may be objects with an ``answer`` (VizWiz).
    """
    if isinstance(cell, str):
        cell = _literal(cell)
    if not isinstance(cell, (list, tuple)):
        cell = [cell]
    elements = (e.get("answer") if isinstance(e, Mapping) else e for e in cell)
    return [text for text in map(_plain, elements) if text or blanks]


def _plain(element: Any) -> str:
    """Return what a cell says; half of a surrogate pair, which no file can hold, becomes ``?``."""
    shown = "" if element is None else str(element).strip()
    return shown.encode("utf-8", "replace").decode("utf-8")


def _literal(cell: str) -> Any:
    shown = cell.strip()
    if not (shown.startswith("[") and shown.endswith("]")) or len(shown) > MAX_LITERAL:
        return cell
    for read in (json.loads, _numpy_texts, ast.literal_eval):
        try:
            found = read(shown)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(found, (list, tuple)):
            return found
    return cell


def _numpy_texts(shown: str) -> list[str] | None:
    """Return the texts of ``['a' 'b']``, as NumPy prints an array; None if it is written otherwise.

    Python would join the two.
    """
    if _SIDE_BY_SIDE.search(shown) is None:
        return None
    inner = shown[1:-1].strip()
    parts = [match[0] for match in _QUOTED.finditer(inner)]
    if _QUOTED.sub("", inner).strip() or len(parts) < 2:
        return None
    return [str(ast.literal_eval(part)) for part in parts]
