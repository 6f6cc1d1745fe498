"""Rows of a file on disk, one after the other: Parquet, JSON, JSON Lines, TSV.

Memory does not grow with the rows: of Parquet only the asked columns of a few rows are held, of the
others one row. A column with pictures is read only where pictures are asked for.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ctv_engine.construction.readers.json_rows import json_rows
from ctv_engine.construction.source import SourceError

Row = Mapping[str, Any]
ROWS_AT_ONCE = 64
PARQUET, TSV = {".parquet"}, {".tsv"}
JSON_LINES, JSON = {".jsonl", ".ndjson"}, {".json"}
LONGEST_CELL = 1 << 27
"""Characters of a TSV's cell; without a limit a quote that is never closed takes the whole file."""
ROWS_WITH_COLUMNS = 100
"""So many rows of a JSON file say which columns it has; a row may lack some."""
KNOWN = PARQUET | TSV | JSON_LINES | JSON


class Table(Protocol):
    """One file of rows."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, in the file's order."""
        ...

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yield every row with at least these of its columns.

        Raises:
            SourceError: the file can't be read on; names the row where it can.
        """
        ...

    def some(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        """Yield the rows of these numbers (ascending, from 0) with these columns."""
        ...


def find_tables(path: Path) -> list[Path]:
    """Return the files of a source by name: the one, those of a folder, or of ``folder/val-*``.

    Raises:
        SourceError: nothing there that can be read, or the files of several splits.
    """
    if path.is_file():
        if path.suffix.lower() not in KNOWN:
            raise SourceError(f"{path}: not one of {', '.join(sorted(KNOWN))}")
        return [path]
    if path.is_dir():
        folder, there = path, list(path.iterdir())
    elif any(sign in path.name for sign in "*?["):
        folder, there = path.parent, list(path.parent.glob(path.name))
    else:
        raise SourceError(f"{path}: no such file or folder")
    for kinds in (PARQUET, TSV, JSON_LINES, JSON):
        found = sorted(f for f in there if f.suffix.lower() in kinds and f.is_file())
        if found:
            splits = {match[1] for file in found if (match := _SHARD.match(file.name))}
            if len(splits) > 1:
                one = min(splits - {"train"})
                raise SourceError(
                    f"{path}: the files of several splits ({', '.join(sorted(splits))}); name one:"
                    f" '{folder / one}-*'"
                )
            return found
    raise SourceError(f"{path}: no {', '.join(sorted(KNOWN))} in this folder")


_SHARD = re.compile(r"(.+?)-\d+-of-\d+")


def open_table(path: Path) -> Table:
    """Open a file by its suffix.

    Raises:
        SourceError: it can't be read, or is of no known kind.
    """
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _Parquet(path)
    if suffix in TSV:
        return _Tsv(path)
    return _Json(path, lines=suffix in JSON_LINES)


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as arrow
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise SourceError(
                f"{path}: reading Parquet takes pip install 'ctv-tui[suite]'"
            ) from error
        self._path = path
        self._errors: tuple[type[Exception], ...] = (arrow.ArrowException, OSError)
        try:
            self._file = parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        except self._errors as error:
            raise SourceError(f"{path}: not a Parquet file that can be read ({error})") from error

    @property
    def columns(self) -> Sequence[str]:
        return list(self._file.schema_arrow.names)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        for _, row in self._read(range(self._file.metadata.num_row_groups), columns, 0):
            yield row

    def some(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        first = 0
        for group in range(self._file.metadata.num_row_groups):
            last = first + self._file.metadata.row_group(group).num_rows
            wanted = {number for number in numbers if first <= number < last}
            if wanted:
                yield from self._read([group], columns, first, wanted)
            first = last

    def _read(
        self, groups: Sequence[int], columns: Sequence[str], first: int,
        wanted: set[int] | None = None,
    ) -> Iterator[tuple[int, Row]]:  # fmt: skip
        try:
            for batch in self._file.iter_batches(
                batch_size=ROWS_AT_ONCE, row_groups=list(groups), columns=list(columns)
            ):
                after = first + batch.num_rows
                if wanted is None:
                    yield from zip(itertools.count(first), batch.to_pylist(), strict=False)
                else:
                    here = sorted(number for number in wanted if first <= number < after)
                    for number in here:
                        yield number, batch.slice(number - first, 1).to_pylist()[0]
                first = after
        except self._errors as error:
            raise SourceError(f"{self._path}: broken after row {first} ({error})") from error


class _Tsv:
    def __init__(self, path: Path) -> None:
        self._path = path
        csv.field_size_limit(LONGEST_CELL)  # a cell may be a whole picture
        for row in self._read():
            self.columns: Sequence[str] = row
            break
        else:
            raise SourceError(f"{path}: empty; the first line names the columns")

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        places = [(name, self.columns.index(name)) for name in columns if name in self.columns]
        for number, cells in enumerate(itertools.islice(self._read(), 1, None)):
            if len(cells) != len(self.columns):
                raise SourceError(
                    f"{self._path}: row {number} has {len(cells)} cells, the first line names"
                    f" {len(self.columns)} columns"
                )
            yield {name: cells[place] for name, place in places}

    def some(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        return _some(self.rows(columns), numbers)

    def _read(self) -> Iterator[list[str]]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as lines:
                yield from csv.reader(lines, delimiter="\t")
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{self._path}: can't be read as TSV ({error})") from error


class _Json:
    """Objects of a JSON file (see :mod:`.json_rows`), or one object a line."""

    def __init__(self, path: Path, *, lines: bool) -> None:
        self._path, self._lines = path, lines
        some = list(itertools.islice(self.rows(()), ROWS_WITH_COLUMNS))
        if not some:
            raise SourceError(f"{path}: holds no objects")
        self.columns: Sequence[str] = list(dict.fromkeys(name for row in some for name in row))

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        try:
            with self._path.open(encoding="utf-8") as text:
                objects: Iterable[Any]
                if self._lines:
                    objects = (json.loads(line) for line in text if line.strip())
                else:
                    objects = json_rows(text)
                for number, row in enumerate(objects):
                    if not isinstance(row, dict):
                        raise SourceError(f"{self._path}: entry {number} is no object")
                    yield row
        except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise SourceError(f"{self._path}: can't be read as JSON ({error})") from error

    def some(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        return _some(self.rows(columns), numbers)


def _some(rows: Iterator[Row], numbers: Sequence[int]) -> Iterator[tuple[int, Row]]:
    wanted = set(numbers)
    for number, row in enumerate(rows):
        if number in wanted:
            yield number, row
            wanted.remove(number)
        if not wanted:
            return
