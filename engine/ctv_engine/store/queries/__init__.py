"""Queries that people in the field ask, by name: a file of SQL each, which says what it answers.

A file begins with comments: the question in a sentence, perhaps a paragraph on what the numbers
mean, and its parameters. Parameters that are not given are NULL, and the SQL has a default for
each, so that a file also runs as it is in the sqlite3 shell or a notebook.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

NAMES = (
    "trajectory",
    "best",
    "datasets",
    "correlation",
    "evidence",
    "waits",
    "hosts",
    "stragglers",
    "latency",
    "saving",
    "throughput",
    "output-lengths",
    "capped",
    "option-mass",
    "letter-bias",
    "flips",
    "closed-wrong-open-right",
    "hardest",
    "never-right",
    "failed",
    "keep-up",
    "gpu-minutes",
    "events",
)
"""In the order in which they are listed."""

_PARAMETER = re.compile(r":(\w+)\s+(.*)")


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A query. ``parameters`` are names and what they mean; ``sql`` is without the comments."""

    name: str
    question: str
    note: str
    parameters: tuple[tuple[str, str], ...]
    sql: str


@cache
def named_query(name: str) -> NamedQuery:
    """Return the query of that name.

    Raises:
        KeyError: there is none.
    """
    if name not in NAMES:
        raise KeyError(name)
    text = resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    lines = text.splitlines()
    head = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
    question, *notes, parameters = "\n".join(head).split("\n\n")
    described = filter(None, map(_PARAMETER.fullmatch, parameters.splitlines()))
    return NamedQuery(
        name=name,
        question=question.replace("\n", " "),
        note=" ".join(notes).replace("\n", " "),
        parameters=tuple((found[1], found[2]) for found in described),
        sql="\n".join(line for line in lines if not line.startswith("--")),
    )
