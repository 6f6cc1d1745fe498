"""What may be asked of a language model, and what can go wrong, whoever answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Reply = TypeVar("Reply", bound="BaseModel")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a language model.

    ``purpose`` groups calls for counts and budgets (``judge``, ``propose``, ``annotate`` …).
    ``image`` is an encoded picture (PNG, JPEG, …) or None. ``attempt`` above 0 asks the same
    thing anew instead of taking the stored reply.
    """

    purpose: str
    system: str
    text: str
    image: bytes | None = None
    attempt: int = 0


class AskError(Exception):
    """No usable reply. The message names provider, model and the way out; never a key."""


class Unreachable(AskError):
    """The provider did not answer within the retries, or refused the request."""


class Unreadable(AskError):
    """The provider answered, but not in the form that was asked for."""


class BudgetSpent(AskError):
    """The budget of calls or cost is used up; stored replies are still served."""


def gravest(errors: Sequence[AskError]) -> AskError:
    """Return the error that says most about what to do with other items; one at least is needed."""
    order = (BudgetSpent, Unreachable, Unreadable, AskError)
    return min(errors, key=lambda error: [isinstance(error, kind) for kind in order].index(True))


class Asker(Protocol):
    """One model at one provider."""

    @property
    def model(self) -> str:
        """The pinned model, as ``provider/model``, for provenance and votes."""
        ...

    async def ask(self, prompt: Prompt, reply: type[Reply]) -> Reply:
        """Return the model's reply in the form of ``reply``, from the store where it is known.

        Raises:
            AskError: see its subclasses; nothing was stored.
        """
        ...
