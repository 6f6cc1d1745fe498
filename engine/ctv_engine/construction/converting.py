"""What turns an open question into multiple choice, and what checks the result: the two seams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ctv_engine.construction.journal import Draft, Vote


@dataclass(frozen=True, slots=True)
class Pool:
    """What a converter may know of the item's dataset: the open metric that its suite names."""

    metric: str


@dataclass(frozen=True, slots=True)
class Converted:
    """A closed form. The order of ``options`` means nothing: the suite places them per item."""

    options: tuple[str, ...]
    gold_index: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The item has no closed form that can be trusted, and why."""

    reason: str


class Converter(Protocol):
    """Finds wrong options for an item."""

    @property
    def name(self) -> str:
        """What the provenance calls it."""
        ...

    async def convert(self, draft: Draft, picture: bytes, pool: Pool) -> Converted | Rejected:
        """Return the item's options, or why it gets none.

        Raises:
            AskError: a language model did not answer; nothing is decided about the item.
        """
        ...


class Annotator(Protocol):
    """Answers converted items without knowing the key."""

    @property
    def name(self) -> str:
        """Whose votes these are, as the journal keeps them."""
        ...

    async def vote(self, draft: Draft, picture: bytes) -> Vote:
        """Return the annotator's answer to a converted item.

        Raises:
            AskError: no answer; the item waits to be asked again.
        """
        ...
