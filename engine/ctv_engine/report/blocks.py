"""What a page is made of. Text in blocks is plain; the page escapes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctv_engine.report.snapshot import Asked

Look = Literal["", "closed", "open", "gold", "warning", "dim", "number"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: the value, and small print beside it such as an interval and n."""

    text: str
    small: str = ""
    look: Look = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A line of prose."""

    text: str
    look: Look = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    ``folded`` hides it until it is asked for; ``computed`` says what was done with the rows of the
    queries beyond showing them.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    asked: tuple[Asked, ...]
    computed: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure with the words that stand for it where it can't be seen."""

    name: str
    title: str
    alt: str
    svg: str
    png: bytes
    asked: tuple[Asked, ...]
    computed: str = ""


Block = Sentence | Grid | Picture


@dataclass(frozen=True, slots=True)
class Fact:
    """What a reader wants first: a few words, the number, small print."""

    what: str
    value: str
    small: str = ""
    look: Look = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; ``anchor`` names it in the address.

    ``summary`` are the lines of the short text version, ``facts`` stand on top of the page.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    summary: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
