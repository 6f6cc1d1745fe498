"""A report's page as a test reads it: tables, figures, queries and whatever points out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Table:
    """A table with its caption; every cell's text, small print after two blanks."""

    caption: str = ""
    heads: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def row(self, *names: str) -> dict[str, str]:
        """The row whose first cells are ``names``, by heading."""
        found = [row for row in self.rows if tuple(row[: len(names)]) == names]
        assert len(found) == 1, (names, self.rows)
        return dict(zip(self.heads, found[0], strict=True))


class ReadPage(HTMLParser):
    """Parses a page; fails on a tag that is closed without having been opened."""

    VOID = ("meta", "br", "img", "input", "link", "hr")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[Table] = []
        self.queries: dict[str, str] = {}
        self.facts: dict[str, tuple[str, str]] = {}
        self.sentences: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.labelled: list[str] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self._csv = ""
        self._fact: list[str] = []
        self.svgs = re.findall(r"<svg\b.*?</svg>", text, flags=re.DOTALL)
        self.feed(text)
        self.close()
        assert self._open == []

    def table(self, caption: str) -> Table:
        """The one table whose caption begins so."""
        (found,) = [table for table in self.tables if table.caption.startswith(caption)]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if name == "aria-labelledby":
                self.labelled.append(value or "")
            if name == "data-csv":
                self._csv = value or ""
        if tag in self.VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self.tables.append(Table())
        elif tag == "tr":
            self.tables[-1].rows.append([])
        if tag == "small" and self._text:
            self._text.append("  ")
        elif tag in ("td", "th", "caption", "pre", "p", "dt", "dd"):
            self._text = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, (tag, self._open)
        self._open.pop()
        text = "".join(self._text).strip()
        if tag == "caption":
            self.tables[-1].caption = text
        elif tag in ("td", "th") and "thead" in self._open:
            self.tables[-1].heads.append(text)
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append(re.sub(r" {3,}", "  ", text))
        elif tag == "thead":
            self.tables[-1].rows.clear()
        elif tag == "pre":
            known = self.queries.setdefault(self._csv, "".join(self._text))
            assert known == "".join(self._text)
        elif tag == "p":
            self.sentences.append(text)
        elif tag in ("dt", "dd"):
            self._fact.append(text)
            if len(self._fact) == 3:
                self.facts[self._fact[0]] = (self._fact[1], self._fact[2])
                self._fact = []
