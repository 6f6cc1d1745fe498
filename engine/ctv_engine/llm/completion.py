"""The body of a chat completion, read without trust: servers differ, and some are broken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MAX_REPLY = 200_000
"""Characters of a reply that are looked at."""

_MOST_TOKENS = 10**9


class NoCompletionError(ValueError):
    """A body that is no chat completion: HTML, cut off, empty, of another protocol."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote. ``unfinished`` says why the text can't be whole, "" where it may be."""

    text: str
    unfinished: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


def read_completion(body: bytes) -> Completion:
    """Return the first choice of a chat completion.

    Raises:
        NoCompletionError: it is none.
    """
    try:
        made = json.loads(body)
        choice = made["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise NoCompletionError(type(error).__name__) from None
    usage = made.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(
        text=text[:MAX_REPLY].encode(errors="replace").decode(),
        unfinished=_unfinished(choice, message),
        input_tokens=_tokens(usage.get("prompt_tokens")),
        output_tokens=_tokens(usage.get("completion_tokens")),
    )


def _text(content: Any) -> str:
    """Return a message's text, which some servers give in parts."""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if part.get("type") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError(content)
    return content or ""


def _unfinished(choice: dict[str, Any], message: dict[str, Any]) -> str:
    if message.get("refusal"):
        return "the model refused to answer"
    if choice.get("finish_reason") == "length":
        return "the reply was cut off; a larger max_tokens may help"
    if choice.get("finish_reason") == "content_filter":
        return "the provider's filter held the reply back"
    return ""


def _tokens(value: Any) -> int | None:
    """Return a count of tokens, None where it can't be one: it is multiplied with a price."""
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
