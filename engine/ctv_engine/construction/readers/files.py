"""A benchmark in files, as a stream of items and, on demand, of their pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ctv_engine.construction.readers.benchmarks import Benchmark, RowError
from ctv_engine.construction.readers.columns import MissingColumnError, chosen_columns
from ctv_engine.construction.readers.pictures import PictureError, picture_bytes, whole_picture
from ctv_engine.construction.readers.tables import TSV, Table, find_tables, open_table
from ctv_engine.construction.source import Fault, Origin, SourceError, SourceItem

LONGEST_REFERENCE = 64
"""Characters up to which a TSV's picture cell may be the index of the row that has the picture."""


class FileSource:
    """The rows of one benchmark's files; see :class:`~ctv_engine.construction.source.Source`."""

    def __init__(
        self,
        benchmark: Benchmark,
        path: Path,
        dataset: str,
        images: Path | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Open the files and find the columns.

        Raises:
            SourceError: a file is absent or unreadable, or lacks a column.
        """
        self.benchmark = benchmark
        self._dataset = dataset
        files = find_tables(path)
        self._root = path if path.is_dir() else path.parent
        self._images = images or self._root
        self._tables: dict[str, Table] = {}
        self._columns: dict[str, dict[str, str]] = {}
        for file in files:
            name = file.relative_to(self._root).as_posix()
            table = open_table(file)
            try:
                chosen = chosen_columns(benchmark.parts, table.columns, columns or {})
            except MissingColumnError as error:
                raise SourceError(f"{file}: {error}") from error
            self._tables[name], self._columns[name] = table, chosen
        self._many = len(files) > 1

    @property
    def dataset(self) -> str:
        """The name of the items' dataset."""
        return self._dataset

    def items(self) -> Iterator[SourceItem | Fault]:
        """Yield every row in file order, without its picture.

        Keys that occur again get the place of their row behind them.

        Raises:
            SourceError: a file can't be read on.
        """
        seen: set[str] = set()
        for name, table in self._tables.items():
            chosen = self._columns[name]
            wanted = [column for part, column in chosen.items() if part != "image"]
            for number, row in enumerate(table.rows(wanted)):
                origin = Origin(name, number)
                try:
                    asked = self.benchmark.read(
                        {part: row.get(column) for part, column in chosen.items()}
                    )
                except RowError as error:
                    yield Fault(origin, str(error))
                    continue
                place = f"{Path(name).stem}-{number}" if self._many else str(number)
                key = asked.key or place
                if key in seen:
                    key = f"{key}@{place}"
                seen.add(key)
                yield SourceItem(
                    dataset=self._dataset,
                    key=key,
                    question=asked.question,
                    answers=asked.answers,
                    origin=origin,
                    options=asked.options,
                    gold_index=asked.gold_index,
                    meta=asked.meta,
                    stratum=asked.stratum,
                )

    def pictures(self, items: Iterable[SourceItem]) -> Iterator[tuple[SourceItem, bytes | Fault]]:
        """Yield the picture of each item, in the order in which the files hold the pictures."""
        by_file: dict[str, list[SourceItem]] = defaultdict(list)
        for item in items:
            by_file[item.origin.file].append(item)
        for name in self._tables:
            if by_file[name]:
                yield from self._pictures(name, by_file[name])

    def _pictures(
        self, name: str, items: list[SourceItem]
    ) -> Iterator[tuple[SourceItem, bytes | Fault]]:
        table, column = self._tables[name], self._columns[name]["image"]
        holders: dict[int, list[SourceItem]] = defaultdict(list)
        pointers = self._references[name] if Path(name).suffix.lower() in TSV else {}
        for item in items:
            holders[pointers.get(item.origin.row, item.origin.row)].append(item)
        for number, row in table.some(sorted(holders), [column]):
            found = self._picture(row.get(column))
            for item in holders.pop(number):
                yield item, Fault(item.origin, found) if isinstance(found, str) else found
        for left in holders.values():
            for item in left:
                yield item, Fault(item.origin, "the row that its picture refers to is not there")

    def _picture(self, cell: Any) -> bytes | str:
        try:
            return whole_picture(picture_bytes(cell, self._images))
        except PictureError as error:
            return str(error)

    @cached_property
    def _references(self) -> dict[str, dict[int, int]]:
        """Of each TSV, which row has the picture of a row that has none of its own."""
        found: dict[str, dict[int, int]] = {}
        for name, table in self._tables.items():
            if Path(name).suffix.lower() not in TSV:
                continue
            chosen = self._columns[name]
            index = "index" if "index" in table.columns else chosen.get("key", "")
            short: dict[int, str] = {}
            numbers: dict[str, int] = {}
            for number, row in enumerate(table.rows([chosen["image"], index])):
                cell = str(row[chosen["image"]]).strip()
                numbers[str(row.get(index, number)).strip()] = number
                if 0 < len(cell) <= LONGEST_REFERENCE:
                    short[number] = cell
            found[name] = {
                number: numbers[cell] for number, cell in short.items() if cell in numbers
            }
        return found
