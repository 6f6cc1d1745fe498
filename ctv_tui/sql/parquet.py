"""Parquet files, through pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from ctv_tui.sql.export import Column, ColumnType, Rows

_TYPES: dict[ColumnType, Any] = {
    "INTEGER": pa.int64(),
    "REAL": pa.float64(),
    "TEXT": pa.string(),
    "BLOB": pa.binary(),
}


def write_parquet(path: Path, columns: Sequence[Column], batches: Iterator[Rows]) -> int:
    """Write batches of rows as row groups; return how many rows there were."""
    schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            values = zip(columns, zip(*batch, strict=True), strict=True)
            arrays = [
                pa.array(_as_one_type(column.type, of_column), _TYPES[column.type])
                for column, of_column in values
            ]
            writer.write_table(pa.table(arrays, schema=schema))
            count += len(batch)
    return count


def _as_one_type(type_: ColumnType, values: Sequence[Any]) -> Sequence[Any]:
    """Return values of a column that holds several types, as only tables of one's own can."""
    python_type, turn = _TURNED[type_]
    if {*map(type, values)} <= {python_type, type(None)}:
        return values
    return [None if value is None else turn(value) for value in values]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


_TURNED: dict[ColumnType, tuple[type, Callable[[Any], Any]]] = {
    "INTEGER": (int, int),
    "REAL": (float, float),
    "TEXT": (str, str),
    "BLOB": (bytes, _bytes),
}
