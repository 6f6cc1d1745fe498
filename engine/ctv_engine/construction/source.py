"""A benchmark on disk, as items that are not converted yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ctv_engine.suite import NO_META, Meta


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item came from: the file's path below the source's root and its row, from 0."""

    file: str
    row: int


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One question of a benchmark, without its picture.

    ``answers`` are the accepted open answers, ``options`` and ``gold_index`` are set where the
    benchmark is multiple choice already. ``stratum`` is what a sample is balanced over (ChartQA:
    human or augmented; MathVista: the task; MM-Vet: the capabilities), empty where there is none.
    """

    dataset: str
    key: str
    question: str
    answers: tuple[str, ...]
    origin: Origin
    options: tuple[str, ...] = ()
    gold_index: int | None = None
    meta: Meta = NO_META
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one row can't be used: what is wrong, where, and the way out. The others go on."""

    origin: Origin
    reason: str


class SourceError(Exception):
    """A source that can't be read at all; the message names the file and the way out."""


class Source(Protocol):
    """One benchmark on local disk. Both passes stream: memory does not grow with the rows."""

    @property
    def dataset(self) -> str:
        """The name that the items' dataset gets in the suite."""
        ...

    def items(self) -> Iterator[SourceItem | Fault]:
        """Yield every row in file order, without reading pictures.

        Raises:
            SourceError: a file is absent or unreadable, or lacks a column (names the nearest).
        """
        ...

    def pictures(self, items: Iterable[SourceItem]) -> Iterator[tuple[SourceItem, bytes | Fault]]:
        """Yield the encoded picture of each of ``items``, in file order.

        A picture that is absent, broken or larger than the limit in pixels is a fault of its row.
        """
        ...
