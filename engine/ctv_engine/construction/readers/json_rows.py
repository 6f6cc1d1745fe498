"""Objects of a JSON file one after the other, however large the file is.

The rows are a list, or lie in one below a name (DocVQA: ``{"data": […]}``), or are the values of an
object (MathVista and MM-Vet: ``{"v1_0": {…}}``); then a row's name is its ``id`` if it has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

CHUNK = 1 << 16
MAX_VALUE = 1 << 27
"""Characters of one row."""


def json_rows(file: TextIO) -> Iterator[Any]:
    """Yield the rows of an open JSON file; what is no object is for the caller to refuse.

    Raises:
        ValueError: the file is no JSON, or a row is too long.
    """
    text = _Text(file)
    if text.peek() == "[":
        yield from _elements(text)
    elif text.peek() == "{":
        yield from _members(text)
    else:
        raise ValueError("it begins with neither a list nor an object")
    if text.peek():
        raise ValueError("more text after its end")


def _elements(text: _Text) -> Iterator[Any]:
    text.skip("[")
    more = text.peek() != "]"
    while more:
        yield text.value()
        more = text.peek() == ","
        if more:
            text.skip(",")
    text.skip("]")


def _members(text: _Text) -> Iterator[Any]:
    text.skip("{")
    more = text.peek() != "}"
    while more:
        name = text.value()
        if not isinstance(name, str):
            raise ValueError("a name is no text")
        text.skip(":")
        if text.peek() == "[":
            yield from _elements(text)
        else:
            row = text.value()
            if isinstance(row, dict):  # other values describe the file
                yield {"id": name, **row}
        more = text.peek() == ","
        if more:
            text.skip(",")
    text.skip("}")


class _Text:
    """The text of a file from where it was read to; holds one value at a time."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held, self._at, self._is_all = "", 0, False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is no space, empty at the end."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._held) or self._is_all:
                return self._held[self._at : self._at + 1]
            self._read_on()

    def skip(self, sign: str) -> None:
        """Go past a sign that has to come now."""
        found = self.peek()
        if found != sign:
            raise ValueError(f"{found!r} where {sign!r} is due" if found else "it ends too early")
        self._at += 1

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError:
                if self._is_all or len(self._held) - self._at > MAX_VALUE:
                    raise
            else:
                if end < len(self._held) or self._is_all:  # else a number may go on
                    self._at = end
                    return found
            self._read_on()

    def _read_on(self) -> None:
        # As much again as is held: a long value is not tried anew for each of its chunks.
        held = self._held[self._at :]
        coming = self._file.read(max(CHUNK, len(held)))
        self._held, self._at, self._is_all = held + coming, 0, not coming
